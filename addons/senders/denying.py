"""Who is denied for a while since rules with ``deny:`` applied to what he sent, too often; asked before any work."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from sqlalchemy.exc import SQLAlchemyError

from addons.ledger.clean import printable
from addons.ledger.denials import Denied, DeniedKind
from addons.policy.hosts import normal_host
from addons.policy.rules import Rule
from addons.policy.words import Denial
from addons.senders.list_files import actor, host_of

logger = logging.getLogger(__name__)

REFRESH_EVERY = 3.0
"""Seconds until what another process denied is known here."""
MAX_WAITING = 1_000
"""Hits that wait to be counted; what comes beyond is not counted, for then the database does not keep up."""
LONGEST = 1_000
"""Characters of an actor's URL that can be denied."""


class Keeps(Protocol):
    """The part of :class:`addons.ledger.denials.Denials` that is needed here. Each blocks, raises SQLAlchemyError."""

    def deny(self, kind: DeniedKind, value: str, until: datetime, by: str, reason: str) -> None:
        """Deny a host or actor until then; one that is denied for longer stays so."""
        ...

    def current(self, now: datetime) -> Sequence[Denied]:
        """All that are denied now."""
        ...

    def hit(self, rule: str, kind: DeniedKind, value: str, now: datetime, *, within: timedelta, hits: int) -> int:
        """Count a hit; how many there were within that time, of the newest ``hits``."""
        ...


@dataclass(frozen=True, slots=True)
class _Hit:
    rule: str
    denial: Denial
    kind: DeniedKind
    value: str
    at: datetime


class Denials:
    """Shared by all deliveries of one process; belongs to one event loop. ``clock`` in seconds; ``now``: the time."""

    def __init__(
        self,
        kept: Keeps,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._kept = kept
        self._clock = clock
        self._now = now
        self._denied: dict[tuple[DeniedKind, str], Denied] = {}
        self._made: dict[tuple[DeniedKind, str], Denied] = {}
        """Since the last look began: it may not have seen them."""
        self._looked = clock()
        self._trouble = False
        self._hits: deque[_Hit] = deque()
        self._counting: asyncio.Task[None] | None = None
        self._refreshing: asyncio.Task[None] | None = None

    def load(self) -> None:
        """Read what is denied now, before the doors open. Blocks; raises SQLAlchemyError."""
        self._take(self._kept.current(self._now()))

    def denied(self, host: str | None, actor_url: str | None = None) -> str | None:
        """Why this host or actor is denied now, if so: what the sender says of himself is enough. Microseconds.

        Has the memory refreshed meanwhile, if it is some seconds old.
        """
        self._refresh_if_due()
        return next((told for one in _names(host, actor_url) if (told := self._told(one)) is not None), None)

    def noted(self, rule: Rule, host: str | None, actor_url: str | None = None) -> None:
        """Count that ``rule`` applied to what they sent, where it has a ``deny:``; in the background.

        ``host``: a *proved* one (of a verified signer, or of one whom the server's 2xx vouched for), else nobody is
        counted: anybody could have others denied. An actor is counted only where his URL lies on that host.
        """
        if rule.deny is None or host is None or (name := normal_host(host)) is None:
            return
        value = name
        if rule.deny.who == "actor":
            written = actor(actor_url) if actor_url else None
            if written is None or len(written) > LONGEST or normal_host(host_of(written)) != name:
                return
            value = written
        if len(self._hits) >= MAX_WAITING:
            logger.warning("the ledger does not keep up: a hit of the rule %s is not counted for its deny", rule.name)
            return
        self._hits.append(_Hit(rule.name, rule.deny, rule.deny.who, value, self._now()))
        if self._counting is None:
            self._counting = asyncio.get_running_loop().create_task(self._count_all())

    async def settled(self) -> None:
        """Wait until all that was noted is counted, and a refresh under way has ended."""
        for task in (self._counting, self._refreshing):
            if task is not None:
                await asyncio.wait({task})

    def _told(self, one: tuple[DeniedKind, str]) -> str | None:
        found = self._denied.get(one)
        if found is None or found.until <= self._now():
            return None
        return f"the {found.kind} {found.value} is denied until {_shown(found.until)} by the rule {found.by}"

    def _take(self, current: Collection[Denied]) -> None:
        self._denied = {(one.kind, one.value): one for one in current} | self._made

    def _refresh_if_due(self) -> None:
        if self._refreshing is None and self._clock() - self._looked >= REFRESH_EVERY:
            self._looked = self._clock()
            self._refreshing = asyncio.get_running_loop().create_task(self._refresh())

    async def _refresh(self) -> None:
        self._made.clear()
        try:
            self._take(await asyncio.to_thread(self._kept.current, self._now()))
            self._trouble = False
        except SQLAlchemyError as error:
            if not self._trouble:
                logger.error(
                    "who is denied cannot be read from the ledger; what was known still counts: %s", _said(error)
                )
            self._trouble = True
        except Exception:
            logger.exception("who is denied cannot be read, which is a fault of fediward's")
        finally:
            self._refreshing = None

    async def _count_all(self) -> None:
        try:
            while self._hits:
                hit = self._hits.popleft()
                try:
                    await self._count(hit)
                except SQLAlchemyError as error:
                    logger.error("a hit of the rule %s was not counted for its deny: %s", hit.rule, _said(error))
        except Exception:
            logger.exception("hits of rules are not counted, which is a fault of fediward's")
        finally:
            self._counting = None

    async def _count(self, hit: _Hit) -> None:
        deny = hit.denial
        within = timedelta(seconds=deny.within)
        times = await asyncio.to_thread(
            self._kept.hit, hit.rule, hit.kind, hit.value, hit.at, within=within, hits=deny.hits
        )
        if times < deny.hits:
            return
        until = hit.at + timedelta(seconds=deny.seconds)
        reason = f"{times} hits within {deny.within:g} s"
        await asyncio.to_thread(self._kept.deny, hit.kind, hit.value, until, hit.rule, reason)
        known = self._denied.get((hit.kind, hit.value))
        if known is None or known.until < until:
            made = Denied(hit.kind, hit.value, until, hit.rule, reason)
            self._denied[hit.kind, hit.value] = self._made[hit.kind, hit.value] = made
            shown = hit.kind, printable(hit.value), _shown(until), hit.rule, reason
            logger.warning("the %s %s is denied until %s by the rule %s: %s", *shown)


def _names(host: str | None, actor_url: str | None) -> list[tuple[DeniedKind, str]]:
    found: list[tuple[DeniedKind, str]] = []
    if host and (name := normal_host(host)) is not None:
        found.append(("host", name))
    if actor_url and (written := actor(actor_url)) is not None:
        found.append(("actor", written))
        if (name := normal_host(host_of(written))) is not None:
            found.append(("host", name))
    return found


def _said(error: SQLAlchemyError) -> str:
    """What the database said, without the statement and its values."""
    return " ".join(str(getattr(error, "orig", None) or error).split())[:300]


def _shown(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
