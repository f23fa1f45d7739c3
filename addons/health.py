"""How one process is: its metrics, its readiness, what is watched and who is told."""

import functools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Protocol

from prometheus_client import Metric

from addons.alarms.alarms import Alarms
from addons.alarms.certificates import certificates
from addons.alarms.targets import targets
from addons.alarms.watching import Bounds, Sources, Watching
from addons.fetching.budget import MemoryBudget
from addons.fetching.client import Fetcher
from addons.holding.windows import window
from addons.ledger.held import Totals
from addons.ledger.ledger import Ledger
from addons.metrics import Metrics, Reading, family
from addons.policy.config import Config
from addons.web.readiness import Check, Readiness
from addons.web.status import Status
from classifier.engine import Engine


class Keeps(Protocol):
    """What works on the holds."""

    @property
    def trouble(self) -> str:
        """Why nothing can be done, for a person; empty while all is well."""
        ...

    @property
    def working(self) -> int:
        """Holds that are being worked on."""
        ...


class Reached(Protocol):
    """The server behind, as far as is known."""

    @property
    def down(self) -> bool:
        """Whether it could not be reached."""
        ...


class Admits(Protocol):
    """What lets deliveries in to be judged."""

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        ...


class Decides(Protocol):
    """What decides on deliveries."""

    @property
    def judging(self) -> int:
        """Deliveries whose media are being judged."""
        ...

    @property
    def fair(self) -> Admits:
        """Who lets them in."""
        ...


class Brakes(Protocol):
    """What stops rules."""

    @property
    def stopped(self) -> frozenset[str]:
        """The rules whose new matches are held."""
        ...


class Health:
    """Belongs to one event loop. Parts that come later are told to it: :meth:`keeps`, :meth:`decides`, :meth:`brakes`,
    :meth:`fetches`."""

    def __init__(self, config: Config, engine: Engine, ledger: Ledger, budget: MemoryBudget) -> None:
        """The decisions of ``ledger`` are counted from now on."""
        self.metrics = Metrics([rule.name for rule in config.rules])
        self.alarms = Alarms(list(targets(config.alarms)), every=config.alarms.every)
        self.readiness = Readiness(
            [
                ("detectors", lambda: _detectors(engine)),
                ("lists", lambda: _lists(engine)),
                ("workers", lambda: _workers(engine)),
                ("ledger", lambda: _ledger(ledger)),
            ]
        )
        self._config = config
        self._holds = ledger.holds
        self._keeper: Keeps | None = None
        self._upstream: Reached | None = None
        self._brake: Brakes | None = None
        self.watching = Watching(self.alarms, self._sources(engine, ledger))
        ledger.counted = self.metrics.delivery
        self.metrics.include(engine.metrics.registry)
        self.metrics.watch(
            Reading("fediward_ledger_waiting", "Decisions that wait to be written", lambda: ledger.waiting),
            Reading("fediward_ledger_lost", "Decisions that could not be written", lambda: ledger.lost, total=True),
            Reading("fediward_ledger_healthy", "1 while the ledger can be written", lambda: float(ledger.healthy)),
            Reading("fediward_memory_used_bytes", "Of limits.memory: what is held in it", lambda: budget.used),
            Reading("fediward_memory_limit_bytes", "limits.memory", lambda: config.limits.memory),
            Reading("fediward_workers", "Workers elsewhere that may judge", lambda: engine.workers),
            Reading("fediward_brake_stopped", "1 for each rule that the brake stopped", self._stopped, ("rule",)),
            Reading("fediward_upstream_down", "1 while the server behind cannot be reached", self._down),
            Reading("fediward_holds_working", "Holds that are judged or replayed now", self._working),
            Reading("fediward_alarms_waiting", "Alarms that wait to be sent", lambda: self.alarms.waiting),
        )

    def keeps(self, keeper: Keeps, upstream: Reached) -> None:
        """Who works on the holds, and what is known of the server behind."""
        self._keeper, self._upstream = keeper, upstream
        self.readiness.add("keeper", lambda: _keeper(keeper))

    def decides(self, deciding: Decides) -> None:
        """What decides on deliveries."""
        judged, waiting = lambda: deciding.judging, lambda: deciding.fair.waiting
        self.metrics.watch(
            Reading("fediward_deliveries_judging", "Deliveries whose media are judged now", judged),
            Reading("fediward_deliveries_waiting", "Deliveries that wait for their turn to be judged", waiting),
        )

    def fetches(self, fetcher: Fetcher) -> None:
        """What fetches media and pages."""
        fetcher.took = functools.partial(self.metrics.stage, "fetch")

    def brakes(self, brake: Brakes) -> None:
        """What stops rules."""
        self._brake = brake

    def status(self) -> Status:
        """The application of the status listener."""
        return Status(self.metrics, self.readiness, self._held)

    def start(self) -> None:
        """Begin to watch and to send, in the running event loop."""
        self.alarms.start()
        self.watching.start()

    async def close(self) -> None:
        """Watch no more; send what waits, for some seconds at most."""
        await self.watching.close()
        await self.alarms.close()

    def _sources(self, engine: Engine, ledger: Ledger) -> Sources:
        config, holds = self._config, self._config.holds
        longest = window(config.server.software, holds.window).total_seconds()
        return Sources(
            judges=lambda: _judging(engine),
            ledger=lambda: ledger.trouble,
            upstream=self._unreached,
            brake=lambda: sorted(self._brake.stopped) if self._brake else (),
            held=self._holds.totals,
            bounds=Bounds(holds.count, holds.bytes, longest),
            certificates=certificates(config),
        )

    def _unreached(self) -> str:
        if self._upstream is None or not self._upstream.down:
            return ""
        return (
            f"the server at {self._config.server.upstream} cannot be reached: see that it runs, and that "
            "server.upstream is right. Deliveries are answered with its own failure, and what is held waits"
        )

    def _stopped(self) -> dict[tuple[str, ...], float]:
        return {(rule,): 1.0 for rule in self._brake.stopped} if self._brake else {}

    def _down(self) -> float | None:
        return None if self._upstream is None else float(self._upstream.down)

    def _working(self) -> float | None:
        return None if self._keeper is None else self._keeper.working

    def _held(self) -> Iterator[Metric]:
        """What the database says is held. Blocks."""
        totals = self._holds.totals()
        for one in held_readings(totals, lambda: datetime.now(UTC)):
            if (found := family(one)) is not None:
                yield found


