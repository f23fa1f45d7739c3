"""Keeps what is held: judges it, sends it on or drops it, and sees to it that each hold ends in exactly one outcome."""

import asyncio
import os
import secrets
import socket
from collections.abc import Callable
from datetime import datetime, timedelta

from addons.alarms.alarms import Raises
from addons.holding.claimed import Claimed, Told
from addons.holding.database import Database
from addons.holding.jobs import Job, Lane
from addons.holding.judging import Judging
from addons.holding.parts import Assess, Claims
from addons.holding.replaying import Replaying, Sends
from addons.holding.settings import KeeperSettings
from addons.holding.upstream import Upstream
from addons.ledger.entry import utc_now
from addons.ledger.held import HoldState

SEEN = 1_000
"""URLs that media doors saw and that are not looked up yet; of more, what waits for them waits for its time."""
_CLOSING_POLLS = 5


class Keeper:
    """Works on the holds of one database, beside the keepers of other processes. Needs a running event loop.

    A hold is one keeper's at a time, by a claim that runs out where it is not renewed. So a keeper may end anywhere:
    another one takes over, at worst sends once more what the server has got already, and one alone writes the outcome.
    """

    def __init__(
        self,
        holds: Claims,
        assess: Assess,
        replayer: Sends,
        upstream: Upstream,
        settings: KeeperSettings | None = None,
        *,
        clock: Callable[[], datetime] = utc_now,
        on_outcome: Told = lambda held, outcome, detail: None,
        alarms: Raises | None = None,
        worker: str | None = None,
    ) -> None:
        """``on_outcome`` is told of every end that this keeper wrote, with its detail. ``worker``: a name that no other
        keeper has or had."""
        self._holds = holds
        self._settings = settings = settings or KeeperSettings()
        self.upstream = upstream
        worker = worker or f"{socket.gethostname()[:32]}:{os.getpid()}:{secrets.token_hex(6)}"
        self._database = Database(alarms, settings.trouble_again)
        self._claimed = claimed = Claimed(
            holds, self._database, worker, timedelta(seconds=settings.lease), clock, self._permitted, on_outcome
        )
        judging = Judging(claimed, assess, settings)
        replaying = Replaying(claimed, replayer, upstream, settings)
        self._judging = Lane((HoldState.JUDGING,), settings.judging, judging.judge, settings.poll)
        self._replaying = Lane((HoldState.REPLAYING,), settings.replays, replaying.replay, settings.poll)
        # Beside them: judgements may have all their slots for a minute, and then a window would have closed for good.
        unjudged = (HoldState.JUDGING, HoldState.WAITING)
        self._closing = Lane(unjudged, settings.closing, judging.close, _CLOSING_POLLS * settings.poll, closing=True)
        self._lanes = (self._closing, self._judging, self._replaying)
        self._seen: set[str] = set()
        self._heard = asyncio.Event()
        self._stop = asyncio.Event()
        self._loops: list[asyncio.Task[None]] = []
        self._aside: list[asyncio.Task[None]] = []

    @property
    def worker(self) -> str:
        """The name by which this keeper claims."""
        return self._claimed.worker

    @property
    def trouble(self) -> str:
        """Why nothing can be done, for a person; empty while all is well."""
        return self._database.trouble

    @property
    def working(self) -> int:
        """Holds that are being worked on."""
        return len(self._jobs())

    def start(self) -> None:
        """Begin, in the running event loop."""
        loop = asyncio.get_running_loop()
        self._loops = [loop.create_task(self._run(lane)) for lane in self._lanes]
        self._aside = [loop.create_task(self._renew()), loop.create_task(self._look_up())]

    def wake(self) -> None:
        """This process stored a hold, or an admin let one go: look now."""
        for lane in self._lanes:
            lane.wake()

    def seen(self, url: str) -> None:
        """A media door saw this URL: what could not be judged for want of it is judged now. Never waits."""
        if len(self._seen) < SEEN:
            self._seen.add(url)
            self._heard.set()

    async def stop(self, timeout: float) -> None:
        """Claim nothing more, give what is being sent or written ``timeout`` seconds to end, and give the rest back."""
        self._stop.set()
        for lane in self._lanes:
            lane.closed = True
            lane.wake()
        ours = [job.held.id for job in self._jobs()]
        for job in self._jobs():
            job.break_off()
        under_way = [*self._loops, *(job.task for job in self._jobs() if job.task)]
        if under_way:
            await asyncio.wait(under_way, timeout=timeout)
        rest = [*self._loops, *self._aside, *(job.task for job in self._jobs() if job.task)]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        await self._claimed.give_back(ours)
        self._database.close()

    def _permitted(self) -> None:
        self._replaying.wake()

    def _jobs(self) -> list[Job]:
        return [job for lane in self._lanes for job in lane.jobs.values()]

    async def _run(self, lane: Lane) -> None:
        """Claim as much as there is room for, again and again."""
        tries = 0
        while not self._stop.is_set():
            if not (room := lane.free):
                await lane.woken(None)
                continue
            try:
                found = await self._claimed.claim(lane.states, room, closing=lane.closing)
            except Exception:  # it was told
                tries += 1
                await self._database.pause(tries)
                continue
            tries = 0
            if self._stop.is_set():
                await self._claimed.give_back([held.id for held in found])
                return
            for held in found:
                lane.start(held)
            if len(found) < room:
                await lane.woken(lane.poll)

    async def renew(self) -> None:
        """Keep the claims on what is being worked on. Work on what is over, or somebody else's by now, ends."""
        if not (jobs := self._jobs()):
            return
        try:
            mine = await self._claimed.renewed([job.held.id for job in jobs])
        except Exception:  # it was told; the next time comes before the claims run out
            return
        for job in jobs:
            if job.held.id not in mine:
                job.break_off()

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._settings.lease / 3)
            await self.renew()

    async def _look_up(self) -> None:
        """Wake what waits for the URLs that media doors saw."""
        while True:
            await self._heard.wait()
            self._heard.clear()
            seen, self._seen = self._seen, set()
            for url in seen:
                try:
                    woken = await self._database.call(self._holds.awaiting, url, self._claimed.clock())
                except Exception:  # it was told; each of them has its time in any case
                    break
                if woken:
                    self._judging.wake()
