"""One list of known hashes: its file read, looked up in, and read again when it changes."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from classifier.hashlists.apart import APART_FROM, DiedError, read_apart
from classifier.hashlists.digests import Digests
from classifier.hashlists.entries import Hashes, Kind, Remarks, words_of
from classifier.hashlists.near import INDEXED_FROM, NearIndex
from classifier.hashlists.reading import Stamp, read, stamp_of
from classifier.hashlists.variants import VARIANTS, variants
from classifier.settings import HashListSettings
from classifier.types import CannotStartError, FrameHash, HashMatch, JudgedFrame

MAX_MATCHES = 10
"""Matches named for one hash and list, nearest first: one would do for a rule, more only help a person."""
RETRY = 60.0
"""Seconds until a file is read again whose reading was killed."""


@dataclass(frozen=True, slots=True)
class _Table:
    """What a list holds at one moment; never changed, only replaced as a whole."""

    hashes: Mapping[Kind, Hashes]
    remarks: Remarks
    near: NearIndex | None
    stamp: Stamp
    """Of the file, from before it was read: written to meanwhile, it is read again."""


class HashList:
    """One list. Looking up may go on in any thread while another reloads: what is read is built aside and put in place
    at once."""

    def __init__(self, settings: HashListSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Read the list that ``settings`` names. Blocks; raises CannotStartError, naming the file and each wrong line
        (the first 20)."""
        self.settings = settings
        self.name = settings.name
        self.allow = settings.allow
        self.symbol = f"{'allow' if settings.allow else 'hash'}.{settings.name}"
        """Whose score is 1 where it matches. An allow list's begins with ``allow.``, so that no rule on ``hash.*``
        is meant by it."""
        self._distance = settings.bits
        self._clock = clock
        self._refused: Stamp | None = None
        self._retry_at = 0.0
        self.trouble = ""
        """Why what is in force is not what the file says; empty while it is."""
        self._table = self._read(read)

    def __len__(self) -> int:
        """Entries of all kinds; a hash listed twice counts once."""
        return sum(len(hashes) for hashes in self._table.hashes.values())

    @property
    def counts(self) -> dict[Kind, int]:
        """Entries of each kind that there are any of."""
        return {kind: len(hashes) for kind, hashes in self._table.hashes.items()}

    def sources(self) -> Counter[str]:
        """Entries by source. Takes a second or so a million."""
        table = self._table
        places = (place for hashes in table.hashes.values() for place in hashes.remarks.tolist())
        return Counter(table.remarks.at(place)[0] for place in places)

    @property
    def memory(self) -> int:
        """Bytes it takes."""
        table = self._table
        hashes = sum(one.words.nbytes + one.remarks.nbytes for one in table.hashes.values())
        return hashes + len(table.remarks.blob) + table.remarks.ends.nbytes + (table.near.memory if table.near else 0)

    def match_file(self, digests: Digests) -> list[HashMatch]:
        """The entries for a file's digests: at most one of each kind."""
        asked: tuple[tuple[Kind, str | None], ...]
        asked = ("sha256", digests.sha256), ("sha1", digests.sha1), ("md5", digests.md5)
        table = self._table
        found = []
        for kind, digest in asked:
            hashes = table.hashes.get(kind)
            if digest and hashes is not None and (place := hashes.find(digest)) is not None:
                found.append(self._match(table, hashes, place, 0))
        return found

    @property
    def cost(self) -> int:
        """Pairs compared, or what could be in that time, to look up one picture's PDQ hash."""
        return min(self.counts.get("pdq", 0), INDEXED_FROM) * (VARIANTS if self.settings.variants else 1)

    def match_pdq(self, pdq: str, flips: Sequence[str] = ()) -> list[HashMatch]:
        """Entries at most ``distance`` bits from a PDQ hash (64 hex digits), nearest first, the first 10.

        Those of its variants too, if the list asks for them; without ``flips`` (see
        :mod:`classifier.hashlists.variants`) only of one of the seven.
        """
        table = self._table
        if table.near is None:
            return []
        hashes = table.hashes["pdq"]
        asked = self._variants(pdq, flips)
        found = table.near.search(words_of("pdq", [digest for digest, _ in asked]))
        nearest = np.lexsort((hashes.remarks[found.listed], found.distance))[:MAX_MATCHES].tolist()
        return [
            self._match(table, hashes, int(found.listed[at]), int(found.distance[at]), asked[found.asked[at]][1])
            for at in nearest
        ]

    def match_frames(self, frames: Sequence[JudgedFrame]) -> dict[int, list[HashMatch]]:
        """What ``match_pdq`` finds for each frame, by its place, where it finds anything."""
        hashed = {place: frame for place, frame in enumerate(frames) if frame.pdq}
        places = list(hashed)
        found = {}
        for at in self.near([FrameHash(0, frame.pdq or "", frame.flips) for frame in hashed.values()]):
            frame = hashed[places[at]]
            if matches := self.match_pdq(frame.pdq or "", frame.flips):
                found[places[at]] = matches
        return found

    def near(self, hashed: Sequence[FrameHash]) -> list[int]:
        """Which of many, by their place, ``match_pdq`` finds something for; faster than asking for each."""
        table = self._table
        if table.near is None or not hashed:
            return []
        asked, owners = [], []
        for place, one in enumerate(hashed):
            for digest, _ in self._variants(one.pdq, one.flips):
                asked.append(digest)
                owners.append(place)
        near = table.near.search(words_of("pdq", asked)).asked
        found: list[int] = np.unique(np.array(owners)[near]).tolist()
        return found

    def _variants(self, pdq: str, flips: Sequence[str]) -> list[tuple[str, str]]:
        return list(variants(pdq, flips)) if self.settings.variants else [(pdq, "")]

    def reload_if_changed(self) -> str | None:
        """Read the file again if its time or size has changed; None, or what is wrong with it (told once a change).

        A broken or missing file leaves the list as it was. Reading blocks, a large file's in a process of its own; a
        look at the file costs microseconds.
        """
        try:
            stamp = stamp_of(self.settings.file)
            if stamp in (self._table.stamp, self._refused) or self._clock() < self._retry_at:
                if stamp == self._table.stamp:
                    self.trouble = ""
                return None
            self._table = self._read(read if stamp[1] < APART_FROM else read_apart)
        except OSError as error:
            if self._refused == (0, 0):
                return None
            self._refused = (0, 0)
            self.trouble = (
                f"{self.settings.file} cannot be read ({error.strerror}); the list read before stays in force"
            )
            return self.trouble
        except DiedError as error:
            self._retry_at = self._clock() + RETRY
            self.trouble = f"{error}\nit is tried again in {RETRY:.0f} s; the list read before stays in force"
            return self.trouble
        except CannotStartError as error:
            self._refused = stamp
            self.trouble = f"{error}\nthe list read before stays in force"
            return self.trouble
        self._refused, self.trouble = None, ""
        return None

    def _read(self, how: Callable[[Path, Kind | None], tuple[Mapping[Kind, Hashes], Remarks]]) -> _Table:
        try:
            stamp = stamp_of(self.settings.file)
        except OSError:
            stamp = (0, 0)  # reading says what is wrong
        hashes, remarks = how(self.settings.file, self.settings.match)
        pdqs = hashes.get("pdq")
        near = NearIndex(pdqs.words, self._distance) if pdqs is not None else None
        return _Table(hashes, remarks, near, stamp)

    def _match(self, table: _Table, hashes: Hashes, place: int, distance: int, variant: str = "") -> HashMatch:
        source, note = table.remarks.at(int(hashes.remarks[place]))
        return HashMatch(self.name, hashes.kind, hashes.digest(place), distance, source, note, variant=variant)
