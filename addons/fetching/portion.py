"""A part of the memory budget, so that what takes much of it leaves the rest to others."""

from addons.fetching.budget import BudgetSpentError, MemoryBudget


class Portion(MemoryBudget):
    """At most ``limit`` bytes of ``whole``: what is taken here counts there too."""

    def __init__(self, whole: MemoryBudget, limit: int) -> None:
        super().__init__(limit)
        self._whole = whole

    def _reserve(self, n: int) -> None:
        super()._reserve(n)
        try:
            self._whole._reserve(n)
        except BudgetSpentError:
            super()._give_back(n)
            raise

    def _give_back(self, n: int) -> None:
        super()._give_back(n)
        self._whole._give_back(n)
