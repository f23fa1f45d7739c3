from addons.policy.words import Action, Cause, Decision, Hit


def test_actions_stand_from_the_strictest_to_the_laxest() -> None:
    by_rank = sorted(Action, key=lambda action: action.rank)
    assert [str(action) for action in by_rank] == ["drop", "reject", "hold", "defer", "strip", "record", "pass"]


def test_a_decision_names_its_rule_or_cause() -> None:
    rule, cause = Hit(Action.DROP, rule="r"), Hit(Action.DEFER, cause=Cause.BUSY)
    assert (Decision(Action.DROP, rule).rule, Decision(Action.DROP, rule).cause) == ("r", None)
    assert (Decision(Action.DEFER, cause).rule, Decision(Action.DEFER, cause).cause) == (None, Cause.BUSY)
    assert (Decision(Action.PASS).rule, Decision(Action.PASS).cause) == (None, None)
