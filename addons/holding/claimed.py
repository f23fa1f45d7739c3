"""What a keeper may do with a hold that it has claimed; done once more until the database takes it."""

import logging
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta

from addons.holding.database import Database
from addons.holding.jobs import Job
from addons.holding.parts import Claims
from addons.ledger.held import Held, HoldState, Outcome, Then

logger = logging.getLogger(__name__)

LONGEST = timedelta(minutes=15)
"""More than there ever is until the next try, but where the server itself asks for more."""

type Told = Callable[[Held, Outcome, str], None]


class Claimed:
    """The holds of one ``worker``, whose claims last for ``lease`` unless they are renewed.

    ``permitted`` is called where something may be replayed now, ``told`` of each end that was written.
    """

    def __init__(
        self,
        holds: Claims,
        database: Database,
        worker: str,
        lease: timedelta,
        clock: Callable[[], datetime],
        permitted: Callable[[], None],
        told: Told,
    ) -> None:
        self.worker = worker
        self.clock = clock
        self._holds = holds
        self._database = database
        self._lease = lease
        self._permitted = permitted
        self._latest: datetime | None = None
        self._told = told

    def after(self, seconds: float) -> datetime:
        """That many seconds from now."""
        return self.clock() + timedelta(seconds=seconds)

    async def claim(self, states: Collection[HoldState], limit: int, *, closing: bool) -> list[Held]:
        """At most ``limit`` that are due. Raises what the database does."""
        now = self.clock()
        if self._latest is None or now < self._latest:
            # At the start nobody knows. What is due by a clock that was ahead would else wait until then.
            late = await self._database.call(self._holds.clock_put_back, now, LONGEST, self._lease)
            if late:
                logger.warning("the clock was put back: %d held deliveries are tried now", late)
        self._latest = now
        return await self._database.call(
            self._holds.claim, states, self.worker, now, self._lease, limit, closing=closing
        )

    async def renewed(self, ids: Collection[str]) -> Collection[str]:
        """Those of them that are still the worker's, from now on for a whole lease. Raises what the database does."""
        return await self._database.call(self._holds.renew, ids, self.worker, self.clock(), self._lease)

    async def give_back(self, ids: Collection[str]) -> None:
        """Let others have them, as if they had never been claimed."""
        if not ids:
            return
        try:
            await self._database.call(self._holds.give_back, ids, self.worker)
        except Exception:
            seconds = self._lease.total_seconds()
            logger.warning("%d held deliveries could not be given back; others take them in %g s", len(ids), seconds)

    async def later(
        self,
        id: str,
        due: datetime,
        urls: Sequence[str] | None = None,
        *,
        then: Then | None = None,
        cause: str | None = None,
        rule: str | None = None,
        state: HoldState | None = None,
    ) -> None:
        """Give it back until ``due``; what is not None is changed with it."""
        await self._database.insist(
            self._holds.retry, id, self.worker, due, urls, then=then, cause=cause, rule=rule, state=state
        )

    async def permit(self, id: str, detail: str = "", *, unjudged: bool = False) -> None:
        """It may be replayed."""
        if await self._database.insist(self._holds.permit, id, self.worker, unjudged=unjudged, detail=detail):
            self._permitted()

    async def end(self, job: Job, outcome: Outcome, detail: str) -> None:
        """Its outcome, unless it has one already."""
        held = job.held
        if await self._database.insist(self._holds.end, held.id, self.worker, outcome, detail, self.clock()):
            self._permitted()  # others may have waited behind it
            self._told(held, outcome, detail)
