from typing import get_args

import pytest

from addons.policy.words import Action, Cause, Decision, Hit, Then


def test_actions_stand_from_the_strictest_to_the_laxest() -> None:
    by_rank = sorted(Action, key=lambda action: action.rank)
    assert [str(action) for action in by_rank] == ["drop", "reject", "hold", "defer", "strip", "record", "pass"]


def test_a_decision_names_its_rule_or_cause() -> None:
    rule, cause = Hit(Action.DROP, rule="r"), Hit(Action.DEFER, cause=Cause.BUSY)
    assert (Decision(Action.DROP, rule).rule, Decision(Action.DROP, rule).cause) == ("r", None)
    assert (Decision(Action.DEFER, cause).rule, Decision(Action.DEFER, cause).cause) == (None, Cause.BUSY)
    assert (Decision(Action.PASS).rule, Decision(Action.PASS).cause) == (None, None)


def _held(*thens: Then | None) -> Decision:
    hits = [Hit(Action.HOLD, cause=Cause.TIMEOUT, then=then) for then in thens]
    return Decision(Action.HOLD, hits[0] if hits else None, hits)


@pytest.mark.parametrize(
    ("decision", "then"),
    [
        (_held("drop"), "drop"),
        (_held("record"), "record"),
        (_held("record", "record"), "record"),
        (_held("record", "drop"), "drop"),
        (_held("record", None), "drop"),
        (_held(), "drop"),
        (Decision(Action.HOLD, Hit(Action.HOLD, then="record")), "record"),
        (Decision(Action.DROP, Hit(Action.DROP), _held("record").hits), None),
    ],
)
def test_only_where_all_agree_is_a_hold_let_by_in_the_end(decision: Decision, then: Then | None) -> None:
    assert decision.then == then


def test_a_hold_ends_in_these() -> None:
    assert get_args(Then.__value__) == ("drop", "record")
