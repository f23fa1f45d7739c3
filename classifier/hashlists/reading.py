"""A hash list's file to its entries: in blocks, with numpy, so that a million take a second.

A line as lists have them (``pdq,<64 hex digits>,source,note`` without quotes) is never touched by itself: its hash is
read with those of a whole block. Any other line (JSON, quoted fields, letters beyond ASCII) is parsed by itself.
"""

import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from classifier.hashlists.entries import DIGITS, KINDS, SPLIT, Hashes, Kind, Remarks, words_of_bytes
from classifier.hashlists.parsing import MAX_FIELD, Entry, is_header, parse
from classifier.types import CannotStartError

MAX_PROBLEMS = 20
MAX_ENTRIES = 5_000_000
MAX_LINE = 64 << 10
"""Bytes of a line."""
MAX_BYTES = 4 << 30
"""Bytes of a file."""

_BLOCK = 1 << 20
"""Bytes read at once: numpy holds up other threads for at most about a millisecond."""

type Stamp = tuple[int, int]
"""A file's modification time (ns) and size (bytes)."""

_NEWLINE, _RETURN, _COMMA = b"\n\r,"
_ODD = np.ones(256, dtype=bool)
_ODD[32:127] = False
_ODD[[_NEWLINE, ord("\t")]] = False
_ODD[ord('"')] = True

_NOT_HEX = 16
_NIBBLE = np.full(256, _NOT_HEX, dtype=np.uint8)
for _digit in "0123456789abcdefABCDEF":
    _NIBBLE[ord(_digit)] = int(_digit, 16)


def stamp_of(path: Path) -> Stamp:
    """What changes when the file does. Raises OSError."""
    found = path.stat()
    return found.st_mtime_ns, found.st_size


def read(
    path: Path,
    match: Kind | None = None,
    *,
    wrong: list[str] | None = None,
    progress: Callable[[int], object] = lambda size: None,
) -> tuple[dict[Kind, Hashes], Remarks]:
    """Everything in the list ``path``; ``match`` is the kind of lines that name none. ``progress`` is told how many
    bytes each block had.

    Raises CannotStartError that names the file and each wrong line (the first 20), what was found, what was expected;
    with ``wrong``, a wrong line is told there, and left out.
    """
    reading = _Reading(path, match)
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # before it is opened: a pipe would be waited for
            raise CannotStartError(f"the hash list {path} is not a regular file")
        with path.open("rb") as file:
            left = MAX_BYTES
            rest = b""
            while block := file.read(_BLOCK):
                left -= len(block)
                if left < 0:
                    raise CannotStartError(f"the hash list {path} has more than {MAX_BYTES >> 30} GiB: split it")
                rest = reading.lines(rest + block)
                progress(len(block))
            if rest:
                reading.lines(rest + b"\n")
    except OSError as error:
        raise CannotStartError(
            f"the hash list {path} cannot be read ({error.strerror}): create it (an empty file is a valid list) "
            "or take it out of classifier.hashes"
        ) from error
    return reading.end(wrong)


class _Reading:
    """What has been read so far of one file."""

    def __init__(self, path: Path, match: Kind | None) -> None:
        self._path = path
        self._match = match
        self._number = 0
        self._begun = False
        self._wrong = 0
        self._problems: list[str] = []
        self._found: dict[Kind, list[tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]]] = {
            kind: [] for kind in KINDS
        }
        self._blobs: list[bytes] = []
        self._lengths: list[NDArray[np.int64]] = []
        self._count = 0

    def lines(self, data: bytes) -> bytes:
        """Take in all whole lines of ``data``, and give back what is left."""
        cut = data.rfind(b"\n") + 1
        if len(data) - cut > MAX_LINE:
            self._complain(self._number + data.count(b"\n"), f"a line of more than {MAX_LINE >> 10} KiB")
            raise CannotStartError("\n".join(self._problems))
        if cut:
            self._block(_Block(data[:cut]))
        return data[cut:]

    def end(self, wrong: list[str] | None) -> tuple[dict[Kind, Hashes], Remarks]:
        """All entries, in order. Raises CannotStartError where any line was wrong, or tells it in ``wrong``."""
        if self._wrong > MAX_PROBLEMS:
            self._problems.append(f"{self._path}: and {self._wrong - MAX_PROBLEMS} more")
        if wrong is not None:
            wrong += self._problems
        elif self._problems:
            raise CannotStartError("\n".join(self._problems))
        tables: dict[Kind, Hashes] = {}
        for kind, parts in self._found.items():
            if parts:
                packed, lines, remarks = (np.concatenate(every) for every in zip(*parts, strict=True))
                parts.clear()
                tables[kind] = Hashes.of(
                    kind, words_of_bytes(packed), lines.astype(np.uint32), remarks.astype(np.uint32)
                )
        ends = np.cumsum(np.concatenate(self._lengths)) if self._lengths else np.empty(0, dtype=np.int64)
        return tables, Remarks(b"".join(self._blobs), ends)

    def _complain(self, line: int, message: str) -> None:
        self._wrong += 1
        if self._wrong <= MAX_PROBLEMS:
            self._problems.append(f"{self._path}:{line + 1}: {message}")

    def _block(self, block: "_Block") -> None:
        skipped = self._header(block)
        taken = block.ends == block.starts
        taken[skipped] = True
        for kind in KINDS:
            if self._match is None or kind == self._match:
                prefix = b"" if self._match else f"{kind},".encode()
                packed, lines = block.plain(kind, prefix, taken)
                if len(lines):
                    self._keep(kind, packed, lines, *block.remarks(lines, len(prefix) + DIGITS[kind]))
                    taken[lines] = True
        self._by_themselves(block, np.flatnonzero(~taken))
        self._number += len(block.ends)
        if self._count > MAX_ENTRIES:
            raise CannotStartError(f"{self._path}:{self._number}: more than {MAX_ENTRIES} entries: split the list")

    def _header(self, block: "_Block") -> list[int]:
        """The line that names the columns: it may only be the first that says anything."""
        for place in range(len(block.ends)):
            if self._begun:
                break
            line = block.line(place).strip()
            if line and line != b"\xef\xbb\xbf" and not line.removeprefix(b"\xef\xbb\xbf").startswith(b"#"):
                self._begun = True
                return [place] if is_header(line) else []
        return []

    def _by_themselves(self, block: "_Block", places: NDArray[np.int64]) -> None:
        found: dict[Kind, list[tuple[bytes, int, bytes]]] = {}
        for place in places.tolist():
            parsed = parse(block.line(place), self._match)
            if isinstance(parsed, Entry):
                remark = parsed.source.encode() + SPLIT + parsed.note.encode() if parsed.source or parsed.note else b""
                found.setdefault(parsed.kind, []).append((parsed.hash, place, remark))
            elif parsed is not None:
                self._complain(self._number + place, parsed)
        for kind, entries in found.items():
            hashes, lines, remarks = zip(*entries, strict=True)
            packed = np.frombuffer(b"".join(hashes), dtype=np.uint8).reshape(len(hashes), -1)
            self._keep(kind, packed, np.array(lines), b"".join(remarks), np.array([len(one) for one in remarks]))

    def _keep(
        self, kind: Kind, packed: NDArray[np.uint8], lines: NDArray[np.int64], blob: bytes, lengths: NDArray[np.int64]
    ) -> None:
        places = np.arange(self._count, self._count + len(packed))
        self._found[kind].append((packed, lines + self._number, places))
        self._blobs.append(blob)
        self._lengths.append(lengths)
        self._count += len(packed)


