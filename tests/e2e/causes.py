"""Makes each cause happen in a running service, for a thing that is then brought to its doors."""

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from addons.policy.words import Cause, Door
from classifier.remote.client import Workers
from tests import net
from tests.drawing import encode, textured
from tests.e2e.faults import DOORS, SECONDS, World, opened
from tests.e2e.faulty import FORBIDDEN, ORDINARY, Judging, judging
from tests.sleeping import CONCEPTS, settings

BROKEN = ORDINARY[:200] + bytes(2000)
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><circle cx="4" cy="4" r="4" fill="red"/></svg>'
LARGE = encode(textured(3, 400, 300), "BMP")
"""More than 64 KiB, the least that ``fetch.max_bytes`` can be."""


@dataclass(frozen=True, slots=True)
class Thing:
    """What is brought to the doors: a picture at ``url``, ``count`` of them to a post or form. ``data`` is None where
    only its URL can make the cause."""

    url: str
    data: bytes | None = None
    count: int = 1
    document: str = ""
    """A post's URL, for the fetch door, in the place of the picture's."""

    def urls(self) -> list[str]:
        return [self.url, *(f"{self.url}?{number}" for number in range(1, self.count))]


@dataclass
class Stage:
    """An open service in which one cause happens to ``thing``, at each door it is brought to."""

    world: World
    thing: Thing
    before: Sequence[str] = ()
    """Ids of decisions from before."""
    after: Callable[[], None] = lambda: None
    """The ledger can be read from here on."""

    async def ask(self, door: Door) -> tuple[int, bool]:
        """The status, and whether the very bytes came through."""
        return await {
            "inbox": self._inbox, "fetch": self._fetch, "pictrs": self._origin,
            "validate": self._validate, "upload": self._upload,
        }[door]()  # fmt: skip

    async def _inbox(self) -> tuple[int, bool]:
        status = await self.world.deliver(*self.thing.urls())
        return status, self.world.arrived()[-1] > 0

    async def _fetch(self) -> tuple[int, bool]:
        found = await self.world.proxied.get(self.thing.document or self.thing.url)
        return found.status_code, found.content == self.thing.data

    async def _origin(self) -> tuple[int, bool]:
        urls = self.world.service.urls
        assert urls is not None
        at = urls.of(self.thing.url).replace("127.0.0.1:5/", f"{self.world.ports['origin']}/", 1)
        found = await self.world.web.get(at)
        return found.status_code, found.content == self.thing.data

    async def _validate(self) -> tuple[int, bool]:
        at = f"http://{self.world.ports['validation']}/validate"
        found = await self.world.web.post(at, content=self.thing.data)
        return found.status_code, found.status_code == 200

    async def _upload(self) -> tuple[int, bool]:
        """Files where there are some, else a post that names their URL."""
        at = f"http://{self.world.ports['inbox door']}"
        if self.thing.data is None:
            found = await self.world.web.post(f"{at}/api/v3/post", json={"name": "a", "body": f"![]({self.thing.url})"})
        else:
            files = [("images[]", ("a.png", self.thing.data, "image/png"))] * self.thing.count
            found = await self.world.web.post(f"{at}/pictrs/image", files=files)
        return found.status_code, any(b" /inbox " not in request.line for request in self.world.server.requests)


type Makes = Callable[[Path, Judging], contextlib.AbstractAsyncContextManager[Stage]]


def every_door(folder: Path, judge: Judging, **settings: Any) -> contextlib.AbstractAsyncContextManager[World]:
    """With every door open; nobody works on what is held, so that it can be looked at."""
    return opened(folder, judge, keeps=False, **({"doors": DOORS, "scan": "everything"} | settings))


def served(world: World, data: bytes = ORDINARY, **answer: Any) -> Thing:
    return Thing(world.host.put("/picture.png", data, **answer), data)


@contextlib.asynccontextmanager
async def timeout(folder: Path, judge: Judging) -> AsyncIterator[Stage]:
    sections = {name: dict(section) | {"deadline": "2s"} for name, section in DOORS.items()}
    async with every_door(folder, judge, doors=sections, budget="2s") as world:
        judge.waits()
        yield Stage(world, served(world))


@contextlib.asynccontextmanager
async def no_worker(folder: Path, judge: Judging) -> AsyncIterator[Stage]:
    chosen = settings("nats://127.0.0.1:1")
    assert chosen.workers is not None
    async with (
        judging(folder, Workers(chosen, chosen.workers, CONCEPTS)) as elsewhere,
        every_door(folder, elsewhere) as world,
    ):
        yield Stage(world, served(world))


