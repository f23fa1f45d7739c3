import pytest

from addons.ledger.held import Bounds, HoldFullError


@pytest.mark.parametrize("which", ["count", "bytes", "host_count", "host_bytes", "unverified"])
def test_the_bound_that_is_reached_is_named(which: str) -> None:
    error = HoldFullError(which)  # type: ignore[arg-type]  # one of its words
    assert error.which == which
    assert which in str(error)


def test_the_bounds_are_those_of_the_example() -> None:
    from addons.policy.hold_sections import Holds

    section, bounds = Holds(), Bounds()
    for name in ("count", "bytes", "host_count", "host_bytes"):
        assert getattr(section, name) == getattr(bounds, name)
