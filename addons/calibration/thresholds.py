"""From the scores of ordinary media to the threshold with a wanted false-positive rate, and how sure that is."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95
"""Of the intervals below: two-sided."""
DIGITS = 4
"""Thresholds are rounded up to this many decimals, which a person can read and type."""
_FEWEST = 10
"""Files that should lie above a threshold for its rate to be known within about a factor of two."""


@dataclass(frozen=True, slots=True)
class Interval:
    """From ``low`` to ``high``, both counted in."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class Threshold:
    """The lowest score of which at most the share ``wanted`` of ``files`` lies above: ``above`` of them do.

    ``rate``: where the true share above it lies, at ``CONFIDENCE``, for media like these. ``score`` is None where even
    1.0 is reached by too many.
    """

    symbol: str
    wanted: float
    files: int
    score: float | None
    above: int
    rate: Interval

    @property
    def needed(self) -> int:
        """Files from which on such a rate can be told to within a factor of about two."""
        return math.ceil(_FEWEST / self.wanted)

    @property
    def unknown(self) -> bool:
        """Whether of so few files not even one may lie above it, so that they say next to nothing of the rate."""
        return self.files * self.wanted < 1

    @property
    def too_few(self) -> str:
        """What to say of so few files; empty where they are enough."""
        if self.unknown:
            return (
                f"{self.files} files are far too few for a rate of {self.wanted:g}: the threshold is the highest score "
                f"seen, and the rate may be as high as {self.rate.high:.2g}; take {self.needed:,} or more"
            )
        if self.files < self.needed:
            return f"{self.files} files are few for a rate of {self.wanted:g}: {self.needed:,} would halve the doubt"
        return ""


def threshold(symbol: str, scores: Sequence[float], wanted: float) -> Threshold:
    """The threshold for ``symbol``, whose ``scores`` (one a file, at least one) are of media that nobody objects to.

    Files whose score is above it (``>``) would be flagged. The interval is exact for any continuous distribution: the
    share above the j-th highest of n scores follows Beta(j, n - j + 1) (David and Nagaraja, Order Statistics, 2.1).
    """
    ordered = sorted(scores, reverse=True)
    files = len(ordered)
    allowed = min(math.floor(wanted * files + 1e-9), files - 1)
    scale = 10**DIGITS
    score = math.ceil(ordered[allowed] * scale - 1e-9) / scale
    above = sum(one > score for one in ordered)
    # A threshold of 1 could never be passed: no rule can be written that keeps to the rate.
    return Threshold(symbol, wanted, files, score if score < 1 else None, above, interval(above, files))


def interval(above: int, files: int, confidence: float = CONFIDENCE) -> Interval:
    """Where the true share lies of which ``above`` among ``files`` is a sample (Clopper and Pearson)."""
    tail = (1 - confidence) / 2
    low = 0.0 if above == 0 else _root(lambda share: 1 - _at_most(above - 1, files, share), tail)
    high = 1.0 if above == files else _root(lambda share: 1 - _at_most(above, files, share), 1 - tail)
    return Interval(low, high)


def expected(above: int, files: int, others: int, confidence: float = CONFIDENCE) -> Interval:
    """How many of ``others`` new media like these will lie above: the true share and the draw are both uncertain."""
    tail = (1 - confidence) / 2
    low = 0 if above == 0 else _quantile(above, files - above + 1, others, tail)
    return Interval(low, _quantile(above + 1, max(files - above, 1), others, 1 - tail))


def _at_most(count: int, files: int, share: float) -> float:
    """P(Binomial(files, share) <= count)."""
    if share <= 0:
        return 1.0
    if share >= 1:
        return 1.0 if count >= files else 0.0
    odds = math.log(share) - math.log1p(-share)
    term = files * math.log1p(-share)
    total = math.exp(term)
    for k in range(1, count + 1):
        term += math.log((files - k + 1) / k) + odds
        total += math.exp(term)
    return min(total, 1.0)


def _root(rising: Callable[[float], float], wanted: float) -> float:
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < wanted else (low, middle)
    return (low + high) / 2


def _quantile(a: float, b: float, others: int, wanted: float) -> int:
    """The least k with P(BetaBinomial(others, a, b) <= k) >= wanted."""
    term = math.lgamma(b + others) + math.lgamma(a + b) - math.lgamma(b) - math.lgamma(a + b + others)
    total = math.exp(term)
    k = 0
    while total < wanted and k < others:
        term += math.log((others - k) * (a + k)) - math.log((k + 1) * (b + others - k - 1))
        total += math.exp(term)
        k += 1
    return k
