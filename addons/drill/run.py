"""Runs a drill: a sender, a remote host and a server of this machine, fediward between them, and one cause."""

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from prometheus_client import generate_latest

from addons.alarms.kinds import AlarmKind
from addons.delivering import Known
from addons.demo.activities import Json, Writer
from addons.demo.arrivals import Arrival
from addons.demo.receiver import Receiver
from addons.demo.remote import Remote
from addons.demo.scenes import Scene
from addons.drill.breaking import BrokenJudge, locked
from addons.drill.causes import DRILLS, Drill
from addons.drill.host import Host
from addons.drill.outcome import Drilled, Seen
from addons.drill.setting import setting
from addons.ledger.database import BUSY
from addons.ledger.entry import Entry
from addons.ledger.held import HoldRecord
from addons.ledger.ledger import Ledger
from addons.ledger.reading import Reader, Search
from addons.opening import Doors, plans
from addons.policy.config import Config
from addons.policy.words import Cause
from addons.service import Service
from classifier.engine import Engine
from classifier.types import FailureCause

PREFIX = "fediward-drill-"
LOCK_BUSY = 0.2
"""Seconds that a drill's own ledger waits for another's lock."""
WAIT = 30.0
"""Seconds for whatever is to happen."""
SETTLE = 0.3
"""Seconds for what must not reach the server to do so all the same."""
_LOOK = 0.02
_FAILURES: Mapping[Cause, tuple[FailureCause, str]] = {
    Cause.NO_WORKER: ("no_worker", "no worker is there"),
    Cause.DETECTOR_ERROR: ("detector_error", "the detector broke down"),
}


async def drill(config: Config, cause: Cause, *, live: bool = False, engine: Engine | None = None) -> Drilled:
    """Make ``cause`` happen. ``live``: in the configuration's own ledger, observing; ``engine``: one that is open.

    Raises CannotStartError, LedgerError, OSError, httpx.HTTPError.
    """
    host, remote, receiver = Host(), Remote(), Receiver()
    with (
        tempfile.TemporaryDirectory(prefix=PREFIX) as folder,
        host.server,
        remote.server,
        receiver.server,
    ):
        file = Path(folder) / "drill.db"
        config = setting(
            config,
            cause,
            upstream=receiver.server.url,
            ports=(host.server.port, remote.server.port),
            ledger=None if live else f"sqlite:///{file}",
        )
        judging = engine or Engine.start(config.classifier, {})
        try:
            async with _opened(config, cause, judging, live) as (service, judge, door):
                stage = _Stage(service, host, remote, receiver, door, judge, file)
                return await stage.play(cause)
        finally:
            if engine is None:
                await judging.close()


@contextlib.asynccontextmanager
async def _opened(
    config: Config, cause: Cause, engine: Engine, live: bool
) -> AsyncIterator[tuple[Service, BrokenJudge | None, str]]:
    """The service, its judge where that is broken, and the URL of its door."""
    ledger = Ledger.open(
        config.ledger.url,
        keep=timedelta(seconds=config.ledger.keep),
        keep_dropped=timedelta(seconds=config.ledger.keep_dropped),
        busy=BUSY if live else LOCK_BUSY,
    )
    judge = BrokenJudge(engine, *_FAILURES[cause]) if cause in _FAILURES else None
    try:
        service = Service.of(config, ledger, engine, Known.load(config, ledger), judges=judge, watched=True)
        doors = Doors(plans(service, free=True), config.limits.idle_time)
        try:
            (opened,) = await doors.open()
            if not live:  # what is held there is for the fediward that runs
                service.delivering.start()
            elif service.health is not None:
                service.health.alarms.start()
            yield service, judge, f"http://{opened.address}"
        finally:
            await doors.close()
            await service.delivering.close()
            if service.health is not None:
                await service.health.close()
    finally:
        await asyncio.to_thread(ledger.close)


