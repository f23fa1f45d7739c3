import json
from dataclasses import replace

import pytest

from addons.drill.outcome import Drilled, Seen
from addons.drill.telling import listed, mode, plain, rows
from addons.policy.words import Action, Cause

HELD = Drilled(
    Cause.TIMEOUT,
    Action.HOLD,
    "drop",
    False,
    Seen(202, 1.04, 0, 1, (), "hold", "timeout", None, "too slow", "01x", True, "replayed", "the server took it"),
)


def test_a_hold_is_told_with_its_end() -> None:
    told = dict(rows(HELD))
    assert HELD.right
    assert told["the policy says"] == "timeout: hold, then drop when its window closes"
    assert told["the sender saw"] == "202 after 1.0 s"
    assert told["the server got"] == "nothing at first; the delivery, byte for byte, when the host answers"
    assert told["the ledger says"] == "hold, by the cause timeout: too slow (decision 01x)"
    assert told["how the hold ended"] == "replayed: the server took it"
    assert "temporary ledger" in mode(HELD)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"status": 503}, "the sender's answer: 503, not 202"),
        ({"at_once": 1}, "times the server had it at once: 1, not 0"),
        ({"later": 0}, "times the server had it in the end: 0, not 1"),
        ({"later": 2}, "times the server had it in the end: 2, not 1"),
        ({"action": "drop"}, "the action in the ledger: drop, not hold"),
        ({"cause": "busy"}, "the cause in the ledger: busy, not timeout"),
        ({"held": False, "outcome": None}, "whether it was held: False, not True"),
        ({"outcome": None}, "how the hold ended: None, not replayed"),
        ({"changed": ("body",)}, "its body reached the server changed"),
    ],
)
def test_what_is_not_as_the_policy_says_is_told(change: dict[str, object], problem: str) -> None:
    wrong = replace(HELD, seen=replace(HELD.seen, **change))  # type: ignore[arg-type]  # of a table of changes
    assert problem in wrong.problems()
    assert ("WRONG", problem) in rows(wrong)
    assert plain(wrong)["right"] is False


def test_what_is_forwarded_dropped_and_observed_is_told() -> None:
    dropped = Drilled(Cause.UNDECODABLE, Action.DROP, None, False, Seen(202, 0.1, 0, 0, (), "drop", "undecodable"))
    assert dropped.right
    assert dict(rows(dropped))["the server got"] == "nothing"
    assert dict(rows(dropped))["the ledger says"] == "nothing"
    passed = Drilled(Cause.UNDECODABLE, Action.PASS, None, False, Seen(202, 0.1, 1, 1, (), "pass", "undecodable"))
    assert dict(rows(passed))["the server got"] == "the delivery at once, byte for byte"
    seen = Seen(202, 0.1, 1, 1, (), "drop", "undecodable", metrics=("x 1.0",), alarms=1)
    observed = Drilled(Cause.UNDECODABLE, Action.DROP, None, True, seen)
    assert observed.right
    assert ("metrics", "x 1.0") in rows(observed)
    assert dict(rows(observed))["alarms"].startswith("a test was sent to 1 target")
    assert mode(observed).startswith("Live")
    stays = replace(HELD, cause=Cause.FETCH_REFUSED, seen=replace(HELD.seen, outcome=None, later=0))
    assert dict(rows(stays))["how the hold ended"].startswith("it did not yet")


def test_it_is_all_json() -> None:
    assert json.loads(json.dumps(plain(HELD)))["hold"] == {"outcome": "replayed", "detail": "the server took it"}


def test_every_cause_is_listed() -> None:
    assert [name for name, _ in listed()] == [str(cause) for cause in Cause]
