"""A second fediward of the demo's, on a machine without a GPU: its judge takes its time, and no sender waits for it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

from addons.delivering import Known
from addons.demo.no_gpu import BUDGET, DOOR
from addons.judging.judge import Judges
from addons.ledger.ledger import Ledger
from addons.ledger.reading import Reader
from addons.opening import Plan, plans
from addons.policy.config import Config
from addons.policy.door_sections import Doors
from addons.service import Service
from classifier import CannotJudgeError, Judgement, Parts
from classifier.engine import Engine
from classifier.flights import Stop
from classifier.hashlists import Digests


@dataclass(frozen=True, slots=True)
class SlowJudge:
    """Judges as ``judges`` does, ``seconds`` later."""

    judges: Judges
    seconds: float

    @property
    def version(self) -> str:
        """Which detectors judge."""
        return self.judges.version

    async def digests(self, data: bytes | Parts) -> Digests:
        """As the other one."""
        return await self.judges.digests(data)

    async def judge(
        self, data: bytes | Parts, *, timeout: float, stop: Stop | None = None, digests: Digests | None = None
    ) -> Judgement:
        """As the other one, later. Raises CannotJudgeError: timeout, where there is not that much time."""
        await asyncio.sleep(min(self.seconds, max(0.0, timeout)))
        if timeout <= self.seconds:
            raise CannotJudgeError("timeout", f"it was not judged within {timeout:.1f} s")
        return await self.judges.judge(data, timeout=timeout - self.seconds, stop=stop, digests=digests)

    def known(self, digests: Digests, stop: Stop | None, media_type: str) -> Judgement | None:
        """As the other one."""
        return self.judges.known(digests, stop, media_type)

    def look_up_cost(self, judgement: Judgement) -> int:
        """As the other one."""
        return self.judges.look_up_cost(judgement)

    def look_up(self, judgement: Judgement) -> Judgement:
        """As the other one."""
        return self.judges.look_up(judgement)


@dataclass(frozen=True, slots=True)
class SlowService:
    """``plan``: of its one door; ``reader``: of its ledger."""

    service: Service
    plan: Plan
    reader: Reader


@asynccontextmanager
async def slow_service(config: Config, engine: Engine, seconds: float) -> AsyncIterator[SlowService]:
    """Beside another that has this configuration and engine, with a ledger of its own. Raises LedgerError."""
    url = config.ledger.url.replace("demo.db", "slow.db")
    config = replace(
        config,
        doors=Doors(),
        scan="federation",
        budget=BUDGET * seconds,
        ledger=config.ledger.model_copy(update={"url": url}),
    )
    ledger = Ledger.open(url, keep=timedelta(seconds=config.ledger.keep))
    try:
        service = Service.of(config, ledger, engine, Known.load(config, ledger), judges=SlowJudge(engine, seconds))
        (plan,) = plans(service, free=True)
        for addon in plan.door.addons if plan.door else ():
            # mitmproxy knows addons by their names, and has an inbox door already.
            setattr(addon, "name", "fediward-inbox-slow")  # noqa: B010  # to mypy an addon is any object
        with Reader.open(url) as reader:
            service.delivering.start()
            try:
                yield SlowService(service, replace(plan, name=DOOR), reader)
            finally:
                await service.delivering.close()
    finally:
        ledger.close()
