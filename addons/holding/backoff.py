"""How long to wait before what failed is tried again: doubling, with jitter, so that many do not come at once."""

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Seconds until the first try again (``first``), and at most between two (``longest``); they double in between."""

    first: float
    longest: float

    def after(self, attempts: int, chance: Callable[[], float] = random.random) -> float:
        """Seconds to wait after that many tries failed (1 or more): between half of it and the whole.

        ``chance`` gives numbers from 0 up to 1.
        """
        # Past 2**32 times the first one every wait is the longest; the exponent is bounded before it is used.
        whole = min(self.longest, self.first * 2.0 ** min(max(attempts - 1, 0), 32))
        return whole * (0.5 + chance() / 2)
