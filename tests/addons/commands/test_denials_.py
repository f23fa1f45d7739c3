import json
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from addons.cli import main
from addons.ledger import Ledger
from addons.ledger.entry import utc_now

EVIL = "\x1b[2J\x9b1m\u202e[bold red]:smile:\nx"
EVE = "https://a.example/u/eve"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A ledger in which a.example is denied for an hour, an actor for two, and b.example no longer."""
    url = f"sqlite:///{tmp_path}/l.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    assert isinstance(url, str)
    with Ledger.open(url) as ledger:
        ledger.denials.deny("host", "a.example", utc_now() + timedelta(hours=1), "rule", "5 hits within 3600 s")
        ledger.denials.deny("actor", EVE, utc_now() + timedelta(hours=2), EVIL, EVIL)
        ledger.denials.deny("host", "b.example", utc_now() - timedelta(seconds=1), "rule", "")
    return url


def run(*words: str) -> Result:
    return CliRunner().invoke(main, ["denials", *words])


def test_who_is_denied_now(url: str) -> None:
    lines = run("--ledger", url).stdout.splitlines()
    assert lines[0].split() == ["until", "host", "or", "actor", "rule", "why"]
    assert [EVE in lines[1], "a.example" in lines[2], len(lines)] == [True, True, 3]
    assert lines[2].rstrip().endswith("5 hits within 3600 s")
    assert all(line.isprintable() for line in lines)
    told = [json.loads(line) for line in run("list", "--json", "--ledger", url).stdout.splitlines()]
    assert [(one["kind"], one["value"]) for one in told] == [("actor", EVE), ("host", "a.example")]
    assert len(run("--limit", "1", "--json", "--ledger", url).stdout.splitlines()) == 1


@pytest.mark.parametrize(
    ("who", "left"),
    [
        ("a.example", [EVE]),
        ("A.Example.", [EVE]),
        (EVE, ["a.example"]),
        ("HTTPS://A.example:443/u/eve#x", ["a.example"]),
    ],
)
def test_a_denial_is_lifted(url: str, who: str, left: list[str]) -> None:
    result = run("lift", who, "--ledger", url)
    assert (result.exit_code, result.stdout) == (0, f"{who} is denied no longer.\n")
    told = run("--json", "--ledger", url).stdout.splitlines()
    assert [json.loads(line)["value"] for line in told] == left
    again = run("lift", who, "--ledger", url)
    assert again.exit_code == 1
    assert "is not denied by a rule" in again.stderr


def test_nobody_is_denied(tmp_path: Path) -> None:
    Ledger.open(f"sqlite:///{tmp_path}/l.db").close()
    result = run("--ledger", f"sqlite:///{tmp_path}/l.db")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "nobody is denied for a while\n")


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--ledger", "sqlite:////nowhere/l.db"], 1, "there is none"),
        (["lift", "x", "--ledger", "sqlite:////nowhere/l.db"], 1, "there is none"),
        (["lift"], 2, "Missing argument"),
        (["--limit", "0"], 2, "1<=x<=100000"),
        (["-c", "/nowhere/config.yaml"], 2, "there is no /nowhere/config.yaml"),
    ],
)
def test_errors(words: list[str], code: int, told: str) -> None:
    result = run(*words)
    assert result.exit_code == code
    assert told in result.stderr


@pytest.mark.parametrize("who", [EVIL, "\ud800\x00", "://" + "x" * 10_000, ""])
def test_hostile_names(tmp_path: Path, who: str) -> None:
    Ledger.open(f"sqlite:///{tmp_path}/l.db").close()
    result = run("lift", who, "--ledger", f"sqlite:///{tmp_path}/l.db")
    assert result.exit_code == 1
    assert result.stderr.rstrip("\n").isprintable()
