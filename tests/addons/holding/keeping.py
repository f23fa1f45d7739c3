"""A clock to be turned, a judge that says what it is told, a server that answers as told, and keepers between them."""

import asyncio
import contextlib
import itertools
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from addons.holding.backoff import Backoff
from addons.holding.keeper import Keeper
from addons.holding.parts import Assessment
from addons.holding.replay import Replayer
from addons.holding.settings import KeeperSettings
from addons.holding.upstream import Upstream
from addons.ledger.entry import new_id
from addons.ledger.held import Bounds, Held, HoldRecord, NewHold, Outcome, Signer
from addons.ledger.holds import Holds
from addons.policy.words import Action, Cause
from tests.net import OK, Received, read_request

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
WINDOW = timedelta(minutes=59)
PATIENCE = 60.0
"""Seconds that a test waits for what comes in milliseconds where nobody else is busy."""
SETTINGS = KeeperSettings(
    poll=0.02,
    judge_again=Backoff(5.0, 120.0),
    fetch_again=Backoff(10.0, 600.0),
    replay_again=Backoff(2.0, 120.0),
    trouble_again=Backoff(0.01, 0.05),
)
PASS = Assessment(Action.PASS)
DROP = Assessment(Action.DROP, rule="forbidden")
_numbers = itertools.count()


class Clock:
    """Stands still until it is turned."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now

    def turn(self, **by: float) -> None:
        self.now += timedelta(**by)


def hold(**more: Any) -> NewHold:
    """A verified delivery to be judged."""
    number = next(_numbers)
    body = b'{"id": "https://remote.example/%d"}' % number
    head = b"POST /inbox HTTP/1.1\r\nHost: example.org\r\nContent-Length: %d\r\n\r\n" % len(body)
    known: dict[str, Any] = {
        "id": new_id(NOON),
        "head": head,
        "body": body,
        "peer": "192.0.2.1",
        "arrived": NOON,
        "closes": NOON + WINDOW,
        "then": "drop",
        "signer": Signer("verified", "remote.example"),
        "share": "host:remote.example",
        "cause": "timeout",
    }
    return NewHold(**(known | more))


class Judge:
    """Says PASS, or what it was told to say of a body, each thing once and the last for ever; or hangs."""

    def __init__(self) -> None:
        self.says: dict[bytes, list[Assessment | Exception]] = {}
        self.asked: list[Held] = []
        self.timeouts: list[float] = []
        self.hangs = False
        self.broken_off = 0

    def tell(self, new: NewHold, *said: Assessment | Exception) -> None:
        self.says[new.body] = list(said)

    async def __call__(self, held: Held, timeout: float) -> Assessment:
        self.asked.append(held)
        self.timeouts.append(timeout)
        if self.hangs:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.broken_off += 1
                raise
        said = self.says.get(held.body, [PASS])
        found = said.pop(0) if len(said) > 1 else said[0]
        if isinstance(found, Exception):
            raise found
        return found


@dataclass
class Server:
    """The server behind: what came, and what it answers, each thing once and the last for ever; None: it hangs."""

    port: int = 0
    requests: list[Received] = field(default_factory=list)
    answers: deque[bytes | None] = field(default_factory=lambda: deque([OK]))
    open: int = 0
    most: int = 0
    release: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def bodies(self) -> list[bytes]:
        return [request.body for request in self.requests]

    def says(self, *answers: bytes | None) -> None:
        self.answers = deque(answers)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            if (request := await read_request(reader)) is not None:
                self.requests.append(request)
                answer = self.answers.popleft() if len(self.answers) > 1 else self.answers[0]
                if answer is None:
                    await self.release.wait()
                    answer = OK
                writer.write(answer)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            self.open -= 1
            writer.close()


@contextlib.asynccontextmanager
async def server() -> AsyncIterator[Server]:
    """One that listens."""
    served = Server()
    listening = await asyncio.start_server(served.serve, "127.0.0.1", 0)
    served.port = listening.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        served.release.set()
        listening.close()
        await listening.wait_closed()


@dataclass
class Told:
    """The ends that keepers told of."""

    ends: list[tuple[str, Outcome]] = field(default_factory=list)

    def __call__(self, held: Held, outcome: Outcome, detail: str) -> None:
        self.ends.append((held.id, outcome))

    @property
    def counted(self) -> Mapping[Outcome, int]:
        return Counter(outcome for _, outcome in self.ends)


@dataclass
class Place:
    """Holds in a database, a judge, a server, and the keepers of however many processes."""

    holds: Holds
    clock: Clock
    judge: Judge
    server: Server
    told: Told = field(default_factory=Told)
    keepers: list[Keeper] = field(default_factory=list)

    def put(self, **more: Any) -> NewHold:
        """Hold one more."""
        new = hold(**more)
        assert self.holds.put(new, Bounds())
        return new

    def keeper(self, **more: Any) -> Keeper:
        """Another one, which works already."""
        replayer = Replayer(f"http://127.0.0.1:{self.server.port}", connect=PATIENCE)
        settings = more.pop("settings", SETTINGS)
        known: dict[str, Any] = {"clock": self.clock, "on_outcome": self.told}
        known["upstream"] = Upstream("the server", replayer.reachable, every=0.0)
        holds, assess = more.pop("holds", self.holds), more.pop("assess", self.judge)
        made = Keeper(holds, assess, replayer, settings=settings, **(known | more))
        self.keepers.append(made)
        made.start()
        return made

    def record(self, new: NewHold) -> HoldRecord:
        """What the ledger says of it."""
        found = self.holds.get(new.id)
        assert found is not None
        return found

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not await asyncio.to_thread(condition):  # noqa: ASYNC110  # a row of a database has no event
                await asyncio.sleep(0.005)

    async def outcome(self, new: NewHold) -> tuple[Outcome, str]:
        """How it ended, once it has."""
        await self.until(lambda: self.record(new).outcome is not None)
        found = self.record(new)
        assert found.outcome is not None
        return found.outcome, found.detail

    async def later(self, new: NewHold, attempts: int = 1) -> HoldRecord:
        """What the ledger says once it was tried so many times, and is nobody's."""
        await self.until(lambda: self.record(new).attempts == attempts and self.record(new).worker is None)
        return self.record(new)


@contextlib.asynccontextmanager
async def place(holds: Holds, clock: Clock) -> AsyncIterator[Place]:
    """All of it; every keeper is stopped at the end."""
    async with server() as served:
        made = Place(holds, clock, Judge(), served)
        try:
            yield made
        finally:
            served.release.set()
            for keeper in made.keepers:
                await keeper.stop(PATIENCE)
                # What still runs in a thread has a connection of the ledger, which is closed next.
                await asyncio.to_thread(keeper._database._threads.shutdown)


def failing(cause: Cause, *urls: str, **more: Any) -> Assessment:
    """A judgement that could not be made."""
    return Assessment(Action.HOLD, cause=cause, urls=urls, **more)
