import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from addons.activitypub.references import MediaRef
from addons.cli import main
from addons.ledger import Ledger
from addons.ledger.held import Outcome, Signer
from addons.policy.words import Action, Cause, Decision, Door, Hit, Medium
from classifier import HashMatch, JudgedFrame
from tests.addons.ledger.deliveries import BOUNDS, new
from tests.addons.ledger.samples import CONTEXT, FAILED, GOOD, JUDGED, MATCH, NOW, WALK, entry, write

EVIL = "\x1b[2J\x9b1m\u202e\r\nforged: line"
WHEN = {"clip.minor": ">0.5", "any": [{"hash.*": "=1"}, {"clip.drawn": ">0.9"}], "not": {"hash.ours": "<1"}}


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/l.db"


def run(url: str, *words: str) -> Result:
    return CliRunner().invoke(main, ["explain", "--ledger", url, *words])


def test_a_rule_is_explained_with_scores_and_thresholds(url: str) -> None:
    with Ledger.open(url) as ledger:
        ledger.note_policy("policy-1", {"forbidden": WHEN})
        ledger.write(entry(id="one"))
    result = run(url, "ONE")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    told = [" ".join(line.split()) for line in lines]
    for line in (
        "Decision one: drop",
        "when 2026-03-01 12:00:00Z, decided in 250 ms",
        "what Create > Note",
        "actor https://a.example/u/eve (a.example)",
        "sent from 198.51.100.7",
        'The rule "forbidden" decided on medium 1, frame 3; it was dropped (the sender was told that it arrived).',
        "clip.minor 0.7500 the rule asks >0.5",
        "hash.* 1.0000 the rule asks =1",
        "clip.drawn absent the rule asks >0.9",
        "hash.ours 1.0000 the rule asks not <1",
        "Also applied: cause timeout, record on medium 2.",
        "1. image https://a.example/x.gif",
        "stood at /object/attachment/0/url, marked sensitive",
        "led to https://cdn.a.example/x.gif",
        "came from 203.0.113.9",
        f"image/gif, 640 x 480, 2 frame(s) judged; sha256 {'ab' * 32}",
        "judged in 12 ms by clip-1",
        f"on the list ours: pdq {'cd' * 32}, distance 12, frame 3, from a drawn square, note",
        "frame 0: clip.minor 0.250",
        "pdq none (too flat)",
        "frame 3: hash.ours 1.000, clip.minor 0.750",
        "not judged, timeout (judging took too long): too slow",
        "Policy version policy-1",
        "Model engine-1",
        "The activity's JSON is kept since 2026-03-01 12:00:00Z: fediward explain one --activity",
    ):
        assert line in told


def test_a_cause_is_explained(url: str) -> None:
    hit = Hit(Action.DEFER, cause=Cause.TIMEOUT, medium=0)
    write(url, entry(id="one", decision=Decision(Action.DEFER, hit, (hit,)), media=(FAILED,)))
    told = run(url, "one").stdout
    assert "The cause timeout decided (judging took too long) on medium 1; it was put off" in told
    assert "    too slow\n" in told
    assert "--activity" not in told


def test_nothing_applied_observed_and_overflow_are_said(url: str) -> None:
    hit = Hit(Action.DROP, rule="by-host")
    write(
        url,
        entry(id="none", decision=Decision(Action.PASS), walk=replace(WALK, overflow="media")),
        entry(id="seen", mode="observe", decision=Decision(Action.DROP, hit, (hit,)), media=()),
    )
    told = run(url, "none").stdout
    assert "No rule and no cause applied; it was let in." in told
    assert "it passed the bound on media" in told
    told = run(url, "seen").stdout
    assert "Decision seen: drop (mode: observe)" in told
    assert 'The rule "by-host" decided; it was forwarded all the same.' in told
    assert "Media: none" in told


def test_without_the_policys_rules_it_says_that_thresholds_were_not_noted(url: str) -> None:
    write(url, entry(id="one"))
    assert "what the rule asked was not noted" in run(url, "one").stdout


