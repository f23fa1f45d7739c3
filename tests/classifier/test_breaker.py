import logging

import pytest

from classifier.breaker import Breaker, BreakerSettings
from classifier.types import CannotJudgeError


class Watched:
    """A breaker with a clock that is set by hand."""

    def __init__(self, settings: BreakerSettings | None = None) -> None:
        self.now = 1000.0
        self.breaker = Breaker("the judge", settings=settings or BreakerSettings(), clock=lambda: self.now)

    def fail(self, times: int = 1) -> None:
        for _ in range(times):
            self.breaker.failed("no_worker", "it is silent")

    def lets_by(self) -> bool:
        try:
            self.breaker.check()
        except CannotJudgeError as error:
            if error.cause != "no_worker" or "it is silent" not in str(error):
                raise
            return False
        return True

    def state(self) -> str:
        return self.breaker.state


def test_failures_in_a_row_at_the_bound_and_one_before() -> None:
    one = Watched()
    one.fail(4)
    one.breaker.succeeded()
    one.fail(4)
    assert (one.state(), one.lets_by(), one.breaker.trouble()) == ("closed", True, "")
    one.now += 1
    one.fail()
    assert (one.state(), one.breaker.since, one.lets_by()) == ("open", 1001.0, False)
    assert one.breaker.trouble() == "the judge does not work, and is tried again in 5 s: it is silent"


@pytest.mark.parametrize(("failed", "of", "state"), [(10, 20, "closed"), (11, 20, "open"), (10, 19, "closed")])
def test_more_than_half_of_at_least_twenty(failed: int, of: int, state: str) -> None:
    one = Watched(BreakerSettings(row=100))
    for _ in range(of - failed):
        one.breaker.succeeded()
    one.fail(failed)
    assert one.state() == state


def test_only_the_last_minute_counts() -> None:
    one = Watched(BreakerSettings(row=100))
    one.fail(19)
    one.now += 60
    one.fail(19)
    assert one.state() == "closed"
    one.now += 59.9
    one.fail()
    assert one.state() == "open"


def test_one_is_let_through_after_five_seconds_and_then_after_twice_as_many_up_to_a_minute() -> None:
    one = Watched()
    one.fail(5)
    for wait in (5, 10, 20, 40, 60, 60):
        one.now += wait - 0.1
        assert not one.lets_by()
        one.now += 0.2
        assert one.lets_by()
        assert one.state() == "half-open"
        assert not one.lets_by(), "one only"
        one.fail()
        assert one.state() == "open"


def test_one_that_never_tells_is_followed_by_another() -> None:
    one = Watched()
    one.fail(5)
    for _ in range(3):
        one.now += 5.1
        assert one.lets_by()
        assert not one.lets_by()
        assert one.state() == "half-open"


def test_one_success_closes_it_and_all_is_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    one = Watched()
    one.fail(5)
    one.now += 5
    assert one.lets_by()
    one.fail()
    one.now += 10
    assert one.lets_by()
    one.breaker.succeeded()
    assert (one.state(), one.breaker.since, one.lets_by()) == ("closed", one.now, True)
    one.fail(4)
    assert one.state() == "closed"
    one.fail()
    one.now += 5
    assert one.lets_by(), "the first wait is short again"
    assert [record.levelno for record in caplog.records] == [logging.ERROR, logging.WARNING, logging.ERROR]


def test_what_comes_late_while_it_is_open_changes_nothing_but_a_success_does() -> None:
    one = Watched()
    one.fail(5)
    one.now += 4
    one.fail(3)
    one.now += 1
    assert one.lets_by()
    one.breaker.succeeded()
    assert one.lets_by()


def test_one_failure_may_tell_enough() -> None:
    one = Watched()
    one.breaker.trip("timeout", "stuck")
    with pytest.raises(CannotJudgeError, match="stuck") as caught:
        one.breaker.check()
    assert (caught.value.cause, one.state()) == ("timeout", "open")


def test_its_memory_is_bounded() -> None:
    one = Watched()
    for _ in range(10_000):
        one.breaker.succeeded()
    assert len(one.breaker._outcomes) == 256
