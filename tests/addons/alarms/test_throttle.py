from addons.alarms.kinds import AlarmKind
from addons.alarms.throttle import Said, Throttle

LEDGER, CLOCK = AlarmKind.LEDGER, AlarmKind.CLOCK


def test_one_of_a_kind_in_a_while() -> None:
    throttle = Throttle(10)
    assert throttle.said(LEDGER, "a", 0) == Said(LEDGER, "a")
    assert throttle.said(LEDGER, "b", 9.9) is None
    assert throttle.said(CLOCK, "c", 9.9) == Said(CLOCK, "c")
    assert throttle.said(LEDGER, "d", 10) == Said(LEDGER, "d", suppressed=1)


def test_what_was_not_sent_is_told_of_when_the_time_is_up() -> None:
    throttle = Throttle(10)
    throttle.said(LEDGER, "a", 0)
    assert throttle.next() is None
    for message in ("b", "c", "d"):
        throttle.said(LEDGER, message, 1)
    assert throttle.next() == 10
    assert throttle.due(9.9) == []
    assert throttle.due(10) == [Said(LEDGER, "d", suppressed=2)]
    assert throttle.next() is None
    assert throttle.due(100) == []
    assert throttle.said(LEDGER, "e", 19) is None


def test_over_is_said_once_and_only_of_what_was_told() -> None:
    throttle = Throttle(10)
    assert throttle.over(LEDGER, "well", 0) is None
    throttle.said(LEDGER, "a", 0)
    assert throttle.over(LEDGER, "well", 1) == Said(LEDGER, "well", over=True)
    assert throttle.over(LEDGER, "well", 2) is None


def test_what_comes_and_goes_is_told_once_in_a_while() -> None:
    throttle = Throttle(10)
    sent = []
    for second in range(0, 10, 2):
        sent += [throttle.said(LEDGER, "a", second), throttle.over(LEDGER, "well", second + 1)]
    assert [one for one in sent if one] == [Said(LEDGER, "a"), Said(LEDGER, "well", over=True)]
    assert throttle.due(10) == [Said(LEDGER, "a (over by now)", suppressed=3)]
    assert throttle.over(LEDGER, "well", 11) is None


def test_what_is_told_late_and_goes_on_is_told_to_be_over() -> None:
    throttle = Throttle(10)
    throttle.said(LEDGER, "a", 0)
    throttle.over(LEDGER, "well", 1)
    throttle.said(LEDGER, "b", 2)
    assert throttle.due(10) == [Said(LEDGER, "b", suppressed=0)]
    assert throttle.over(LEDGER, "well", 11) == Said(LEDGER, "well", over=True)
