"""Chooses the frames of a video that the detectors look at: those least alike, and evenly over the whole length."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

type Look = NDArray[np.float32]
"""A frame made very small: levels 0…255, as many for each frame of a video."""

PLACE = 0.5
"""How unlike two frames are for standing at both ends of a video; for being black and white it is 1."""


@dataclass(frozen=True, slots=True)
class Candidate[T]:
    """A frame that may be chosen. ``number``: in the order shown; ``place``: where in the video, 0…1."""

    number: int
    place: float
    look: Look
    frame: T


def places(times: Sequence[float | None]) -> list[float]:
    """Where each of a video's frames stands, 0…1, from the times (any unit) that they are shown at, in order.

    The mean of its share of the time and of the number: times lie (one frame a year after the rest), and in a frozen
    stretch a few frames last long; this way neither can take more than half of the places from the others.
    """
    last = max(1, len(times) - 1)
    ranks = [number / last for number in range(len(times))]
    known = [time for time in times if time is not None]
    span = max(known) - min(known) if known and len(known) == len(times) else 0
    if span <= 0:
        return ranks
    first = min(known)
    return [(rank + (time - first) / span) / 2 for rank, time in zip(ranks, known, strict=True)]


def widest(places: Sequence[float], seen: Iterable[int], *, whole: bool = True) -> float:
    """The longest stretch of a video, as a share of it, in which no frame was seen, of frames at ``places``.

    ``seen``: their numbers. ``whole``: ``places`` are those of all frames, so that nothing is between two in a row.
    """
    before, place, longest = -1, 0.0, 0.0
    for number in sorted(seen):
        if not whole or number > before + 1:
            longest = max(longest, places[number] - place)
        before, place = number, places[number]
    return max(longest, 1.0 - place) if before < len(places) - 1 else longest


def coarse_to_fine(count: int) -> list[int]:
    """The numbers below ``count``, so ordered that the first few of them, however few, lie evenly (van der Corput)."""
    bits = max(1, (count - 1).bit_length())
    return [number for step in range(1 << bits) if (number := int(f"{step:0{bits}b}"[::-1], 2)) < count]


class Pool[T]:
    """Keeps the ``most`` candidates that are the least alike of all that were offered."""

    def __init__(self, most: int) -> None:
        self._most = max(1, most)
        self._kept: list[Candidate[T]] = []
        self._apart = np.full((self._most + 1, self._most + 1), np.inf, np.float32)

    def __len__(self) -> int:
        """How many are kept."""
        return len(self._kept)

    def offer(self, one: Candidate[T]) -> None:
        """Keep it, and let go of the one that is most like another if they have become too many."""
        at = len(self._kept)
        if at:
            looks = np.stack([other.look for other in self._kept])
            placed = np.array([other.place for other in self._kept], np.float32)
            apart = unlike(looks, one.look) + PLACE * np.abs(placed - one.place)
            self._apart[at, :at] = self._apart[:at, at] = apart
        self._kept.append(one)
        if len(self._kept) > self._most:
            self._drop()

    def chosen(self, most: int) -> list[Candidate[T]]:
        """At most ``most`` of those kept, by number: half stand evenly, half are those least like all others chosen."""
        if len(self._kept) <= most:
            return sorted(self._kept, key=lambda one: one.number)
        evenly = max(1, most // 2)
        placed = np.array([one.place for one in self._kept])
        targets = np.linspace(0, 1, evenly) if evenly > 1 else [0.5]
        picked = list(dict.fromkeys(int(np.abs(placed - target).argmin()) for target in targets))
        looks = np.stack([one.look for one in self._kept])
        nearest = np.full(len(self._kept), np.inf, np.float32)
        for at in picked:
            nearest = np.minimum(nearest, unlike(looks, looks[at]))
        while len(picked) < most:
            nearest[picked] = -1
            at = int(nearest.argmax())
            picked.append(at)
            nearest = np.minimum(nearest, unlike(looks, looks[at]))
        return sorted((self._kept[at] for at in picked), key=lambda one: one.number)

    def _drop(self) -> None:
        count = len(self._kept)
        apart = self._apart[:count, :count]
        nearest = apart.min(axis=1)
        # Of the two most alike, the one that is nearer to a third.
        pair = np.flatnonzero(nearest == nearest.min())[:2]
        second = [np.partition(apart[at], 1)[1] for at in pair]
        gone = int(pair[int(np.argmin(second))])
        last = count - 1
        self._apart[gone, :count], self._apart[:count, gone] = self._apart[last, :count], self._apart[:count, last]
        self._apart[gone, gone] = np.inf
        self._apart[last, :], self._apart[:, last] = np.inf, np.inf
        self._kept[gone] = self._kept[last]
        self._kept.pop()


def unlike(looks: NDArray[np.float32], look: Look) -> NDArray[np.float32]:
    """How unlike one look each of ``looks`` is, 0…1: the root of the mean square, so that a small object counts."""
    return (np.sqrt(np.square(looks - look).mean(axis=1)) / 255).astype(np.float32)
