"""A file of which only some pieces are known: a large video, fetched by range as the decoding process asks for more."""

import bisect
import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass

type Range = tuple[int, int]
"""Offset and length in bytes, both ≥ 0; the length ≥ 1."""

LEAST = 256 << 10
"""Bytes asked for where a reader does not know how many it will need: a key frame of a large video, mostly."""
NEAR = 64 << 10
"""Ranges with a gap up to this between them are asked for as one: less than what a request more costs."""
PREFIX = "parts:"


@dataclass(frozen=True, slots=True)
class Parts:
    """``pieces``: (offset, bytes) of a file of ``size`` bytes; in order, none touches the next. Made by ``of``."""

    size: int
    pieces: tuple[tuple[int, bytes], ...]

    @classmethod
    def of(cls, size: int, pieces: Iterable[tuple[int, bytes]]) -> "Parts":
        """Those pieces in any order; where two overlap, the one that begins first counts. Raises ValueError."""
        file = bytearray()
        runs: list[tuple[int, bytes]] = []
        for offset, data in sorted(pieces, key=lambda piece: piece[0]):
            if offset < 0 or offset + len(data) > size:
                raise ValueError(f"bytes {offset} to {offset + len(data)} do not lie in a file of {size}")
            if runs and offset <= (end := runs[-1][0] + len(file)):
                file += data[end - offset :]
            elif data:
                if runs:
                    runs[-1] = (runs[-1][0], bytes(file))
                file = bytearray(data)
                runs.append((offset, b""))
        if runs:
            runs[-1] = (runs[-1][0], bytes(file))
        return cls(size, tuple(runs))

    @property
    def head(self) -> bytes:
        """The bytes known from the very first on."""
        return self.pieces[0][1] if self.pieces and self.pieces[0][0] == 0 else b""

    @property
    def known(self) -> int:
        """How many bytes are known."""
        return sum(len(data) for _, data in self.pieces)

    @property
    def digest(self) -> str:
        """64 characters that name these very pieces and, having a colon, can never be the SHA-256 of a file."""
        sum_ = hashlib.sha256(b"%d" % self.size)
        for offset, data in self.pieces:
            sum_.update(b" %d+%d:" % (offset, len(data)))
            sum_.update(data)
        return PREFIX + sum_.hexdigest()[: 64 - len(PREFIX)]

    def missing(self, offset: int, length: int) -> Range | None:
        """What is not known of these bytes, from the first such one to the end; None where all is."""
        end = min(offset + length, self.size)
        if offset >= end:
            return None
        at = bisect.bisect_right(self.pieces, offset, key=lambda piece: piece[0]) - 1
        if at >= 0:
            start, data = self.pieces[at]
            offset = max(offset, min(start + len(data), end))
        return (offset, end - offset) if offset < end else None


@dataclass(frozen=True, slots=True)
class Needs:
    """What has to be fetched before these parts can be judged: in order, none touches the next, never none."""

    ranges: tuple[Range, ...]


class NeedsError(Exception):
    """These parts cannot be judged without ``ranges`` of the file."""

    def __init__(self, ranges: tuple[Range, ...]) -> None:
        super().__init__(f"{sum(length for _, length in ranges)} bytes more are needed")
        self.ranges = ranges


class PartsFile:
    """Parts as a file to read. Where they end, so does the file for that moment, and the hole is noted."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._at = 0
        self._holes: list[Range] = []

    def read(self, n: int) -> bytes:
        """Up to ``n`` bytes from where it stands, as far as they are known."""
        pieces = self._parts.pieces
        at = bisect.bisect_right(pieces, self._at, key=lambda piece: piece[0]) - 1
        if at >= 0:
            start, data = pieces[at]
            found = data[self._at - start : self._at - start + n]
            if found:
                self._at += len(found)
                return found
        self.want(self._at, max(n, LEAST, self._before(at)))
        return b""

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """As any file's."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._parts.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        """Where it stands, in bytes."""
        return self._at

    def want(self, offset: int, length: int) -> bool:
        """Note what of these bytes is not known; whether that is any."""
        hole = self._parts.missing(offset, length)
        if hole is not None:
            self._holes.append(hole)
        return hole is not None

    def needs(self) -> Needs | None:
        """All holes that were found, put together; None: there are none."""
        merged: list[Range] = []
        for offset, length in sorted(self._holes):
            end = offset + length
            if merged and offset <= sum(merged[-1]) + NEAR:
                start = merged[-1][0]
                merged[-1] = (start, max(end, sum(merged[-1])) - start)
            else:
                merged.append((offset, length))
        return Needs(tuple(merged)) if merged else None

    def _before(self, at: int) -> int:
        """Bytes known just before where it stands: as many again are asked for, so that few rounds lead anywhere."""
        if at < 0:
            return 0
        start, data = self._parts.pieces[at]
        return len(data) if start + len(data) == self._at else 0
