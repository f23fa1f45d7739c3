import pytest

from addons.fetching.budget import BudgetSpentError, MemoryBudget
from addons.fetching.portion import Portion


def test_what_a_portion_takes_counts_in_the_whole() -> None:
    whole = MemoryBudget(100)
    portion = Portion(whole, 50)
    with portion.take(30) as lease:
        lease.grow(20)
        assert (portion.used, whole.used) == (50, 50)
        with pytest.raises(BudgetSpentError):
            lease.grow(1)
        assert (portion.used, whole.used) == (50, 50)
    assert (portion.used, whole.used) == (0, 0)


def test_a_portion_has_no_more_than_the_whole_has_left() -> None:
    whole = MemoryBudget(100)
    portion = Portion(whole, 50)
    with whole.take(60):
        with portion.take(40), pytest.raises(BudgetSpentError):
            portion.take(1)
        assert (portion.used, whole.used) == (0, 60)
    assert whole.used == 0