class _Block:
    """Some lines of a file, each ended by a line feed: where each begins and ends, and where its commas are."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._bytes = np.frombuffer(data + bytes(max(DIGITS.values()) + 8), dtype=np.uint8)
        used = self._bytes[: len(data)]
        feeds = np.flatnonzero(used == _NEWLINE)
        self.starts = np.concatenate(([0], feeds[:-1] + 1))
        odd = _ODD[used]
        returned = feeds[used[feeds - 1] == _RETURN] - 1 if len(feeds) else feeds
        odd[returned[returned >= 0]] = False
        self.ends = feeds - ((used[feeds - 1] == _RETURN) & (feeds > self.starts))
        self._commas = np.flatnonzero(used == _COMMA)
        self._odd = np.zeros(len(feeds), dtype=bool)
        self._odd[np.searchsorted(feeds, np.flatnonzero(odd))] = True

    def line(self, place: int) -> bytes:
        """One line, without its end."""
        return self._data[self.starts[place] : self.ends[place]]

    def plain(self, kind: Kind, prefix: bytes, taken: NDArray[np.bool_]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """The hashes (``uint8 [n, bytes]``) of all lines, but those ``taken``, that are plain: ``prefix``, the hash,
        and at most two more fields. And which lines they are."""
        digits = DIGITS[kind]
        begins = np.lib.stride_tricks.sliding_window_view(self._bytes, 8)[self.starts]
        good = (begins[:, : len(prefix)] == np.frombuffer(prefix, dtype=np.uint8)).all(axis=1)
        after = self.starts + len(prefix) + digits
        good &= ~self._odd & ~taken & (after <= self.ends)
        lines = np.flatnonzero(good)
        after, ends = after[lines], self.ends[lines]
        commas = np.searchsorted(self._commas, ends) - np.searchsorted(self._commas, after)
        good = ((after == ends) | (self._bytes[after] == _COMMA)) & (commas <= 2) & (ends - after <= MAX_FIELD)
        lines = lines[good]
        hexes = np.lib.stride_tricks.sliding_window_view(self._bytes, digits)[self.starts[lines] + len(prefix)]
        nibbles = _NIBBLE[hexes]
        right = (nibbles < _NOT_HEX).all(axis=1)
        packed: NDArray[np.uint8] = nibbles[:, ::2] << 4 | nibbles[:, 1::2] & 15
        return packed[right], lines[right]

    def remarks(self, lines: NDArray[np.int64], skip: int) -> tuple[bytes, NDArray[np.int64]]:
        """What follows the hash, which ends after ``skip`` bytes, in these plain lines: all of it, and each length."""
        starts, ends = np.minimum(self.starts[lines] + skip + 1, self.ends[lines]), self.ends[lines]
        inside = np.zeros(len(self._data) + 1, dtype=np.int8)
        inside[starts] += 1
        inside[ends] -= 1
        copy = self._bytes[: len(self._data)].copy()
        after = np.searchsorted(self._commas, starts)
        follows = after < len(self._commas)
        at = self._commas[after[follows]]
        copy[at[at < ends[follows]]] = SPLIT[0]
        return copy[np.cumsum(inside[:-1], dtype=np.int8).view(bool)].tobytes(), ends - starts
