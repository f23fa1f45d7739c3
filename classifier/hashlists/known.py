"""Lists of known hashes (SHA-256 of files, PDQ of pictures), read from CSV files and asked anew for each judgement."""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from classifier.settings import HashListSettings
from classifier.types import CannotStartError, HashMatch

MAX_MATCHES = 10
"""Matches named for one hash and list, nearest first: one would do for a rule, more only help a person."""

_AT_ONCE = 1 << 15
"""Pairs of hashes compared at once: what stays in a processor's cache."""

MAX_PROBLEMS = 20
MAX_ENTRIES = 5_000_000
MAX_FIELD = 1_000

_HEX = re.compile(r"[0-9a-fA-F]{64}")
_WORDS = 4
"""A PDQ hash is 256 bits: four 64 bit words."""

type Words = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a list."""

    kind: Literal["sha256", "pdq"]
    hash: str
    source: str
    note: str


@dataclass(frozen=True, slots=True)
class _Table:
    """What a list holds at one moment; never changed, only replaced as a whole."""

    sha256: dict[str, Entry]
    pdq: tuple[Entry, ...]
    words: Words
    """``uint64 [len(pdq), 4]``."""
    stamp: tuple[int, int]
    """The file's modification time (ns) and size (bytes) when it was read."""


class HashList:
    """One list; its symbol is ``hash.<name>``. Looking up may go on in one thread while another reloads."""

    def __init__(self, name: str, path: Path, distance: int, table: _Table) -> None:
        self.name = name
        self.path = path
        self.distance = distance
        self.symbol = f"hash.{name}"
        self._table = table
        self._refused: tuple[int, int] | None = None

    @classmethod
    def load(cls, path: Path, name: str, distance: int) -> "HashList":
        """Read ``path``. Raises CannotStartError, naming the file and each wrong line (the first 20)."""
        return cls(name, path, distance, _read(path))

    @classmethod
    def from_settings(cls, settings: HashListSettings) -> "HashList":
        """Read the list that ``settings`` names. Raises CannotStartError."""
        return cls.load(settings.file, settings.name, settings.distance)

    def __len__(self) -> int:
        """Entries of both kinds; a hash listed twice counts once."""
        table = self._table
        return len(table.sha256) + len(table.pdq)

    def match_sha256(self, digest: str) -> HashMatch | None:
        """The entry for a file's SHA-256 (64 hex digits, lower case)."""
        entry = self._table.sha256.get(digest)
        return None if entry is None else self._match(entry, 0)

    def match_pdq(self, pdq: str) -> list[HashMatch]:
        """Entries at most ``distance`` bits from a PDQ hash (64 hex digits), nearest first, the first 10."""
        table = self._table
        if not table.pdq:
            return []
        distances = np.bitwise_count(table.words ^ _words([pdq])).sum(axis=1, dtype=np.uint16)
        near = np.flatnonzero(distances <= self.distance)
        nearest = near[np.argsort(distances[near], kind="stable")][:MAX_MATCHES]
        return [self._match(table.pdq[at], int(distances[at])) for at in nearest.tolist()]

    def near(self, pdqs: Sequence[str]) -> list[int]:
        """Which of many PDQ hashes, by their place in ``pdqs``, ``match_pdq`` finds something for; faster than each."""
        table = self._table
        if not table.pdq or not pdqs:
            return []
        asked = _words(list(pdqs))
        step = max(1, _AT_ONCE // len(table.pdq))
        found: list[int] = []
        for start in range(0, len(asked), step):
            part = asked[start : start + step]
            # Word by word, which is several times as fast as summing over the last axis.
            apart = np.zeros((len(part), len(table.pdq)), dtype=np.uint16)
            for word in range(_WORDS):
                apart += np.bitwise_count(part[:, word, None] ^ table.words[:, word])
            found += (np.flatnonzero((apart <= self.distance).any(axis=1)) + start).tolist()
        return found

    def reload_if_changed(self) -> str | None:
        """Read the file again if its time or size has changed; None, or what is wrong with it (told once a change).

        A broken or missing file leaves the list as it was. Reading blocks; a look at the file costs microseconds.
        """
        try:
            stamp = _stamp(self.path)
            if stamp in (self._table.stamp, self._refused):
                return None
            self._table = _read(self.path)
        except OSError as error:
            if self._refused == (0, 0):
                return None
            self._refused = (0, 0)
            return f"{self.path} cannot be read ({error.strerror}); the list read before stays in force"
        except CannotStartError as error:
            self._refused = stamp
            return f"{error}\nthe list read before stays in force"
        self._refused = None
        return None

    def _match(self, entry: Entry, distance: int) -> HashMatch:
        return HashMatch(self.name, entry.kind, entry.hash, distance, entry.source, entry.note)


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size


def _words(hashes: list[str]) -> Words:
    packed = np.frombuffer(bytes.fromhex("".join(hashes)), dtype=np.uint64)
    return packed.reshape(len(hashes), _WORDS)


def _read(path: Path) -> _Table:
    try:
        stamp = _stamp(path)
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CannotStartError(
            f"the hash list {path} cannot be read ({error.strerror}): create it (an empty file is a valid list) "
            "or take it out of classifier.hashes"
        ) from error
    except UnicodeDecodeError as error:
        raise CannotStartError(f"the hash list {path} is not UTF-8 text (byte {error.start})") from error
    sha256: dict[str, Entry] = {}
    pdq: dict[str, Entry] = {}
    problems: list[str] = []
    wrong = 0
    for number, line in _lines(text):
        parsed = _parse(line)
        if isinstance(parsed, Entry):
            (sha256 if parsed.kind == "sha256" else pdq).setdefault(parsed.hash, parsed)
        else:
            wrong += 1
            if wrong <= MAX_PROBLEMS:
                problems.append(f"{path}:{number}: {parsed}")
        if len(sha256) + len(pdq) > MAX_ENTRIES:
            raise CannotStartError(f"{path}:{number}: more than {MAX_ENTRIES} entries: split the list")
    if wrong > MAX_PROBLEMS:
        problems.append(f"{path}: and {wrong - MAX_PROBLEMS} more")
    if problems:
        raise CannotStartError("\n".join(problems))
    entries = tuple(pdq.values())
    return _Table(sha256, entries, _words([entry.hash for entry in entries]), stamp)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines that say something, with their numbers from 1: no blank ones, no comments, no header."""
    first = True
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        if first and re.match(r'"?kind"?\s*,', stripped, re.IGNORECASE):
            first = False
            continue
        first = False
        yield number, stripped


def _parse(line: str) -> Entry | str:
    """The entry of a line, or what is wrong with it."""
    try:
        (fields,) = csv.reader([line], strict=True)
    except (csv.Error, ValueError) as error:
        return f"not CSV ({error}); expected kind,hash,source,note"
    if not 2 <= len(fields) <= 4:
        return f"expected kind,hash,source,note (source and note may be left out), found {len(fields)} fields"
    kind, digest, source, note = (*(field.strip() for field in fields), "", "")[:4]
    kind = kind.lower()
    if kind not in ("sha256", "pdq"):
        return f"expected the kind sha256 or pdq, found {kind[:40]!r}"
    if not _HEX.fullmatch(digest):
        return f"expected a {kind} hash of 64 hex digits, found {digest[:80]!r} ({len(digest)} characters)"
    if len(source) > MAX_FIELD or len(note) > MAX_FIELD:
        return f"source and note may have at most {MAX_FIELD} characters each"
    return Entry("sha256" if kind == "sha256" else "pdq", digest.lower(), source, note)
