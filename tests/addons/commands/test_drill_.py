import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from addons.cli import main
from addons.policy.words import Cause

LEAST = "server: {upstream: http://127.0.0.1:9, listen: 127.0.0.1:8540}\n"


def drill(*args: str) -> Result:
    return CliRunner().invoke(main, ["drill", *args])


def test_the_causes_are_listed() -> None:
    result = drill("--list")
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.splitlines() if not line.startswith(" ")] == list(Cause)
    assert list(json.loads(drill("--list", "--json").stdout)) == list(Cause)


def test_what_happened_is_told_and_is_what_the_policy_says() -> None:
    result = drill("undecodable")
    assert result.exit_code == 0, result.output
    assert "202 after" in result.stdout
    assert "drop, by the cause undecodable" in result.stdout
    assert "temporary ledger" in result.stdout
    assert result.stdout.splitlines()[-1] == "That is what the policy says."


def test_a_rule_in_the_way_is_exit_1(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(LEAST + "rules: [{name: nobody, when: {host: [127.0.0.1]}, do: reject}]\n")
    result = drill("undecodable", "-c", str(path), "--json")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert told["right"] is False
    assert told["ledger"]["rule"] == "nobody"
    assert list(tmp_path.iterdir()) == [path]


def test_live_it_is_in_the_configurations_ledger(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(LEAST + "rules: []\n")
    result = drill("undecodable", "-c", str(path), "--yes", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["mode"] == "observe"
    assert told["server"]["at_once"] == 1
    assert (tmp_path / "fediward.db").exists()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "which CAUSE?"),
        (["nonsense"], "nonsense is no cause"),
        (["timeout", "--yes"], "-c FILE"),
        (["timeout", "-c", "/nonexistent.yaml"], "cannot be read"),
        (["ledger_error", "-c", "/nonexistent.yaml", "--yes"], "cannot be drilled live"),
        (["hold_full", "-c", "/nonexistent.yaml", "--yes"], "cannot be drilled live"),
    ],
)
def test_wrong_usage_is_said(args: list[str], said: str) -> None:
    result = drill(*args)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())
