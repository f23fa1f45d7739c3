"""The admin's deny and allow lists together: who is on one, and their reloading when a file has changed.

A denial needs no proof: whoever says that he is a denied one is denied. An allowance does, so it is asked for hosts
whose signature was verified only; and it never lets anything go unjudged.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from addons.policy.hosts import normal_host
from addons.senders.list_files import WrongListError, actor, host_of, read_list

logger = logging.getLogger(__name__)

RELOAD_EVERY = 5.0
"""Seconds between two looks at whether a file has changed."""

type _Stamp = tuple[int, int, int]


class Lists:
    """The lists of one process. May be asked from any thread, and has changed files read again meanwhile.

    Raises WrongListError when made, where a file cannot be used; it blocks. Later such a file is told in the log, and
    what was in it before still counts. One that is not there yet is told, and read when it is. ``clock`` in seconds.
    """

    def __init__(
        self, deny: Sequence[Path] = (), allow: Sequence[Path] = (), *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._deny = [_List(path) for path in deny]
        self._allow = [_List(path) for path in allow]
        self._clock = clock
        self._looked = clock()
        self._closed = False
        self._reloading = ThreadPoolExecutor(1, thread_name_prefix="sender-lists")

    def denied(self, host: str | None, actor_url: str | None = None) -> str | None:
        """Which list and line deny this host or actor, if any: what the sender says of himself is enough. Microseconds.

        The host of the actor's URL counts as well.
        """
        self.watch()
        return self._on(self._deny, host, actor_url) if self._deny else None

    def allowed(self, host: str | None) -> str | None:
        """Which list and line allow this host, if any: of a *verified* signer."""
        self.watch()
        return self._on(self._allow, host, None) if self._allow else None

    def watch(self) -> None:
        """Have changed files read again in a thread, if it is five seconds since the last look. Costs nothing else."""
        now = self._clock()
        if (self._deny or self._allow) and not self._closed and now - self._looked >= RELOAD_EVERY:
            self._looked = now
            self._reloading.submit(self._reload_and_say)

    def reload_if_changed(self) -> list[str]:
        """Read those lists again whose files have changed, and say what is wrong with any. Blocks."""
        return [problem for each in (*self._deny, *self._allow) if (problem := each.reload_if_changed())]

    def close(self) -> None:
        """Watch no more; a file that is being read is not waited for."""
        self._closed = True
        self._reloading.shutdown(wait=False, cancel_futures=True)

    def _reload_and_say(self) -> None:
        try:
            for problem in self.reload_if_changed():
                logger.error("%s", problem)
        except Exception:
            logger.exception("the lists of senders could not be read again, which is a fault of fediward's")

    @staticmethod
    def _on(lists: Iterable["_List"], host: str | None, actor_url: str | None) -> str | None:
        names = list(_names(host))
        if actor_url is not None and (written := actor(actor_url)) is not None:
            names += [written, *_names(host_of(written))]
        return next((found for each in lists if (found := each.line_of(names)) is not None), None)


class _List:
    """One file as it was read last."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = _stamp_of(path)
        if self._stamp is None:
            logger.error("there is no list %s: it says nothing of anybody until it is there", path)
        self._entries: Mapping[str, int] = {} if self._stamp is None else read_list(path)

    def line_of(self, names: Iterable[str]) -> str | None:
        """``file:line`` of the first of these that is listed."""
        entries = self._entries
        for name in names:
            if (line := entries.get(name)) is not None:
                return f"{self._path.name}:{line}"
        return None

    def reload_if_changed(self) -> str | None:
        """What is wrong with the file, if that is new."""
        stamp = _stamp_of(self._path)
        if stamp == self._stamp:
            return None
        self._stamp = stamp
        try:
            self._entries = read_list(self._path)
        except WrongListError as error:
            return f"{error}\n{self._path}: what was in this list before still counts"
        logger.info("the list %s was read again: %d entries", self._path, len(self._entries))
        return None


def _stamp_of(path: Path) -> _Stamp | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _names(host: str | None) -> Iterable[str]:
    """A host and the patterns that it would lie below."""
    name = normal_host(host) if host else None
    if name is None:
        return
    yield name
    at = name.find(".")
    while at >= 0:
        yield f"*{name[at:]}"
        at = name.find(".", at + 1)
