import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.fetching.budget import BudgetSpentError, Lease, MemoryBudget


def test_the_last_byte_can_be_had_and_the_next_one_cannot() -> None:
    budget = MemoryBudget(10)
    with budget.take(10) as lease:
        assert (lease.size, budget.used) == (10, 10)
        with pytest.raises(BudgetSpentError, match=r"limits\.memory: 10 of 10"):
            budget.take(1)
        assert budget.used == 10
        budget.take(0).release()
    assert budget.used == 0


def test_growing_to_the_limit_and_one_past_it() -> None:
    budget = MemoryBudget(10)
    with budget.take(4) as lease:
        lease.grow(6)
        with pytest.raises(BudgetSpentError):
            lease.grow(1)
        assert lease.size == 10
    assert budget.used == 0


def test_release_counts_once() -> None:
    budget = MemoryBudget(10)
    other = budget.take(3)
    lease = budget.take(5)
    lease.release()
    lease.release()
    assert (budget.used, lease.size) == (3, 0)
    with pytest.raises(ValueError, match="released already"):
        lease.grow(1)
    other.release()
    assert budget.used == 0


@pytest.mark.parametrize("limit", [0, -1])
def test_a_budget_of_nothing_is_a_mistake(limit: int) -> None:
    with pytest.raises(ValueError, match="at least one byte"):
        MemoryBudget(limit)


def test_negative_amounts_are_a_mistake() -> None:
    budget = MemoryBudget(10)
    with pytest.raises(ValueError, match="cannot lease -1 bytes"):
        budget.take(-1)
    with budget.take(5) as lease, pytest.raises(ValueError, match="cannot lease -6 bytes"):
        lease.grow(-6)
    assert budget.used == 0


def test_a_forgotten_lease_is_given_back_with_a_warning() -> None:
    budget = MemoryBudget(10)
    leases = [budget.take(7)]
    with pytest.warns(ResourceWarning, match="lease of 7 bytes"):
        leases.clear()
    assert budget.used == 0


@given(st.lists(st.tuples(st.sampled_from(["take", "grow", "release"]), st.integers(0, 7), st.integers(0, 40))))
def test_used_is_always_the_sum_of_the_leases_and_never_past_the_limit(steps: list[tuple[str, int, int]]) -> None:
    budget = MemoryBudget(100)
    leases: list[Lease] = []
    for step, which, n in steps:
        try:
            if step == "take":
                leases.append(budget.take(n))
            elif leases and step == "grow":
                leases[which % len(leases)].grow(n)
            elif leases:
                leases.pop(which % len(leases)).release()
        except BudgetSpentError:
            assert budget.used + n > 100
        assert budget.used == sum(lease.size for lease in leases) <= 100
    for lease in leases:
        lease.release()
    assert budget.used == 0


def test_bytes_that_are_shared_count_until_both_have_released_them() -> None:
    budget = MemoryBudget(10)
    lease = budget.take(7)
    first, second = lease.shared(), lease.shared()
    lease.release()
    assert (lease.size, budget.used) == (0, 7)
    with pytest.raises(ValueError, match="released already"):
        lease.shared()
    first.release()
    first.release()
    assert budget.used == 7
    second.release()
    assert budget.used == 0


def test_a_share_that_is_released_first_gives_nothing_back() -> None:
    budget = MemoryBudget(10)
    with budget.take(4) as lease:
        lease.shared().release()
        assert budget.used == 4
        lease.grow(6)
        assert budget.used == 10
    assert budget.used == 0
