"""Chooses the frames of an animation that the detectors look at: by the time each is shown, and by what it shows."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from classifier.scenes import Look, unlike

_CELLS = 16
LOOK = _CELLS * _CELLS * 3
"""Numbers in a frame's look."""

_AT_ONCE = 10.0
_INSTEAD = 100.0
_LAST = 1e-3
"""How unlike two frames count as for being first and last: of frames that look the same, the one furthest away."""


def shown_for(said: object) -> float:
    """Milliseconds that browsers show a frame for which the file says ``said``: 10 and less are taken as 100.

    Chromium (``cc/paint``), Gecko and WebKit agree on that for GIF, APNG and WebP alike.
    """
    if not isinstance(said, int | float) or not math.isfinite(said) or said <= _AT_ONCE:
        return _INSTEAD
    return float(said)


def look_of(pixels: NDArray[np.uint8]) -> Look:
    """``uint8 [height, width, 3]`` RGB made so small that it tells only scenes apart: ``float32 [LOOK]``."""
    image = Image.fromarray(pixels).resize((_CELLS, _CELLS), Image.Resampling.BOX, reducing_gap=1.0)
    return np.asarray(image, np.float32).ravel()


def sampled(times: Sequence[float], most: int, looks: NDArray[np.float32] | None = None) -> list[int]:
    """At most ``most`` frames, in order, of an animation whose frames are shown for ``times`` (any unit, above 0).

    The first and the last. Then, where their ``looks`` are given (``float32 [frames, LOOK]``), half of what is left by
    scene: each time the one that is least like all that are chosen. Half of the rest each: the longest shown and those
    that stand at even steps of the whole time; so a frame shown longer than any other is never left out, nor one shown
    for more than half of the time (from ``most`` 3 on; 2 leave room for the first and last, and 1 only for the
    longest).
    """
    scenes = max(0, most - 2) // 2 if looks is not None and len(times) > most else 0
    chosen = _by_time(times, most - scenes)
    if looks is None or not scenes:
        return chosen
    numbers = np.arange(len(times)) * (_LAST / len(times))
    nearest = np.full(len(times), np.inf, np.float32)
    for number in chosen:
        nearest = np.minimum(nearest, unlike(looks, looks[number]) + np.abs(numbers - numbers[number]))
    for _ in range(scenes):
        number = int(nearest.argmax())
        chosen.append(number)
        nearest = np.minimum(nearest, unlike(looks, looks[number]) + np.abs(numbers - numbers[number]))
    return sorted(chosen)


def _by_time(times: Sequence[float], most: int) -> list[int]:
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
