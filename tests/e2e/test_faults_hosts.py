"""The host that has the media is slow, never ends, is not found, or comes and goes."""

import asyncio
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import pytest

from tests.e2e.faults import DOORS, SECONDS, World, opened
from tests.e2e.faulty import FORBIDDEN, ORDINARY, Judging, raw_host
from tests.net import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n"
BRIEF = {"judge_time": 1.5}
"""So long is a hold judged, where that is to fail."""
SOON = "500ms"
"""A budget that is to be spent."""


@dataclass
class Slow:
    """A host that has a picture. ``way``: it sends its head byte by byte, stops in the middle of the body, sends a body
    or a head that never ends, or breaks off. ``open``: connections."""

    way: Literal["well", "drips", "stops", "endless", "endless head", "resets"]
    data: bytes = ORDINARY
    asked: int = 0
    open: int = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            await reader.readuntil(b"\r\n\r\n")
            self.asked += 1
            await self._answer(reader, writer)
        finally:
            self.open -= 1

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        whole = HEAD + b"Content-Length: %d\r\n\r\n" % len(self.data) + self.data
        if self.way == "well":
            writer.write(whole)
            await writer.drain()
            return
        gone = asyncio.ensure_future(reader.read())
        try:
            if self.way == "stops":
                writer.write(whole[:-10])
                await gone
            elif self.way == "resets":
                writer.write(whole[:-10])
                await writer.drain()
            elif self.way == "drips":
                for byte in whole:
                    writer.write(bytes([byte]))
                    if (await asyncio.wait([gone], timeout=0.05))[0]:
                        return
            else:
                writer.write(HEAD if self.way == "endless head" else HEAD + b"\r\n")
                while True:
                    writer.write(b"X-More: and more\r\n" * 1000)
                    await writer.drain()
        finally:
            gone.cancel()


@pytest.mark.parametrize("way", ["drips", "stops"])
async def test_slow(tmp_path: Path, judge: Judging, way: Literal["drips", "stops"]) -> None:
    """Its delivery is held within the budget, others do not notice; once the host is well it is judged and goes on."""
    slow = Slow(way)
    async with raw_host(slow) as port, opened(tmp_path, judge, media=port, budget=SOON, keeper=BRIEF) as world:
        assert await world.deliver(f"http://127.0.0.1:{port}/slow.png") == 202
        assert await world.says("Like", "https://example.org/notes/1") == 200
        assert world.arrived() == [0, 1]
        (one,) = world.holds()
        assert (one.state, one.cause, one.then) == ("judging", "timeout", "drop")
        await world.rests()
        await until(lambda: slow.open == 0, SECONDS)
        slow.way = "well"
        world.later(10)
        await world.outcomes("replayed")
        assert world.arrived() == [1, 1]
        assert [(entry.action, entry.cause) for entry in await world.entries()] == [("hold", "timeout"), ("pass", None)]


@pytest.mark.parametrize(("way", "status"), [("drips", 504), ("stops", 503)])
async def test_slow_at_the_fetch_door(
    tmp_path: Path, judge: Judging, way: Literal["drips", "stops"], status: int
) -> None:
    """The server gets an error of the door's in time; nothing unjudged passes."""
    slow, doors = Slow(way), {"fetch": DOORS["fetch"] | {"deadline": "2s"}}
    async with raw_host(slow) as port, opened(tmp_path, judge, media=port, doors=doors) as world:
        assert (await world.proxied.get(f"http://127.0.0.1:{port}/slow.png")).status_code == status
        await until(lambda: slow.open == 0, SECONDS)
        assert [(entry.door, entry.action, entry.cause) for entry in await world.entries()] == (
            [("fetch", "hold", "timeout")] if way == "stops" else []
        )


@pytest.mark.parametrize(
    ("way", "status", "action", "cause"),
    [
        ("endless", 202, "drop", "too_large"),
        ("endless head", 202, "hold", "fetch_failed"),
        ("resets", 202, "hold", "fetch_failed"),
    ],
)
async def test_endless_or_broken_off(
    tmp_path: Path,
    judge: Judging,
    way: Literal["endless", "endless head", "resets"],
    status: int,
    action: str,
    cause: str,
) -> None:
    slow = Slow(way)
    async with raw_host(slow) as port, opened(tmp_path, judge, media=port) as world:
        assert await world.deliver(f"http://127.0.0.1:{port}/endless.png") == status
        await until(lambda: slow.open == 0, SECONDS)
        (entry,) = await world.entries()
        assert (entry.action, entry.cause) == (action, cause)
        assert world.arrived() == [0]
        assert world.service.budget.used < 1 << 20
        assert [(one.cause, one.then) for one in world.holds()] == ([(cause, "record")] if action == "hold" else [])


