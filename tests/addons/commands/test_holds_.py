import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from addons.cli import main
from addons.commands import holds_
from addons.ledger import Ledger
from addons.ledger.entry import new_id, utc_now
from addons.ledger.held import HoldRecord, HoldState, NewHold, Outcome, Signer
from tests.addons.ledger.deliveries import BOUNDS, LEASE, new
from tests.addons.ledger.samples import NOW

EVIL = "\x1b[2J\x9b1m\u202e[bold red]:smile:\nx"
ONE, TWO, THREE = (new_id(NOW + timedelta(seconds=number)) for number in range(3))


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/l.db"
    address = request.getfixturevalue("postgres_url")
    assert isinstance(address, str)
    return address


@pytest.fixture
def file(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/l.db"


def run(*words: str, **more: Any) -> Result:
    return CliRunner().invoke(main, ["holds", *words], **more)


def hold(url: str, *held: NewHold) -> None:
    with Ledger.open(url, clock=lambda: NOW) as ledger:
        for one in held:
            assert ledger.holds.put(one, BOUNDS)


def record(url: str, id: str) -> HoldRecord:
    with Ledger.open(url, clock=lambda: NOW) as ledger:
        found = ledger.holds.get(id)
    assert found is not None
    return found


def end(url: str, id: str) -> None:
    with Ledger.open(url, clock=lambda: NOW) as ledger:
        assert ledger.holds.end(id, None, Outcome.REPLAYED, "200", NOW)


@pytest.mark.parametrize("words", [[], ["list"]])
def test_all_that_is_held_newest_last_with_totals(url: str, words: list[str]) -> None:
    hold(
        url,
        new(ONE),
        new(TWO, state=HoldState.WAITING, rule="doubtful", cause=None, signer=Signer("unverifiable", "b.example")),
        new(THREE, state=HoldState.REPLAYING, cause=None, signer=Signer()),
    )
    result = run(*words, "--ledger", url)
    assert result.exit_code == 0, result.output
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines[0] == "id since closes state signer rule or cause tries size"
    times = "2026-03-01 12:00:00Z 2026-03-01 13:00:00Z"
    assert lines[1:4] == [
        f"{ONE} {times} to be judged verified a.example timeout 0 85 bytes",
        f"{TWO} {times} waits for a person unverifiable b.example doubtful 0 85 bytes",
        f"{THREE} {times} to be replayed unverified 198.51.100.7 order 0 85 bytes",
    ]
    assert lines[4] == (
        "3 held (1 to be judged, 1 to be replayed, 1 waits for a person), 255 bytes, "
        "the oldest since 2026-03-01 12:00:00Z"
    )


def test_what_is_over_is_listed_on_demand_and_the_newest_only(url: str) -> None:
    hold(url, new(ONE), new(TWO), new(THREE))
    end(url, TWO)
    for words, found in (([], [ONE, THREE]), (["--all"], [ONE, TWO, THREE]), (["--limit", "1"], [THREE])):
        told = json.loads(run("--ledger", url, "--json", *words).stdout)
        assert [one["id"] for one in told["holds"]] == found
        assert told["totals"]["count"] == 2
    assert "replayed" in run("--ledger", url, "--all").stdout


def test_json_has_all_but_the_bytes(file: str) -> None:
    hold(file, new(ONE))
    [told] = json.loads(run("--ledger", file, "--json").stdout)["holds"]
    assert told == json.loads(run("show", ONE, "--ledger", file, "--json").stdout)
    assert (told["state"], told["cause"], told["signer"]["host"], told["size"]) == (
        "judging",
        "timeout",
        "a.example",
        85,
    )
    assert not {"head", "body"} & set(told)


def test_nothing_is_held(file: str) -> None:
    Ledger.open(file).close()
    assert run("--ledger", file).stdout == "nothing is held\n"
    assert json.loads(run("--ledger", file, "--json").stdout)["holds"] == []


def test_one_is_shown(url: str) -> None:
    hold(url, new(ONE, activity_id="https://a.example/1", host="a.example", then="record"))
    with Ledger.open(url, clock=lambda: NOW) as ledger:
        ledger.holds.claim([HoldState.JUDGING], "w", NOW, LEASE, 1)
        told = run("show", ONE.upper(), "--ledger", url).stdout
        assert "being judged, 1 try so far" in told
        assert "next try  now" in told
        ledger.holds.retry(ONE, "w", NOW + timedelta(seconds=90))
    lines = [" ".join(line.split()) for line in run("show", ONE, "--ledger", url).stdout.splitlines()]
    assert lines == [
        f"Hold {ONE}: to be judged",
        "activity https://a.example/1",
        "sent from 198.51.100.7, by a.example",
        "held 2026-03-01 12:00:00Z, 85 bytes, for the cause timeout",
        "signer verified a.example",
        "state to be judged, 1 try so far",
        "next try 2026-03-01 12:01:30Z",
        "closes 2026-03-01 13:00:00Z: then it is let through without a judgement",
        f"Why it was held: fediward explain {ONE}",
    ]


def test_its_activity_is_shown_without_files_while_it_is_held(url: str) -> None:
    hold(url, new(ONE, body=b'{"u": "\x1b", "image": "data:image/png;base64,AAAA"}'))
    told = run("show", ONE, "--activity", "--ledger", url).stdout
    assert told == '{"u": "\\u001b", "image": "data:image/png;base64,[4 bytes not kept]"}\n'
    end(url, ONE)
    result = run("show", ONE, "--activity", "--ledger", url)
    assert (result.exit_code, result.stderr) == (
        1,
        f"Error: hold {ONE} is over (replayed): its body is kept no longer\n",
    )
    told = run("show", ONE, "--ledger", url).stdout
    assert "outcome   replayed (the server took it), 2026-03-01 12:00:00Z" in told
    assert "remark    200" in told


def test_what_a_rule_held_goes_by_a_persons_word(url: str) -> None:
    hold(url, new(ONE, state=HoldState.WAITING, rule="doubtful"))
    result = run("release", ONE, "--ledger", url)
    assert (result.exit_code, result.stdout) == (0, f"Hold {ONE} goes to the server as it is.\n")
    after = record(url, ONE)
    assert (after.state, after.unjudged, after.detail) == (HoldState.REPLAYING, False, holds_.BY)
    assert after.due <= utc_now()
    again = run("release", ONE, "--ledger", url)
    assert again.exit_code == 1
    assert "is permitted already" in again.stderr


@pytest.mark.parametrize("claimed", [False, True])
def test_what_nothing_judged_needs_a_yes(url: str, claimed: bool) -> None:
    hold(url, new(ONE))
    if claimed:
        with Ledger.open(url, clock=lambda: NOW) as ledger:
            ledger.holds.claim([HoldState.JUDGING], "w", NOW, LEASE, 1)
    for words in ([], ["--json"]):
        refused = run("release", ONE, "--ledger", url, *words)
        assert refused.exit_code == 1
        assert "with --yes it goes to the server all the same" in refused.stderr
    assert record(url, ONE).state == HoldState.JUDGING
    done = run("release", ONE, "--yes", "--json", "--ledger", url)
    assert json.loads(done.stdout) == {"id": ONE, "done": "released"}
    after = record(url, ONE)
    assert (after.state, after.unjudged, after.worker) == (HoldState.REPLAYING, True, None)
    assert "never: it was let through without a judgement" in run("show", ONE, "--ledger", url).stdout


@pytest.mark.parametrize(("answer", "code", "state"), [("y\n", 0, HoldState.REPLAYING), ("n\n", 1, HoldState.JUDGING)])
def test_on_a_terminal_it_asks_before_a_release(
    file: str, monkeypatch: pytest.MonkeyPatch, answer: str, code: int, state: HoldState
) -> None:
    monkeypatch.setattr(holds_, "_is_terminal", lambda: True)
    hold(file, new(ONE))
    result = run("release", ONE, "--ledger", file, input=answer)
    assert "Nothing has judged hold" in result.output
    assert result.exit_code == code
    assert record(file, ONE).state == state


@pytest.mark.parametrize("state", [HoldState.JUDGING, HoldState.REPLAYING, HoldState.WAITING])
def test_one_is_dropped(url: str, state: HoldState) -> None:
    hold(url, new(ONE, state=state))
    result = run("drop", ONE, "--ledger", url)
    assert (result.exit_code, result.stdout) == (0, f"Hold {ONE} is dropped, and its bytes are deleted.\n")
    after = record(url, ONE)
    assert (after.outcome, after.detail) == (Outcome.DROPPED, holds_.DROPPED)
    for word in ("drop", "release"):
        again = run(word, ONE, "--yes", "--ledger", url)
        assert again.exit_code == 1
        assert "is over already (dropped)" in again.stderr


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1)])
def test_on_a_terminal_it_asks_before_a_drop(
    file: str, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    monkeypatch.setattr(holds_, "_is_terminal", lambda: True)
    hold(file, new(ONE))
    result = run("drop", ONE, "--ledger", file, input=answer)
    assert result.exit_code == code
    assert (record(file, ONE).outcome is None) is bool(code)
    assert run("drop", ONE, "--yes", "--ledger", file).exit_code == 1 - code


@pytest.mark.parametrize("words", [[], ["--json"], ["show", ONE], ["show", ONE, "--json"], ["show", ONE, "--activity"]])
def test_hostile_text_cannot_act_on_the_terminal(file: str, words: list[str]) -> None:
    hold(
        file,
        new(ONE, rule=EVIL, peer=EVIL, host=EVIL, activity_id=EVIL, share=EVIL, body=EVIL.encode().replace(b"\n", b""),
            signer=Signer("verified", EVIL, EVIL, None, EVIL)),
    )  # fmt: skip
    result = run(*words, "--ledger", file)
    assert result.exit_code == 0
    assert all(line.isprintable() for line in result.stdout.splitlines())
    assert "[bold red]" in result.stdout


@pytest.mark.parametrize("word", ["show", "release", "drop"])
def test_one_that_is_not_there(file: str, word: str) -> None:
    Ledger.open(file).close()
    for id in ("01j0000000000000000x", "\x1b\ud800", "x" * 10_000):
        result = run(word, id, "--ledger", file)
        assert result.exit_code == 1
        assert "has no hold" in result.stderr
        assert "\x1b" not in result.stderr


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--ledger", "sqlite:////nowhere/l.db"], 1, "there is none"),
        (["release", ONE, "--ledger", "sqlite:////nowhere/l.db"], 1, "there is none"),
        (["drop", ONE, "--ledger", "nonsense"], 1, "no database URL"),
        (["--limit", "0"], 2, "1<=x<=100000"),
        (["-c", "/nowhere/config.yaml"], 2, "there is no /nowhere/config.yaml"),
        (["drop", ONE, "-c", "/nowhere/config.yaml"], 2, "there is no /nowhere/config.yaml"),
        (["burn"], 2, "No such command"),
        (["show"], 2, "Missing argument"),
        (["show", ONE, "--json", "--activity"], 2, "do not go together"),
    ],
)
def test_errors(words: list[str], code: int, told: str) -> None:
    result = run(*words)
    assert result.exit_code == code
    assert told in result.stderr


def test_a_ledger_that_cannot_be_changed_is_told(file: str, tmp_path: Path) -> None:
    import sqlite3

    hold(file, new(ONE))
    other = sqlite3.connect(tmp_path / "l.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        result = run("drop", ONE, "--yes", "--ledger", file)
    finally:
        other.close()
    assert result.exit_code == 1
    assert "another program holds it locked" in result.stderr


def test_help_names_the_commands() -> None:
    told = run("--help").stdout
    for word in ("list", "show", "release", "drop"):
        assert word in told
