from dataclasses import dataclass

import pytest

from addons.alarms.clocks import CALM, FRESH, HOSTS, JUMP, MOST, SKEW, Clocks


@dataclass
class Machine:
    """Its two clocks."""

    wall: float = 1e9
    steady: float = 50.0

    def __post_init__(self) -> None:
        self.clocks = Clocks(lambda: self.wall, lambda: self.steady)

    def passes(self, seconds: float, set_by: float = 0.0) -> str:
        """So much time goes by, and the clock is set; what is wrong then."""
        self.wall += seconds + set_by
        self.steady += seconds
        return self.clocks.trouble()


def test_time_that_passes_is_no_trouble() -> None:
    machine = Machine()
    assert [machine.passes(seconds) for seconds in (0, 5, 100_000)] == ["", "", ""]


@pytest.mark.parametrize(("by", "way"), [(JUMP + 1, "forward by 31 s"), (-JUMP - 1, "back by 31 s")])
def test_a_step_is_told_until_it_is_calm_again(by: float, way: str) -> None:
    machine = Machine()
    assert way in machine.passes(5, by)
    assert way in machine.passes(CALM - 1)
    assert machine.passes(2) == ""


def test_small_steps_are_not() -> None:
    machine = Machine()
    assert [machine.passes(5, by) for by in (JUMP, -JUMP, 1, -1)] == [""] * 4


@pytest.mark.parametrize(("by", "way"), [(SKEW + 1, "about 301 s fast"), (-SKEW - 1, "about 301 s slow")])
def test_dates_of_several_hosts_that_differ(by: float, way: str) -> None:
    machine = Machine()
    for number in range(HOSTS - 1):
        machine.clocks.skew(f"host{number}", by)
    assert machine.clocks.trouble() == ""
    machine.clocks.skew("one-more", by)
    assert way in machine.clocks.trouble()
    assert f"{HOSTS} hosts" in machine.clocks.trouble()


def test_dates_that_do_not_differ_enough() -> None:
    machine = Machine()
    for number in range(HOSTS):
        machine.clocks.skew(f"host{number}", SKEW)
    assert machine.clocks.trouble() == ""


def test_one_host_decides_nothing_however_much_it_sends() -> None:
    machine = Machine()
    for _ in range(1000):
        machine.clocks.skew("flood", 9999)
    for number in range(HOSTS):
        machine.clocks.skew(f"host{number}", 1)
    assert machine.clocks.trouble() == ""


def test_old_dates_are_forgotten_and_memory_is_bounded() -> None:
    machine = Machine()
    for number in range(MOST + 100):
        machine.clocks.skew(f"host{number}", SKEW + 1)
    assert f"{MOST} hosts" in machine.clocks.trouble()
    assert machine.passes(FRESH + 1) == ""
    assert not machine.clocks._skews