@contextlib.asynccontextmanager
async def busy(folder: Path, judge: Judging) -> AsyncIterator[Stage]:
    async with judging(folder, queue=1) as small, every_door(folder, small) as world:
        small.waits()
        first = asyncio.ensure_future(small.engine.judge(FORBIDDEN, timeout=SECONDS))
        await net.until(lambda: small.detector.waiting > 0, SECONDS)
        yield Stage(world, served(world))
        small.works()
        await first


@contextlib.asynccontextmanager
async def detector_error(folder: Path, judge: Judging) -> AsyncIterator[Stage]:
    judge.fails()
    async with every_door(folder, judge) as world:
        yield Stage(world, served(world))


@contextlib.asynccontextmanager
async def fetch_failed(folder: Path, judge: Judging) -> AsyncIterator[Stage]:
    async with every_door(folder, judge) as world:
        yield Stage(world, Thing(world.host.put("/gone.png", status="500 Internal Server Error")))


@contextlib.asynccontextmanager
async def fetch_refused(folder: Path, judge: Judging) -> AsyncIterator[Stage]:
    async with every_door(folder, judge) as world:
        yield Stage(world, Thing(f"http://10.1.2.3:{world.host.port}/private.png"))


@contextlib.asynccontextmanager
async def fetch_unauthorized(folder: Path, judge: Judging) -> AsyncIterator[Stage]:
    async with every_door(folder, judge) as world:
        yield Stage(world, Thing(world.host.put("/secret.png", status="401 Unauthorized")))


def brings(data: bytes, **settings: Any) -> Makes:
    """A file that is the cause by itself."""

    @contextlib.asynccontextmanager
    async def brought(folder: Path, judge: Judging) -> AsyncIterator[Stage]:
        async with every_door(folder, judge, **settings) as world:
            yield Stage(world, served(world, data))

    return brought


@contextlib.asynccontextmanager
async def too_many(folder: Path, judge: Judging) -> AsyncIterator[Stage]:
    async with every_door(folder, judge, limits={"media": 2}) as world:
        url = world.host.put("/picture.png", ORDINARY)
        note = world.sender.note(*(f"{url}?{number}" for number in range(3)))
        post = world.host.put("/note", json.dumps(note).encode(), headers={"Content-Type": "application/activity+json"})
        yield Stage(world, Thing(url, ORDINARY, count=3, document=post))


@contextlib.asynccontextmanager
async def ledger_error(folder: Path, judge: Judging) -> AsyncIterator[Stage]:
    async with every_door(folder, judge, busy=0.1) as world:
        thing = served(world)
        assert await world.deliver(thing.url) == 200
        before = [entry.id for entry in await world.entries()]
        other = sqlite3.connect(str(world.service.config.ledger.url).removeprefix("sqlite:///"))
        other.execute("BEGIN IMMEDIATE")
        world.service.ledger.note_policy("another", {})  # something to be written
        await net.until(lambda: not world.service.ledger.healthy, SECONDS)

        def unlocked() -> None:
            other.rollback()
            other.close()

        yield Stage(world, thing, before, unlocked)


@contextlib.asynccontextmanager
async def hold_full(folder: Path, judge: Judging) -> AsyncIterator[Stage]:
    judge.fails()
    async with every_door(folder, judge, holds={"count": 1, "host_count": 1}) as world:
        thing = served(world)
        assert await world.deliver(thing.url, id="first") == 202
        yield Stage(world, thing, [entry.id for entry in await world.entries()])


MADE: Mapping[Cause, Makes] = {
    Cause.TIMEOUT: timeout,
    Cause.NO_WORKER: no_worker,
    Cause.BUSY: busy,
    Cause.FETCH_FAILED: fetch_failed,
    Cause.FETCH_REFUSED: fetch_refused,
    Cause.FETCH_UNAUTHORIZED: fetch_unauthorized,
    Cause.UNDECODABLE: brings(BROKEN),
    Cause.UNSUPPORTED: brings(SVG),
    Cause.TOO_LARGE: brings(LARGE, fetch={"max_bytes": "64KiB"}, doors=DOORS | {"upload": {"max_bytes": "64KiB"}}),
    Cause.TOO_MANY: too_many,
    Cause.DETECTOR_ERROR: detector_error,
    Cause.LEDGER_ERROR: ledger_error,
    Cause.HOLD_FULL: hold_full,
}