class _Stage:
    """One drill that is open."""

    def __init__(
        self,
        service: Service,
        host: Host,
        remote: Remote,
        receiver: Receiver,
        door: str,
        judge: BrokenJudge | None,
        file: Path,
    ) -> None:
        self._service = service
        self._host = host
        self._remote = remote
        self._receiver = receiver
        self._door = door
        self._judge = judge
        self._file = file
        self._write = Writer(remote.server.url, remote.actor, int(time.time()))

    async def play(self, cause: Cause) -> Drilled:
        """Break what is to be broken, send, mend, and look."""
        service, one = self._service, DRILLS[cause]
        policy = service.policy
        with Reader.open(service.config.ledger.url) as reader:
            document = self._document(one)
            scene = Scene("mastodon", one.what, document)
            since = datetime.now(UTC)
            async with contextlib.AsyncExitStack() as broken:
                await self._break(one, broken)
                request = self._remote.delivery(scene, self._door)
                began = time.perf_counter()
                async with httpx.AsyncClient(trust_env=False, timeout=WAIT) as client:
                    answer = await client.send(request)
                seconds = time.perf_counter() - began
                at_once = self._arrived(scene.id)
                if policy.observe:  # it is judged meanwhile
                    await self._entry(reader, scene.id, since)
            self._mend(one)
            entry = await self._entry(reader, scene.id, since)
            record = await self._ended(reader, entry, one) if entry and not policy.observe else None
            await asyncio.sleep(SETTLE)
            later = self._arrived(scene.id)
            changed = tuple(dict.fromkeys(change for arrival in later for change in arrival.changes(request)))
            seen = _seen(entry, record, answer.status_code, seconds, (len(at_once), len(later)), changed)
            if policy.observe:
                seen = self._told(cause, one, seen)
        wanted = policy.on_cause(cause, "inbox")
        return Drilled(cause, wanted.action, wanted.then, policy.observe, seen)

    def _document(self, one: Drill) -> Json:
        urls = [f"{self._host.url(one.picture)}?{n}" if one.picture else one.url for n in range(one.number)]
        return self._write.note([self._write.document(url, "image/png") for url in urls])

    def _arrived(self, id: str) -> Sequence[Arrival]:
        return [arrival for arrival in self._receiver.arrivals() if arrival.id == id]

    # -- broken and mended ---------------------------------------------------------------------------------------------

    async def _break(self, one: Drill, broken: contextlib.AsyncExitStack) -> None:
        service = self._service
        if one.broken == "turns":
            fair = service.delivering.deciding.fair
            await broken.enter_async_context(fair.admitted("host:drill.invalid", service.config.limits.deliveries))
        elif one.broken == "ledger":
            broken.enter_context(locked(self._file))
            service.ledger.count("inbox", "pass")  # that it cannot be written it learns when it writes
            await _until(lambda: not service.ledger.healthy)
        elif one.broken == "room":
            filling = Scene("mastodon", "what takes the room", self._document(one))
            async with httpx.AsyncClient(trust_env=False, timeout=WAIT) as client:
                await client.send(self._remote.delivery(filling, self._door))

    def _mend(self, one: Drill) -> None:
        self._host.mend()
        if self._judge is not None:
            self._judge.mended = True
        if one.picture == "failing" and one.mended:
            # As when the server's own request comes to a media door.
            self._service.delivering.seen(f"{self._host.url(one.picture)}?0")

    # -- what became of it ---------------------------------------------------------------------------------------------

    async def _entry(self, reader: Reader, id: str, since: datetime) -> Entry | None:
        search = Search(door="inbox", activity_id=id, since=since, limit=10)
        deadline = time.monotonic() + WAIT
        while time.monotonic() < deadline:
            if found := await asyncio.to_thread(reader.find, search):
                return found[0]
            await asyncio.sleep(_LOOK)
        return None

    async def _ended(self, reader: Reader, entry: Entry, one: Drill) -> HoldRecord | None:
        """Its hold, once it is over, or as it is where nothing mends it."""
        deadline = time.monotonic() + (WAIT if one.mended else 0.0)
        while True:
            record = await asyncio.to_thread(reader.hold, entry.id)
            if record is None or record.outcome is not None or time.monotonic() >= deadline:
                return record
            await asyncio.sleep(_LOOK)

    def _told(self, cause: Cause, one: Drill, seen: Seen) -> Seen:
        """With the metrics that name the cause, and a test sent to each target of alarms."""
        health = self._service.health
        assert health is not None
        text = generate_latest(health.metrics.registry).decode()
        lines = tuple(line for line in text.splitlines() if f'cause="{cause}"' in line and not line.startswith("#"))
        told = f"`fediward drill {cause}`: {one.what}. Nothing is wrong: this is a drill"
        health.alarms.raise_(AlarmKind.TEST, told)
        return replace(seen, metrics=lines, alarms=len(self._service.config.alarms.to))


def _seen(
    entry: Entry | None,
    record: HoldRecord | None,
    status: int,
    seconds: float,
    times: tuple[int, int],
    changed: tuple[str, ...],
) -> Seen:
    seen = Seen(status, seconds, *times, changed, held=record is not None)
    if entry is None:
        return seen
    message = next((medium.message for medium in entry.media if medium.message), "")
    seen = replace(seen, action=entry.action, cause=entry.cause, rule=entry.rule, message=message, decision=entry.id)
    if record is None:
        return seen
    return replace(seen, outcome=str(record.outcome) if record.outcome else None, detail=record.detail)


async def _until(there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT
    while not there() and time.monotonic() < deadline:  # noqa: ASYNC110  # a thread of the ledger's ends it
        await asyncio.sleep(_LOOK)
