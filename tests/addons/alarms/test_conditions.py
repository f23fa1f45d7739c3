from addons.alarms.conditions import AGAIN, Condition
from addons.alarms.kinds import AlarmKind
from tests.addons.alarms.receiving import Raised

LEDGER = AlarmKind.LEDGER


def test_what_does_not_last_is_not_told() -> None:
    alarms = Raised()
    condition = Condition(alarms, LEDGER, 30, "well")
    for now, trouble in ((0, "full"), (29, "full"), (29.5, ""), (30, "full"), (59, "full"), (59.5, "")):
        condition.update(trouble, now)
    assert (alarms.said, alarms.ended) == ([], [])


def test_what_lasts_is_told_once_and_its_end_once() -> None:
    alarms = Raised()
    condition = Condition(alarms, LEDGER, 30, "well")
    for now in (0, 29, 30, 31, 1000):
        condition.update(f"full at {now}", now)
    assert alarms.said == [(LEDGER, "full at 30")]
    condition.update("", 1001)
    condition.update("", 1002)
    assert alarms.ended == [(LEDGER, "well")]


def test_what_goes_on_is_told_each_day() -> None:
    alarms = Raised()
    condition = Condition(alarms, LEDGER, 0, "well")
    for now in (0, AGAIN - 1, AGAIN, AGAIN + 1, 2 * AGAIN):
        condition.update("full", now)
    assert len(alarms.said) == 3


def test_another_trouble_of_the_same_kind_is_told_at_once() -> None:
    alarms = Raised()
    condition = Condition(alarms, LEDGER, 0, "well")
    for now, what in enumerate(("a", "a", "a, b", "a, b", "b")):
        condition.update(f"trouble: {what}", now, what)
    assert [message for _, message in alarms.said] == ["trouble: a", "trouble: a, b", "trouble: b"]
