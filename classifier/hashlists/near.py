"""Finds PDQ hashes near a given one among millions, exactly: multi-index hashing, and a scan where that is faster.

A hash is sixteen chunks of 16 bits. Two hashes at most 31 bits apart differ by at most one bit in some chunk, so every
near one stands in one of 16 × 17 buckets (Norouzi, Punjani, Fleet: "Fast Search in Hamming Space with Multi-Index
Hashing", 2012). What stands there is compared in full: nothing is missed, whatever the hashes.

Measured on one core, 1,000,000 chance hashes, distance 31 (median of 200 look-ups; memory beside the hashes; building):
this 0.5 ms, 80 MB, 0.3 s; a scan in numpy 3 to 7 ms; faiss 1.15 with one thread: IndexBinaryFlat 1.1 ms,
IndexBinaryMultiHash 1.4 ms, 294 MB, 3.9 s; IndexBinaryHash misses near ones. So faiss, 64 MB installed and with an
OpenMP of its own beside torch's, is not used. ``tests/bench/hashes.py`` measures this and the scan anew.
"""

from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from classifier.hashlists.entries import Words

BITS = 256
CHUNKS = 16
_CHUNK_BITS = BITS // CHUNKS
_BUCKETS = 1 << _CHUNK_BITS

INDEXED_FROM = 20_000
"""Hashes from which on the buckets pay: below that a scan takes no longer than looking into them."""
INDEXED_TO = 3 * CHUNKS - 1
"""Distance up to which they pay: past it so many buckets have to be searched that a scan is faster."""

_SCAN_INSTEAD = 16
"""A scan is this many times faster for a hash than looking it up by its place in a bucket."""
_CANDIDATES = 1 << 20
"""Pairs compared at once, for memory's sake: some 60 MB."""
_AT_ONCE = 1 << 15
"""Pairs of a scan compared at once: what stays in a processor's cache."""


class Near(NamedTuple):
    """Pairs that are near: places in what was asked, places in the list, and their distances in bits."""

    asked: NDArray[np.int64]
    listed: NDArray[np.int64]
    distance: NDArray[np.uint16]


class NearIndex:
    """Searches ``words`` (``uint64 [n, 4]``) for what is at most ``distance`` bits away. Never changed once built."""

    def __init__(self, words: Words, distance: int) -> None:
        self._words = words
        self._distance = distance
        self._chunks: list[_Chunk] = []
        if len(words) >= INDEXED_FROM and distance <= INDEXED_TO:
            most, rest = divmod(distance, CHUNKS)
            # By pigeonhole: not all of the first rest + 1 chunks can differ by more than `most` bits while all the
            # others differ by `most` or more, which would make distance + 1 in all.
            for number in range(CHUNKS if most else rest + 1):
                self._chunks.append(_Chunk(_chunk(words, number), number, most if number <= rest else most - 1))

    @property
    def memory(self) -> int:
        """Bytes it takes beside the hashes."""
        return sum(chunk.memory for chunk in self._chunks)

    def search(self, asked: Words) -> Near:
        """Every pair that is near, those of one asked hash together, in the order asked; else in no order."""
        if not len(self._words) or not len(asked):
            return _joined([])
        if not self._chunks:
            return _joined(self._scan(asked))
        # None that is looked up has more candidates than a sixteenth of the list.
        step = min(64, max(1, _CANDIDATES * _SCAN_INSTEAD // len(self._words)))
        found: list[Near] = []
        for start in range(0, len(asked), step):
            pairs = self._look_up(asked[start : start + step])
            found += [some._replace(asked=some.asked + start) for some in pairs]
        return _joined(found)

    def _look_up(self, asked: Words) -> list[Near]:
        places = [chunk.places(asked) for chunk in self._chunks]
        many = sum(counts.sum(axis=1) for _, counts in places) > len(self._words) // _SCAN_INSTEAD
        which, candidates = [], []
        for chunk, (starts, counts) in zip(self._chunks, places, strict=True):
            counts[many] = 0
            flat = counts.reshape(-1)
            ends = np.cumsum(flat)
            within = np.repeat(starts.reshape(-1) - (ends - flat), flat) + np.arange(ends[-1])
            candidates.append(chunk.order[within])
            which.append(np.repeat(np.arange(len(asked)), counts.sum(axis=1)))
        query, listed = np.concatenate(which), np.concatenate(candidates).astype(np.int64)
        apart = np.bitwise_count(self._words[listed] ^ asked[query]).sum(axis=1, dtype=np.uint16)
        near = np.flatnonzero(apart <= self._distance)
        # The same pair may have been found by several of its chunks.
        _, once = np.unique(query[near] * len(self._words) + listed[near], return_index=True)
        near = near[once]
        found = [Near(query[near], listed[near], apart[near])]
        for place in np.flatnonzero(many).tolist():
            found += [pairs._replace(asked=pairs.asked + place) for pairs in self._scan(asked[place : place + 1])]
        return found

    def _scan(self, asked: Words) -> list[Near]:
        """Compare each with each."""
        found: list[Near] = []
        width = min(len(self._words), _AT_ONCE)
        height = max(1, _AT_ONCE // width)
        for top in range(0, len(asked), height):
            part = asked[top : top + height]
            for left in range(0, len(self._words), width):
                words = self._words[left : left + width]
                # Word by word, which is several times as fast as summing over the last axis.
                apart = np.zeros((len(part), len(words)), dtype=np.uint16)
                for word in range(words.shape[1]):
                    apart += np.bitwise_count(part[:, word, None] ^ words[:, word])
                query, listed = np.nonzero(apart <= self._distance)
                if len(query):
                    found.append(Near(query + top, listed + left, apart[query, listed]))
        return found


class _Chunk:
    """The hashes by one chunk of theirs: ``order[start[value]:start[value + 1]]`` are those with that value."""

    def __init__(self, values: NDArray[np.uint16], number: int, most: int) -> None:
        self.order = np.argsort(values, kind="stable").astype(np.uint32)
        self._starts = np.zeros(_BUCKETS + 1, dtype=np.int64)
        np.cumsum(np.bincount(values, minlength=_BUCKETS), out=self._starts[1:])
        self._number = number
        flipped = (bits for differ in range(most + 1) for bits in combinations(range(_CHUNK_BITS), differ))
        self._masks = np.array([sum(1 << bit for bit in bits) for bits in flipped], dtype=np.uint16)

    @property
    def memory(self) -> int:
        """Bytes."""
        return self.order.nbytes + self._starts.nbytes

    def places(self, asked: Words) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where in ``order`` the buckets begin that a near hash may stand in, and how many stand there: two
        ``int64 [len(asked), buckets]``."""
        values = _chunk(asked, self._number)[:, None] ^ self._masks
        starts = self._starts[values]
        return starts, self._starts[values.astype(np.int64) + 1] - starts


def _chunk(words: Words, number: int) -> NDArray[np.uint16]:
    word, part = divmod(number, 4)
    return (words[:, word] >> np.uint64(16 * part)).astype(np.uint16)


def _joined(found: list[Near]) -> Near:
    if not found:
        return Near(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.uint16))
    every = [np.concatenate(parts) for parts in zip(*found, strict=True)]
    order = np.argsort(every[0], kind="stable")
    return Near(*(part[order] for part in every))
