"""Chooses the frames of an animation that the detectors look at: by the time each is shown, not by its number alone."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

_AT_ONCE = 10.0
_INSTEAD = 100.0


def shown_for(said: object) -> float:
    """Milliseconds that browsers show a frame for which the file says ``said``: 10 and less are taken as 100.

    Chromium (``cc/paint``), Gecko and WebKit agree on that for GIF, APNG and WebP alike.
    """
    if not isinstance(said, int | float) or not math.isfinite(said) or said <= _AT_ONCE:
        return _INSTEAD
    return float(said)


def sampled(times: Sequence[float], most: int) -> list[int]:
    """At most ``most`` frames, in order, of an animation whose frames are shown for ``times`` (any unit, above 0).

    The first and the last; then, half of what is left each, the longest shown and those that stand at even steps of
    the whole time: so a frame shown longer than any other is never left out, nor one shown for more than half of the
    time, nor a run of frames longer than a few steps (from ``most`` 3 on; 2 leave room for the first and last, and 1
    only for the longest).
    """
    count = len(times)
    if count <= most:
        return list(range(count))
    if most == 1:
        return [_longest(times)[0]]
    if min(times) == max(times):
        return [(number * (count - 1) + (most - 1) // 2) // (most - 1) for number in range(most)]
    chosen = {0, count - 1}
    ranked = _longest(times)
    steps = (most - 2) // 2
    _fill(chosen, ranked, most - steps)
    ends = list(accumulate(times))
    for step in range(1, steps + 1):
        chosen.add(min(bisect_right(ends, ends[-1] * step / (steps + 1)), count - 1))
    _fill(chosen, ranked, most)
    return sorted(chosen)


def _longest(times: Sequence[float]) -> list[int]:
    return sorted(range(len(times)), key=lambda number: (-times[number], number))


def _fill(chosen: set[int], ranked: Sequence[int], most: int) -> None:
    for number in ranked:
        if len(chosen) >= most:
            return
        chosen.add(number)