def held_readings(totals: Totals, now: Callable[[], datetime]) -> list[Reading]:
    """What is held, as metrics; never whose it is."""
    oldest = totals.oldest
    return [
        Reading(
            "fediward_holds",
            "Deliveries held, by state",
            lambda: {(str(state),): float(count) for state, count in totals.by_state.items()},
            ("state",),
        ),
        Reading("fediward_holds_bytes", "Of their heads and bodies", lambda: totals.bytes),
        Reading(
            "fediward_holds_oldest_seconds",
            "Since the oldest of them arrived",
            lambda: 0.0 if oldest is None else (now() - oldest).total_seconds(),
        ),
    ]


async def _judging(engine: Engine) -> str:
    """Why nothing can be judged, or else what is wrong all the same; the first to ask has workers looked for."""
    return await engine.unable() or engine.trouble()


async def _detectors(engine: Engine) -> Check:
    if engine.workers is not None:
        return Check("detectors")
    mend = "Restart fediward if it does not mend by itself within a minute"
    return Check("detectors", await engine.unable(), mend)


def _lists(engine: Engine) -> Check:
    mend = "Mend the file, or fetch it again: `fediward hashes`, `fediward exchanges`"
    return Check("lists", engine.lists.trouble(), mend, able=True)


async def _workers(engine: Engine) -> Check:
    if engine.workers is None:
        return Check("workers")
    mend = "See that a `fediward worker` with the same classifier section runs, and that both reach the NATS server"
    if unable := await engine.unable():
        return Check("workers", unable, mend)
    return Check("workers", engine.trouble(), mend, able=True)


def _ledger(ledger: Ledger) -> Check:
    return Check("ledger", ledger.trouble, "`fediward doctor` tries it")


def _keeper(keeper: Keeps) -> Check:
    return Check("keeper", keeper.trouble, "What is held waits until then; `fediward doctor` tries the ledger")