def test_an_allow_list_is_named(url: str) -> None:
    frames = (JudgedFrame(0, {"clip.minor": 1.0, "allow.fine": 1.0}), JudgedFrame(1, {"clip.minor": 1.0}))
    match = HashMatch("fine", "pdq", "cd" * 32, 0, "us", "our logo", 0, "mirrored")
    judged = replace(JUDGED, frames=frames, matches=(match,))
    whole = Hit(Action.PASS, medium=0, allowed="fine")
    part = replace(whole, frame=0)
    rule = Hit(Action.DROP, rule="forbidden", medium=0, frame=1)
    write(
        url,
        entry(id="whole", decision=Decision(Action.PASS, whole, (whole,)), media=(replace(GOOD, judgement=judged),)),
        entry(id="part", decision=Decision(Action.DROP, rule, (part, rule)), media=(replace(GOOD, judgement=judged),)),
    )
    told = run(url, "whole").stdout
    assert 'The allow list "fine" decided on medium 1; it was let in.' in told
    assert f"on the list fine: pdq {'cd' * 32}, distance 0, frame 0 mirrored, from us, our logo" in told
    told = run(url, "part").stdout
    assert 'The rule "forbidden" decided on medium 1, frame 1' in told
    assert 'Also applied: the allow list "fine", pass on medium 1, frame 0.' in told


def test_what_an_admin_undid_and_what_is_blocked_name_the_decision(url: str) -> None:
    other = "01j0000000000000000x"
    allowed, blocked = Hit(Action.PASS, medium=0, allowed=other), Hit(Action.STRIP, medium=0, blocked=other)
    write(
        url,
        entry(id="allowed", decision=Decision(Action.PASS, allowed, (allowed,))),
        entry(id="blocked", decision=Decision(Action.STRIP, blocked, (blocked,))),
        entry(id="both", decision=Decision(Action.STRIP, blocked, (allowed, blocked))),
    )
    assert f"An admin (who undid decision {other}) decided on medium 1; it was let in." in run(url, "allowed").stdout
    told = run(url, "blocked").stdout
    assert f"The block set (decision {other} stripped it) decided on medium 1; it was let in without its media." in told
    assert f"Also applied: an admin (who undid decision {other}), pass on medium 1." in run(url, "both").stdout
    assert json.loads(run(url, "blocked", "--json").stdout)["hits"][0]["blocked"] == other


@pytest.mark.parametrize(
    ("door", "action", "done"),
    [
        ("inbox", Action.DROP, "it was dropped (the sender was told that it arrived)."),
        ("fetch", Action.DROP, "it was replaced (by a placeholder, or left out)."),
        ("pictrs", Action.STRIP, "it was replaced (by a placeholder, or left out)."),
        ("pictrs", Action.REJECT, "it was refused."),
        ("validate", Action.DROP, "it was refused."),
        ("upload", Action.DEFER, "it was put off."),
    ],
)
def test_what_was_done_at_each_door(url: str, door: Door, action: Action, done: str) -> None:
    hit = Hit(action, rule="forbidden", medium=0)
    write(url, entry(id="one", decision=Decision(action, hit, (hit,)), context=replace(CONTEXT, door=door), walk=None))
    assert f'The rule "forbidden" decided on medium 1; {done}' in run(url, "one").stdout


def test_an_uploaders_session_is_told_as_the_hash_that_is_kept(url: str) -> None:
    write(url, entry(id="one", session="5e" * 32), entry(id="two"))
    assert f"session {'5e' * 32} (a salted hash" in " ".join(run(url, "one").stdout.split())
    assert "session" not in run(url, "two").stdout


def test_a_frame_is_told_with_its_place(url: str) -> None:
    """Seconds into a video, or which of a file's readings it belongs to: else nobody finds what was found."""
    frames = (JudgedFrame(0, {}, at=0.0), JudgedFrame(40, {"clip.minor": 1.0}, at=3.25, reading="motion"))
    rule = Hit(Action.DROP, rule="forbidden", medium=0, frame=40)
    media = (replace(GOOD, judgement=replace(JUDGED, frames=frames, matches=(replace(MATCH, frame=0),))),)
    write(url, entry(id="one", decision=Decision(Action.DROP, rule, (rule,)), media=media))
    told = run(url, "one").stdout
    assert 'The rule "forbidden" decided on medium 1, frame 40 (3.2 s, motion); it was dropped' in told
    assert "frame 40 (3.2 s, motion): clip.minor 1.000" in told
    assert "distance 12, frame 0 (0.0 s), from" in told


