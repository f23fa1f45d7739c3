"""The entries of a hash list in memory: packed arrays, since a million Python objects would cost ten times as much."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

type Kind = Literal["md5", "sha1", "sha256", "pdq"]
type Words = NDArray[np.uint64]
"""Hashes, ``uint64 [n, words]``, the first hex digits in the highest bits; SHA-1's last word is half empty."""

KINDS: tuple[Kind, ...] = get_args(Kind.__value__)
DIGITS: Mapping[Kind, int] = {"md5": 32, "sha1": 40, "sha256": 64, "pdq": 64}
"""Hex digits of a hash."""

_HEX = re.compile(r"[0-9a-fA-F]+")
SPLIT = b"\n"
"""Between source and note in :class:`Remarks`: neither can hold it."""


@dataclass(frozen=True, slots=True)
class Remarks:
    """What the lines say beside kind and hash: one blob, cut at ``ends``; parted only when a match is told."""

    blob: bytes | memoryview
    ends: NDArray[np.int64]

    def at(self, place: int) -> tuple[str, str]:
        """Source and note."""
        start = int(self.ends[place - 1]) if place else 0
        source, _, note = bytes(self.blob[start : int(self.ends[place])]).partition(SPLIT)
        return source.decode().strip(), note.decode().strip()


@dataclass(frozen=True, slots=True)
class Hashes:
    """The hashes of one kind, in order, no two alike; ``remarks`` is each one's place in :class:`Remarks`."""

    kind: Kind
    words: Words
    remarks: NDArray[np.uint32]

    def __len__(self) -> int:
        """How many."""
        return len(self.words)

    @classmethod
    def of(cls, kind: Kind, words: Words, lines: NDArray[np.uint32], remarks: NDArray[np.uint32]) -> Self:
        """Put in order; of a hash that stands in two lines (``lines``: their numbers), the first counts."""
        order = np.lexsort((lines, *words.T[::-1]))
        words = words[order]
        first = np.ones(len(words), dtype=bool)
        first[1:] = (words[1:] != words[:-1]).any(axis=1)
        return cls(kind, words[first], remarks[order][first])

    def find(self, digest: str) -> int | None:
        """Where the very hash (hex digits) stands; None too for what is none, as the name of a file known in parts."""
        if not _HEX.fullmatch(digest):
            return None
        wanted = words_of(self.kind, [digest])[0]
        start, stop = (np.searchsorted(self.words[:, 0], wanted[0], side) for side in ("left", "right"))
        same = np.flatnonzero((self.words[start:stop] == wanted).all(axis=1))
        return int(start + same[0]) if len(same) else None

    def beyond(self, other: "Hashes") -> NDArray[np.intp]:
        """Places of those that ``other``, of the same kind, has not."""
        both = np.concatenate((other.words, self.words))
        order = np.lexsort(both.T[::-1])  # stable: of two alike, the other's comes first
        again = (both[order][1:] == both[order][:-1]).all(axis=1)
        new = np.ones(len(self), dtype=bool)
        new[order[1:][again] - len(other)] = False
        return np.flatnonzero(new)

    def digest(self, place: int) -> str:
        """Its hex digits."""
        packed: bytes = self.words[place].astype(">u8").tobytes()
        return packed.hex()[: DIGITS[self.kind]]


def words_of(kind: Kind, digests: Sequence[str]) -> Words:
    """Hex digits as words."""
    packed = np.frombuffer(bytes.fromhex("".join(digests)), dtype=np.uint8)
    return words_of_bytes(packed.reshape(len(digests), DIGITS[kind] // 2))


def words_of_bytes(packed: NDArray[np.uint8]) -> Words:
    """``uint8 [n, bytes]`` as words, zeros after the last byte."""
    count, size = packed.shape
    padded = np.zeros((count, -(-size // 8) * 8), dtype=np.uint8)
    padded[:, :size] = packed
    return padded.view(">u8").astype(np.uint64)
