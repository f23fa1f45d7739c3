"""Sends a permitted hold to the server, once more until it is taken or its window is closed."""

from datetime import timedelta
from typing import Protocol

from addons.holding.claimed import Claimed
from addons.holding.jobs import Job
from addons.holding.replay import Reply, UnreachableError, Verdict, verdict_of
from addons.holding.settings import TAKEN, KeeperSettings
from addons.holding.upstream import Upstream
from addons.ledger.held import Held, Outcome

LAST_TRY = timedelta(seconds=5)
"""Before the very end: one more try, so that a long wait in between costs nothing."""
_TOO_LATE = "the server did not take it before its window closed"


class Sends(Protocol):
    """What sends a request on: :class:`addons.holding.replay.Replayer`."""

    async def send(self, head: bytes, body: bytes, timeout: float) -> Reply:
        """The server's answer. Raises UnreachableError."""
        ...


class Replaying:
    """The work on a hold in REPLAYING."""

    def __init__(self, claimed: Claimed, replayer: Sends, upstream: Upstream, settings: KeeperSettings) -> None:
        self._claimed = claimed
        self._replayer = replayer
        self._upstream = upstream
        self._settings = settings

    async def replay(self, job: Job) -> None:
        """Send it, unless it is too late for that or the server is down."""
        held = job.held
        left = self._left(held)
        # What nobody ever tried, as nothing ran here, is tried once all the same: the server decides.
        if left <= 0 and held.attempts:
            job.settling = True
            await self._claimed.end(job, Outcome.UNREACHED, _TOO_LATE)
        elif left > 0 and await self._upstream.is_down():
            job.settling = True
            await self._later(held, None)
        elif await self._still_mine(held):
            job.settling = True
            await self._send(job, late=left <= 0)

    async def _still_mine(self, held: Held) -> bool:
        """Asked last: from here on the claim outlasts the sending, so that nobody else sends it meanwhile."""
        try:
            return held.id in await self._claimed.renewed([held.id])
        except Exception:
            return False  # the trouble was told; it is tried again when the claim has run out

    async def _send(self, job: Job, *, late: bool) -> None:
        held = job.held
        seconds = self._settings.replay_time
        try:
            reply = await self._replayer.send(
                held.head, held.body, seconds if late else min(seconds, max(1.0, self._left(held)))
            )
        except UnreachableError as error:
            self._upstream.note(error.connected)
            await self._not_taken(job, str(error), None, late=late)
            return
        self._upstream.note(True)
        said = f"the server answered {reply}"
        match verdict_of(reply.status):
            case Verdict.DONE:
                await self._claimed.end(job, Outcome.REPLAYED, said)
            case Verdict.REFUSED:
                await self._claimed.end(job, Outcome.REFUSED, said)
            case Verdict.AGAIN:
                await self._not_taken(job, said, reply.retry_after, late=late)

    async def _not_taken(self, job: Job, why: str, asked: float | None, *, late: bool) -> None:
        if late:
            await self._claimed.end(job, Outcome.UNREACHED, f"{_TOO_LATE}: {why}")
        else:
            await self._later(job.held, asked)

    async def _later(self, held: Held, asked: float | None) -> None:
        """``asked``: the seconds that the server wants us to wait; more than its window has left is not heeded."""
        last, now = held.closes + TAKEN - LAST_TRY, self._claimed.clock()
        wait = self._settings.replay_again.after(held.attempts + 1)
        if asked is not None and asked <= (last - now).total_seconds():
            wait = max(wait, asked)
        due = self._claimed.after(wait)
        if due > last:
            due = last if now < last else held.closes + TAKEN
        await self._claimed.later(held.id, due)

    def _left(self, held: Held) -> float:
        """Seconds until it is too late."""
        return (held.closes + TAKEN - self._claimed.clock()).total_seconds()