def test_json(url: str) -> None:
    with Ledger.open(url) as ledger:
        ledger.note_policy("policy-1", {"forbidden": WHEN})
        ledger.write(entry(id="one"))
    told = json.loads(run(url, "one", "--json").stdout)
    assert (told["id"], told["asked"], told["activity_kept"]) == ("one", WHEN, True)


def test_the_activity_alone(url: str) -> None:
    body = json.dumps({"type": "Create", "content": "é\u202e"}, ensure_ascii=False).encode()
    write(url, entry(id="one", body=body), entry(id="two", decision=Decision(Action.RECORD)))
    shown = run(url, "one", "--activity").stdout
    assert json.loads(shown) == json.loads(body)
    assert "\u202e" not in shown
    result = run(url, "two", "--activity")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "only what was dropped or rejected is" in result.stderr


@pytest.mark.parametrize("words", [[], ["--json"], ["--activity"]])
def test_hostile_text_cannot_act_on_the_terminal(url: str, words: list[str]) -> None:
    medium = Medium(MediaRef(EVIL, "image", EVIL), cause=Cause.TIMEOUT, message=EVIL, address=EVIL)
    walk = replace(WALK, activity_id=EVIL, actor=EVIL, types=(EVIL,))
    write(url, entry(id="one", media=(medium,), walk=walk, body=EVIL.replace("\n", "").encode()))
    shown = run(url, "one", *words).stdout
    assert all(line.isprintable() for line in shown.splitlines())
    assert not any(line.startswith("forged") for line in shown.splitlines())


def test_errors(url: str) -> None:
    assert (run(url, "one").exit_code, run("nonsense", "one").exit_code) == (1, 1)
    write(url)
    result = run(url, "one\x1b")
    assert result.exit_code == 1
    assert "the ledger has no decision one\\u{1b}" in result.stderr
    assert run(url, "one", "--json", "--activity").exit_code == 2
    assert run(url).exit_code == 2


def held(url: str) -> None:
    hit = Hit(Action.HOLD, cause=Cause.TIMEOUT, medium=0)
    write(
        url,
        entry(id="one", decision=Decision(Action.HOLD, hit, (hit,)), media=(FAILED,)),
        entry(id="two", hold="one", started=NOW + timedelta(seconds=5)),
    )
    with Ledger.open(url, clock=lambda: NOW) as ledger:
        assert ledger.holds.put(new("one", signer=Signer("unverified", reason=EVIL)), BOUNDS)


def test_what_becomes_of_a_held_delivery_is_told(url: str) -> None:
    held(url)
    told = [" ".join(line.split()) for line in run(url, "one").stdout.splitlines()]
    assert told[told.index("Held") + 1] == "Judged again 2026-03-01 12:00:05Z: drop (fediward explain two)"
    assert "state to be judged, 0 tries so far" in told
    assert "closes 2026-03-01 13:00:00Z: then it is dropped" in told
    assert json.loads(run(url, "one", "--json").stdout)["held"]["state"] == "judging"


@pytest.mark.parametrize("id", ["one", "two"])
def test_the_outcome_of_a_hold_is_told_with_each_of_its_decisions(url: str, id: str) -> None:
    held(url)
    with Ledger.open(url, clock=lambda: NOW) as ledger:
        assert ledger.holds.end("one", None, Outcome.DROPPED, "an admin dropped it" + EVIL, NOW)
    shown = run(url, id).stdout
    told = [" ".join(line.split()) for line in shown.splitlines()]
    assert "outcome dropped (it did not reach the server), 2026-03-01 12:00:00Z" in told
    assert any(line.startswith("remark an admin dropped it") for line in told)
    assert ("Decision one held the delivery: fediward explain one" in told) is (id == "two")
    assert all(line.isprintable() for line in shown.splitlines())
    assert json.loads(run(url, id, "--json").stdout)["held"]["outcome"] == "dropped"


def test_what_was_not_held_says_nothing_of_holds(url: str) -> None:
    write(url, entry(id="one"))
    assert "Held" not in run(url, "one").stdout
    assert json.loads(run(url, "one", "--json").stdout)["held"] is None
