"""Looks every few seconds at what may go wrong, and tells of what lasts, once, and of its end, once."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from addons.alarms import certificates
from addons.alarms.alarms import Raises
from addons.alarms.certificates import Certificate
from addons.alarms.clocks import Clocks
from addons.alarms.conditions import Condition
from addons.alarms.kinds import AlarmKind
from addons.ledger.entry import utc_now

logger = logging.getLogger(__name__)

EVERY = 5.0
"""Seconds between two looks; certificates are looked at each hour."""
CERTIFICATES_EVERY = 3600.0
PATIENCE = 10.0
"""Seconds that one of them may take to say how it is; longer tells nothing of it (what is held, the database says)."""
NO_WORKER, LEDGER, UPSTREAM = 60.0, 30.0, 60.0
"""Seconds that these must last."""
FULL = 0.8
"""Part of a bound on holds."""


class Totals(Protocol):
    """What is held now, as the ledger says it."""

    @property
    def count(self) -> int:
        """How many deliveries."""
        ...

    @property
    def bytes(self) -> int:
        """Of their heads and bodies."""
        ...

    @property
    def oldest(self) -> datetime | None:
        """When the oldest of them arrived."""
        ...


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of what is held; ``window``: seconds in which the server takes a delivery."""

    count: int
    bytes: int
    window: float


def _nothing() -> str:
    return ""


async def _soon_nothing() -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Sources:
    """Whom to ask. Each says what is wrong now, for a person, and nothing ("") where all is well; on the event loop.

    ``judges``: why nothing can be judged; ``ledger``: why it cannot be written; ``upstream``: why the server behind
    cannot be had; ``brake``: the rules that are stopped.
    ``held``: what is held, where holds are kept; it blocks, and is called in a thread.
    """

    judges: Callable[[], Awaitable[str]] = _soon_nothing
    ledger: Callable[[], str] = _nothing
    upstream: Callable[[], str] = _nothing
    brake: Callable[[], Sequence[str]] = tuple
    held: Callable[[], Totals] | None = None
    bounds: Bounds | None = None
    certificates: Sequence[Certificate] = ()


class Watching:
    """Belongs to one event loop. ``clock``: seconds that only count on; ``wall``: the time."""

    def __init__(
        self,
        alarms: Raises,
        sources: Sources,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], datetime] = utc_now,
        every: float = EVERY,
    ) -> None:
        self._sources = sources
        self._clock = clock
        self._wall = wall
        self._every = every
        self._clocks = Clocks(lambda: wall().timestamp(), clock)
        self._task: asyncio.Task[None] | None = None
        self._certificates_due = 0.0
        self._asked: asyncio.Future[Totals] | None = None
        self._failed: set[str] = set()
        kinds = AlarmKind
        self._judges = Condition(alarms, kinds.NO_WORKER, NO_WORKER, "media are judged again")
        self._ledger = Condition(alarms, kinds.LEDGER, LEDGER, "the ledger can be written again")
        self._upstream = Condition(alarms, kinds.UPSTREAM_DOWN, UPSTREAM, "the server behind can be reached again")
        self._holds = Condition(alarms, kinds.HOLDS_GROWING, 0, "the held deliveries are going down")
        self._clock_ = Condition(alarms, kinds.CLOCK, 0, "the clock keeps the time again")
        self._certificate = Condition(alarms, kinds.CERTIFICATE, 0, "no certificate runs out soon")
        self._brake = Condition(alarms, kinds.LIMIT_TRIPPED, 0, "no rule is stopped by the brake any more")

    def start(self) -> None:
        """Begin, in the running event loop."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def skew(self, host: str, seconds: float) -> None:
        """A verified delivery of ``host`` is dated so many seconds before its arrival; see :meth:`Clocks.skew`."""
        self._clocks.skew(host, seconds)

    async def look(self) -> None:
        """One look at everything; what cannot be asked is told in the log, once."""
        now, sources = self._clock(), self._sources
        await self._look_at_judging(now)
        self._ask("the ledger", lambda: self._ledger.update(sources.ledger(), now))
        self._ask("the server behind", lambda: self._upstream.update(sources.upstream(), now))
        self._ask("the brake", lambda: self._look_at_brake(now))
        self._ask("the clock", lambda: self._clock_.update(self._clocks.trouble(), now))
        if sources.certificates and now >= self._certificates_due:
            self._certificates_due = now + CERTIFICATES_EVERY
            told = await asyncio.to_thread(certificates.trouble, sources.certificates, self._wall())
            self._certificate.update(told, now, told)
        if sources.held is not None and sources.bounds is not None:
            await self._look_at_holds(sources.held, sources.bounds, now)

    async def _run(self) -> None:
        while True:
            try:
                await self.look()
            except Exception:
                self._cannot("what may go wrong")
            await asyncio.sleep(self._every)

    def _ask(self, name: str, update: Callable[[], None]) -> None:
        try:
            update()
        except Exception:
            # A mistake of ours in one part must not keep the others from being watched.
            self._cannot(name)

    def _cannot(self, name: str) -> None:
        if name not in self._failed:
            self._failed.add(name)
            logger.exception("%s cannot be watched", name)

    async def _look_at_judging(self, now: float) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                told = await self._sources.judges()
        except Exception:
            self._cannot("judging")
        else:
            self._judges.update(told, now)

    def _look_at_brake(self, now: float) -> None:
        rules = ", ".join(sorted(self._sources.brake()))
        told = (
            f"too much of what was judged matched {rules}: new matches of it are held, then dropped, and never passed. "
            "See `fediward log`, and whether the model or the rule is wrong (brake)"
        )
        self._brake.update(told if rules else "", now, rules)

    async def _look_at_holds(self, held: Callable[[], Totals], bounds: Bounds, now: float) -> None:
        if self._asked is None or self._asked.done():
            self._asked = asyncio.ensure_future(asyncio.to_thread(held))
            self._asked.add_done_callback(lambda task: None if task.cancelled() else task.exception())
        done, _ = await asyncio.wait((self._asked,), timeout=PATIENCE)
        if not done:
            return
        try:
            self._holds.update(growing(self._asked.result(), bounds, self._wall()), now)
        except Exception as error:
            # Most likely the database's, of which the ledger's writer tells.
            logger.debug("what is held cannot be read: %s", type(error).__name__)


def growing(held: Totals, bounds: Bounds, now: datetime) -> str:
    """Why the holds are trouble; empty if they are none."""
    mend = "See `fediward holds`, and whether somebody judges and the server behind answers: /readyz says it"
    if held.count > FULL * bounds.count:
        return f"{held.count} deliveries are held, of {bounds.count} at most (holds.count). {mend}"
    if held.bytes > FULL * bounds.bytes:
        return f"{held.bytes >> 20} MiB of deliveries are held, of {bounds.bytes >> 20} at most (holds.bytes). {mend}"
    if held.oldest is not None and now - held.oldest > timedelta(seconds=bounds.window / 2):
        waits = (now - held.oldest).total_seconds()
        return (
            f"{held.count} deliveries are held, the oldest for {waits / 60:.0f} minutes: after "
            f"{bounds.window / 60:.0f} minutes its server takes it no more. {mend}"
        )
    return ""
