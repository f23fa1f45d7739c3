"""Fetches each exchange every few hours, never two processes in step, and goes on after failures."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence

from addons.judging.exchanges import child
from addons.judging.exchanges.child import FetchFailedError, State
from addons.judging.exchanges.fetch import Answer
from addons.policy.exchanges import Exchange

logger = logging.getLogger(__name__)

SOON = (2.0, 30.0)
"""Seconds, from and to, after which one that is due is fetched: not all at once when many start together."""
JITTER = 0.1
"""The part of ``every`` by which a wait may be shorter or longer."""
RETRY = 60.0
"""Seconds after a first failure; twice as long after each further one, up to ``every``."""


class Exchanges:
    """The fetching of one service's exchanges. Belongs to one event loop."""

    def __init__(
        self,
        exchanges: Sequence[Exchange],
        *,
        fetch: Callable[..., Awaitable[Answer]] = child.fetch,
        soon: tuple[float, float] | None = None,
        retry: float = RETRY,
    ) -> None:
        self._exchanges = exchanges
        self._fetch = fetch
        self._soon = soon or SOON
        self._retry = retry
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin, in the running event loop."""
        self._tasks = [asyncio.create_task(self._keep(exchange)) for exchange in self._exchanges]

    async def close(self) -> None:
        """End, and end what is being fetched: it goes on from there the next time."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    async def _keep(self, exchange: Exchange) -> None:
        failures, told = 0, ""
        while True:
            try:
                state = await asyncio.to_thread(child.state, exchange)
                await asyncio.sleep(self.wait(exchange, state, failures, time.time()))
                answer = await self._fetch(exchange, seen=state.fetched_at)
            except Exception as error:
                # Whatever it is, even a mistake of ours: fetching goes on, and the doors know nothing of it.
                failures += 1
                trouble = str(error) if isinstance(error, FetchFailedError) else repr(error)
                if trouble != told:
                    told = trouble
                    logger.error(
                        "the exchange %s was not fetched: %s. The list fetched before stays in force, and it is tried "
                        "again; `fediward exchanges fetch %s` tries at once",
                        *(exchange.name, trouble, exchange.name),
                    )
                await asyncio.to_thread(child.note, exchange, trouble)
                if not isinstance(error, FetchFailedError):
                    await asyncio.sleep(self._retry)
                continue
            if answer.fetched:
                if failures:
                    logger.warning("the exchange %s is fetched again", exchange.name)
                logger.info("the exchange %s: %d records, %d hashes", exchange.name, answer.records, answer.hashes)
                failures, told = 0, ""
            else:
                await asyncio.sleep(self._retry * random.uniform(0.5, 1.5))

    def wait(self, exchange: Exchange, state: State, failures: int, now: float) -> float:
        """Seconds until it is to be fetched next; ``now``, as seconds since 1970."""
        if failures:
            return float(min(exchange.every, self._retry * 2 ** min(failures - 1, 30)) * random.uniform(0.5, 1))
        fetched_at = state.fetched_at
        # A clock that was set back must not put it off for years.
        if fetched_at is None or fetched_at > now:
            return random.uniform(*self._soon)
        due = fetched_at + exchange.every * random.uniform(1 - JITTER, 1 + JITTER)
        return max(due - now, 0) + random.uniform(*self._soon)