async def test_a_name_that_does_not_exist_and_then_does(tmp_path: Path, judge: Judging) -> None:
    async with opened(tmp_path, judge) as world:
        world.names.gone.add("media.example")
        for name, data in (("fine", ORDINARY), ("bad", FORBIDDEN)):
            url = world.host.put(f"/{name}.png", data).replace("127.0.0.1", "media.example")
            assert await world.deliver(url) == 202
        await world.rests()
        assert [(one.cause, one.then, one.outcome) for one in world.holds()] == [("fetch_failed", "record", None)] * 2
        world.names.gone.clear()
        world.later(11)
        await world.outcomes("replayed", "dropped")
        assert world.arrived() == [1, 0]


async def test_a_name_that_never_comes_back(tmp_path: Path, judge: Judging) -> None:
    """``then: record``: what nobody can fetch no reader sees, and the words are not lost; the ledger says so."""
    async with opened(tmp_path, judge) as world:
        world.names.gone.add("media.example")
        url = world.host.put("/fine.png", ORDINARY).replace("127.0.0.1", "media.example")
        assert await world.deliver(url) == 202
        await world.rests()
        world.later(3550)
        (one,) = await world.outcomes("replayed")
        assert one.unjudged
        assert "its window closed while the cause fetch_failed still held it: let by unjudged" in one.detail
        assert world.arrived() == [1]


def asked(world: World, times: int) -> bool:
    return world.host.hits["/fine.png"] >= times


async def test_a_host_that_comes_and_goes(tmp_path: Path, judge: Judging) -> None:
    """Each try that fails costs nothing but time; the first that does not settles it."""
    async with opened(tmp_path, judge) as world:
        url = world.host.put("/fine.png", status="500 Internal Server Error")
        assert await world.deliver(url) == 202
        await world.rests()
        for status, data in (("503 Service Unavailable", b""), ("404 Not Found", b""), ("200 OK", b"")):
            world.host.put("/fine.png", data, status=status)
            tried = world.host.hits["/fine.png"] + 1
            world.later(60 * tried)
            await until(partial(asked, world, tried), SECONDS)
            await world.rests()
            assert world.holds()[0].outcome is None
        world.host.put("/fine.png", ORDINARY)
        world.later(600)
        await world.outcomes("replayed")
        assert world.arrived() == [1]


async def test_it_is_judged_at_once_when_the_server_itself_gets_the_picture(tmp_path: Path, judge: Judging) -> None:
    async with opened(tmp_path, judge, doors={"fetch": DOORS["fetch"]}) as world:
        urls = [world.host.put(f"/{name}.png", status="500 Internal Server Error") for name in ("fine", "bad")]
        for url in urls:
            assert await world.deliver(url) == 202
        await world.rests()
        for url, path, data in zip(urls, ("/fine.png", "/bad.png"), (ORDINARY, FORBIDDEN), strict=True):
            world.host.put(path, data)
            assert ((await world.proxied.get(url)).content == data) == (data == ORDINARY)
        await world.outcomes("replayed", "dropped")
        assert world.arrived() == [1, 0]


async def test_a_host_whose_keys_cannot_be_had(tmp_path: Path, judge: Judging) -> None:
    """Who signs is not known then, which is no reason to refuse anything, nor to pass it unjudged."""
    async with opened(tmp_path, judge) as world:
        world.names.gone.add("remote.example")
        assert await world.deliver(world.host.put("/fine.png", ORDINARY)) == 200
        assert await world.deliver(world.host.put("/bad.png", FORBIDDEN)) == 202
        judge.fails()
        assert await world.deliver(world.host.put("/gone.png", status="500 Internal Server Error")) == 202
        (one,) = world.holds()
        assert (one.signer.state, one.share) == ("unverified", "unverified:127.0.0.1")
        assert world.arrived() == [1, 0, 0]
