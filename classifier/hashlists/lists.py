"""All configured hash lists together: what they say of a file or a judgement, and their reloading in the background."""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from classifier.hashlists.digests import Digests
from classifier.hashlists.known import HashList
from classifier.types import FrameHash, HashMatch, JudgedFrame, Judgement

_log = logging.getLogger(__name__)

RELOAD_EVERY = 5.0
"""Seconds between two looks at whether a list's file has changed."""


class Lists:
    """The lists of one engine. May be asked from any thread, and has changed files read again meanwhile."""

    def __init__(self, lists: Sequence[HashList] = (), *, clock: Callable[[], float] = time.monotonic) -> None:
        self._lists = {known.name: known for known in lists}
        self._clock = clock
        self._looked = clock()
        self._reloading = ThreadPoolExecutor(1, thread_name_prefix="hash-lists")
        self._closed = False
        self.symbols = frozenset(known.symbol for known in lists)
        """``hash.<name>``, or ``allow.<name>`` of an allow list."""
        self.flips = any(known.settings.variants for known in lists)
        """Whether any list wants rotated and mirrored pictures: then their hashes are needed of each frame."""

    def __bool__(self) -> bool:
        """Whether any list is configured; if not, a file's SHA-256 is all that is needed of its digests."""
        return bool(self._lists)

    def file(self, digests: Digests) -> list[HashMatch]:
        """The entries of a file's digests: of each list at most one of each kind. Microseconds, whatever the list."""
        self.watch()
        return [match for known in self._lists.values() for match in known.match_file(digests)]

    def symbols_of(self, matches: Iterable[HashMatch]) -> dict[str, float]:
        """The symbols of the lists that matched."""
        return {self._lists[match.list].symbol: 1.0 for match in matches}

    @property
    def allows_pictures(self) -> bool:
        """Whether an allow list has PDQ hashes: then no file's digests settle anything before its frames are seen."""
        return any(known.allow and "pdq" in known.counts for known in self._lists.values())

    def allows(self, matches: Iterable[HashMatch]) -> bool:
        """Whether an allow list matched: such a file passes, decodable or not, whatever else is found."""
        return any(self._lists[match.list].allow for match in matches)

    def look_up_cost(self, judgement: Judgement) -> int:
        """How many pairs of hashes ``look_up`` compares, or could in that time: past some ten thousand it belongs in a
        thread."""
        hashes = len(judgement.hashes) + sum(frame.pdq is not None for frame in judgement.frames)
        return hashes * sum(known.cost for known in self._lists.values())

    def look_up(self, judgement: Judgement) -> Judgement:
        """The judgement with what the hash lists say of it now: symbols ``hash.<name>`` and the matches.

        A file's digests speak for each of its frames, a PDQ hash for its own frame. To ``judgement.frames``
        are added, with the lists' symbols alone, frames that no detector looked at.
        Takes well under a millisecond for lists of thousands, and about one a frame for lists of millions.
        """
        self.watch()
        if not self._lists:
            return judgement
        if judgement.hashes:
            hashed = {one.index for one in judgement.hashes}
            looked_at = tuple(frame for frame in judgement.frames if frame.index not in hashed)
            judgement = replace(judgement, frames=looked_at + self._known_ones(judgement))
        matches: list[HashMatch] = []
        added: list[dict[str, float]] = [{} for _ in judgement.frames]
        digests = Digests(judgement.sha256, judgement.md5, judgement.sha1)
        for known in self._lists.values():
            if found := known.match_file(digests):
                matches.extend(found)
                for symbols in added:
                    symbols[known.symbol] = 1.0
            for place, found in known.match_frames(judgement.frames).items():
                added[place][known.symbol] = 1.0
                matches.extend(replace(match, frame=judgement.frames[place].index) for match in found)
        if not matches:
            return judgement
        frames = [
            replace(frame, symbols={**frame.symbols, **symbols})
            for frame, symbols in zip(judgement.frames, added, strict=True)
        ]
        return judgement.with_lists(frames, matches)

    def _known_ones(self, judgement: Judgement) -> tuple[JudgedFrame, ...]:
        """Of the frames that were only hashed those that a list knows: for each set of lists the first, as rules would
        say the same of the others."""
        known_by: dict[int, list[str]] = {}
        for known in self._lists.values():
            for place in known.near(judgement.hashes):
                known_by.setdefault(place, []).append(known.name)
        first: dict[tuple[str, ...], FrameHash] = {}
        for place in sorted(known_by):
            first.setdefault(tuple(known_by[place]), judgement.hashes[place])
        return tuple(JudgedFrame(one.index, {}, one.pdq, flips=one.flips) for one in first.values())

    def reload_if_changed(self) -> list[str]:
        """Read those lists again whose files have changed, and say what is wrong with any. Blocks."""
        return [problem for known in self._lists.values() if (problem := known.reload_if_changed())]

    def trouble(self) -> str:
        """Of which lists the files could not be read again, for a person; empty if of none."""
        return "\n".join(known.trouble for known in self._lists.values() if known.trouble)

    def watch(self) -> None:
        """Have changed files read again in a thread, if it is five seconds since the last look. Costs nothing else."""
        now = self._clock()
        if self._lists and not self._closed and now - self._looked >= RELOAD_EVERY:
            self._looked = now
            self._reloading.submit(self._reload_and_say)

    def close(self) -> None:
        """Watch no more; a file that is being read is not waited for."""
        self._closed = True
        self._reloading.shutdown(wait=False, cancel_futures=True)

    def _reload_and_say(self) -> None:
        for problem in self.reload_if_changed():
            _log.error("%s", problem)
