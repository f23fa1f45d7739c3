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
    """Chooses ``most`` of all candidates that are offered, keeping ``keep`` (no fewer) and half of ``most`` meanwhile:
    those least alike, and beside them those that stand nearest to even steps.
    """

    def __init__(self, most: int, keep: int) -> None:
        self._most = most
        self._keep = max(most, keep)
        self._kept: list[Candidate[T]] = []
        self._looks = np.empty((0, 0), np.float32)
        self._apart = np.full((self._keep + 1, self._keep + 1), np.inf, np.float32)
        steps = max(1, most // 2)
        self._targets = np.linspace(0, 1, steps) if steps > 1 else np.array([0.5])
        self._evenly: list[Candidate[T]] = []
        self._off = np.full(steps, np.inf)

    def offer(self, one: Candidate[T]) -> None:
        """Keep it, and let go of the one that is most like another if they have become too many."""
        off = np.abs(self._targets - one.place)
        if not self._evenly:
            self._evenly = [one] * len(off)
            self._looks = np.empty((self._keep + 1, len(one.look)), np.float32)
        for step in np.flatnonzero(off < self._off):
            self._evenly[step] = one
        self._off = np.minimum(self._off, off)
        at = len(self._kept)
        if at:
            placed = np.array([other.place for other in self._kept], np.float32)
            apart = unlike(self._looks[:at], one.look) + PLACE * np.abs(placed - one.place)
            self._apart[at, :at] = self._apart[:at, at] = apart
        self._looks[at] = one.look
        self._kept.append(one)
        if len(self._kept) > self._keep:
            self._drop()

    def chosen(self) -> list[Candidate[T]]:
        """At most ``most``, by number: half stand evenly, half are those least like all others chosen."""
        count = len(self._kept)
        if count <= self._most:
            return sorted(self._kept, key=lambda one: one.number)
        chosen = {one.number: one for one in self._evenly}
        looks = self._looks[:count]
        nearest = np.full(count, np.inf, np.float32)
        for one in self._evenly:
            nearest = np.minimum(nearest, unlike(looks, one.look))
        while len(chosen) < self._most:
            nearest[[at for at, one in enumerate(self._kept) if one.number in chosen]] = -1
            at = int(nearest.argmax())
            chosen[self._kept[at].number] = self._kept[at]
            nearest = np.minimum(nearest, unlike(looks, looks[at]))
        return sorted(chosen.values(), key=lambda one: one.number)

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
        self._looks[gone] = self._looks[last]
        self._kept[gone] = self._kept[last]
        self._kept.pop()


def unlike(looks: NDArray[np.float32], look: Look) -> NDArray[np.float32]:
    """How unlike one look each of ``looks`` is, 0…1: the root of the mean square, so that a small object counts."""
    apart = looks - look
    found: NDArray[np.float32] = np.sqrt(np.einsum("ij,ij->i", apart, apart) / looks.shape[1]) / np.float32(255)
    return found
