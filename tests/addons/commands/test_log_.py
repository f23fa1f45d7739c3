import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from addons.cli import main
from addons.ledger import Ledger
from addons.policy.words import Action, Decision, Hit
from tests.addons.ledger.samples import CONTEXT, WALK, entry, write

EVIL = "\x1b[2J\x9b1m\u202e[bold red]:smile:\nx"


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/l.db"


def run(*words: str) -> Result:
    return CliRunner().invoke(main, ["log", *words])


def test_newest_last_with_all_that_is_asked_for(url: str) -> None:
    started = [datetime.now(UTC) - timedelta(hours=hours) for hours in (5, 3, 1)]
    write(url, *(entry(id=f"id-{number}", started=at) for number, at in enumerate(started)))
    lines = run("--ledger", url).stdout.splitlines()
    assert lines[0].split() == ["when", "door", "action", "rule", "or", "cause", "host", "activity", "id"]
    assert [line.split()[-1] for line in lines[1:]] == ["id-0", "id-1", "id-2"]
    for word in (
        "inbox",
        "drop",
        "forbidden",
        "a.example",
        "https://a.example/act/1",
        f"{started[0]:%Y-%m-%d %H:%M:%SZ}",
    ):
        assert word in lines[1]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--limit", "1"], ["2"]),
        (["--since", "2h"], ["2"]),
        (["--since", "4h", "--until", "2h"], ["1"]),
        (["--since", "2001-01-01"], ["0", "1", "2"]),
        (["--until", "2001-01-01T00:00+02:00"], []),
        (["--action", "drop", "--door", "inbox", "--rule", "forbidden"], ["0", "1", "2"]),
        (["--cause", "timeout"], []),
        (["--host", "A.example"], ["0", "1", "2"]),
        (["--host", "b.example"], []),
        (["--sha256", "AB" * 32], ["0", "1", "2"]),
        (["--url", "https://b.example/y.png", "--actor", "https://a.example/u/eve"], ["0", "1", "2"]),
        (["--activity-id", "https://a.example/act/2"], []),
    ],
)
def test_what_is_listed(url: str, words: list[str], found: list[str]) -> None:
    hours = (5, 3, 1)
    write(url, *(entry(id=str(n), started=datetime.now(UTC) - timedelta(hours=h)) for n, h in enumerate(hours)))
    result = run("--ledger", url, "--json", *words)
    assert result.exit_code == 0, result.output
    assert [json.loads(line)["id"] for line in result.stdout.splitlines()] == found


def test_an_allow_list_stands_where_a_rule_would(url: str) -> None:
    hit = Hit(Action.PASS, medium=0, allowed="fine")
    write(url, entry(id="one", decision=Decision(Action.PASS, hit, (hit,))))
    assert "allow list fine" in run("--ledger", url).stdout


def test_what_was_settled_before_names_the_decision(url: str) -> None:
    other = "01j0000000000000000x"
    allowed, blocked = Hit(Action.PASS, medium=0, allowed=other), Hit(Action.STRIP, medium=0, blocked=other)
    write(
        url,
        entry(id="one", decision=Decision(Action.PASS, allowed, (allowed,))),
        entry(id="two", decision=Decision(Action.STRIP, blocked, (blocked,))),
    )
    told = run("--ledger", url).stdout.splitlines()
    assert f"allowed: {other}" in told[1]
    assert f"blocked by {other}" in told[2]


def test_json_has_everything_but_the_body(url: str) -> None:
    write(url, entry(id="one"))
    told = json.loads(run("--ledger", url, "--json").stdout)
    assert told["media"][0]["frames"][1]["symbols"] == {"clip.minor": 0.75, "hash.ours": 1.0}
    assert told["media"][0]["matches"][0]["distance"] == 12
    assert told["hits"][1] == {
        "action": "drop",
        "rule": "forbidden",
        "cause": None,
        "medium": 0,
        "frame": 3,
        "allowed": None,
        "blocked": None,
        "then": None,
    }
    assert "body" not in told


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_hostile_text_cannot_act_on_the_terminal(url: str, words: list[str]) -> None:
    write(url, entry(walk=replace(WALK, activity_id=EVIL), context=replace(CONTEXT, host=EVIL)))
    shown = run("--ledger", url, *words).stdout
    assert all(line.isprintable() for line in shown.splitlines())
    assert "[bold red]:smile:" in shown


def test_counts(url: str) -> None:
    with Ledger.open(url, clock=lambda: datetime(2026, 3, 1, tzinfo=UTC)) as ledger:
        ledger.count("inbox", "pass")
    assert run("--ledger", url, "--counts").stdout.splitlines()[1].split() == ["2026-03-01", "inbox", "pass", "1"]
    assert json.loads(run("--ledger", url, "--counts", "--json").stdout) == {
        "day": "2026-03-01", "door": "inbox", "action": "pass", "count": 1,
    }  # fmt: skip


def test_observed_decisions_say_so_and_nothing_says_so(url: str) -> None:
    write(url)
    assert run("--ledger", url).stderr == "no such decisions\n"
    write(url, entry(mode="observe", walk=replace(WALK, activity_id=None)))
    assert "drop (observe)" in run("--ledger", url).stdout


def test_a_decision_on_a_held_delivery_says_so(url: str) -> None:
    write(url, entry(id="two", hold="one"))
    assert "drop (held)" in run("--ledger", url).stdout
    assert json.loads(run("--ledger", url, "--json").stdout)["hold"] == "one"


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--ledger", "sqlite:////nowhere/l.db"], 1, "there is none"),
        (["--ledger", "nonsense"], 1, "no database URL"),
        (["--since", "yesterday"], 2, "write 30m, 2h, 3d"),
        (["--since", "999999999w"], 2, "is no time"),
        (["--action", "burn"], 2, "burn"),
        (["--limit", "0"], 2, "1<=x<=100000"),
        (["--limit", "100001"], 2, "1<=x<=100000"),
        (["-c", "/nowhere/config.yaml"], 2, "there is no /nowhere/config.yaml"),
    ],
)
def test_errors(words: list[str], code: int, told: str) -> None:
    result = run(*words)
    assert result.exit_code == code
    assert told in result.stderr


def test_the_configuration_names_the_ledger(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write(url, entry(id="one"))
    config = tmp_path / "config.yaml"
    config.write_text(
        "server: {upstream: 'http://127.0.0.1:8536', listen: '127.0.0.1:8540'}\n"
        "classifier: {clip: null}\nrules: []\n"
        "ledger: {url: '${WHERE}'}\n"
    )
    monkeypatch.setenv("WHERE", url)
    assert "one" in run("-c", str(config)).stdout
    monkeypatch.chdir(tmp_path)
    assert "one" in run().stdout
    config.write_text("server: {upstream: 3}\n")
    result: Any = run("-c", str(config))
    assert result.exit_code == 2
    assert "config.yaml:1:" in result.stderr
