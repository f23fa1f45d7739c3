"""All configured hash lists together: what they say of a file or a judgement, and their reloading in the background."""

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from classifier.hashlists.digests import Digests
from classifier.hashlists.known import HashList
from classifier.types import HashMatch, JudgedFrame, Judgement

_log = logging.getLogger(__name__)

RELOAD_EVERY = 5.0
"""Seconds between two looks at whether a list's file has changed."""


class Lists:
    """The lists of one engine. May be asked from any thread; ``watch`` is what keeps them current."""

    def __init__(self, lists: Sequence[HashList] = (), *, clock: Callable[[], float] = time.monotonic) -> None:
        self._lists = tuple(lists)
        self._clock = clock
        self._looked = clock()
        self._reloading = ThreadPoolExecutor(1, thread_name_prefix="hash-lists")
        self._closed = False
        self.symbols = frozenset(known.symbol for known in self._lists)

    def __bool__(self) -> bool:
        """Whether any list is configured; if not, a file's SHA-256 is all that is needed of its digests."""
        return bool(self._lists)

    def file(self, digests: Digests) -> list[HashMatch]:
        """The entries of a file's digests, a list at most one of each kind."""
        return [found for known in self._lists if (found := known.match_sha256(digests.sha256))]

    def look_up_cost(self, judgement: Judgement) -> int:
        """How many pairs of hashes ``look_up`` compares: past some ten thousand it belongs in a thread."""
        hashes = len(judgement.hashes) + sum(frame.pdq is not None for frame in judgement.frames)
        return hashes * sum(len(known) for known in self._lists)

    def look_up(self, judgement: Judgement) -> Judgement:
        """The judgement with what the hash lists say of it now: symbols ``hash.<name>`` and the matches.

        A file's SHA-256 speaks for each of its frames, a PDQ hash for its own frame. ``HashMatch.frame`` counts in
        ``judgement.frames``, to which are added, with the lists' symbols alone, frames that no detector looked at.
        Takes well under a millisecond for lists of thousands; for the hashes of a long animation, some.
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
        for known in self._lists:
            if found := known.match_sha256(judgement.sha256):
                matches.append(found)
                for symbols in added:
                    symbols[known.symbol] = 1.0
            for at, frame in enumerate(judgement.frames):
                near = known.match_pdq(frame.pdq) if frame.pdq else []
                if near:
                    added[at][known.symbol] = 1.0
                    matches.extend(replace(match, frame=at) for match in near)
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
        pdqs = [one.pdq for one in judgement.hashes]
        for known in self._lists:
            for at in known.near(pdqs):
                known_by.setdefault(at, []).append(known.name)
        first: dict[tuple[str, ...], int] = {}
        for at in sorted(known_by):
            first.setdefault(tuple(known_by[at]), at)
        return tuple(JudgedFrame(judgement.hashes[at].index, {}, judgement.hashes[at].pdq) for at in first.values())

    def reload_if_changed(self) -> list[str]:
        """Read those lists again whose files have changed, and say what is wrong with any. Blocks."""
        return [problem for known in self._lists if (problem := known.reload_if_changed())]

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
