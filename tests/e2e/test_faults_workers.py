"""Workers elsewhere die, are slow or say what is wrong, and the server between goes away and comes back."""

import asyncio
import contextlib
import math
import signal
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from classifier.inputs import Rows
from classifier.remote.client import Workers
from classifier.remote.messages import Answer, Busy, Failed, Scores, ToDoor, encode
from tests import nats_server
from tests.classifier.remote.speaking import NAME, answering
from tests.e2e.faults import SECONDS, World, opened
from tests.e2e.faulty import FORBIDDEN, ORDINARY, judging
from tests.nats_server import Broker
from tests.net import until
from tests.sleeping import CONCEPTS, Sleeps, process, settings, working


class Waits(Sleeps):
    """Does not come back before it may ``go`` on."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()

    def judge(self, rows: Rows) -> list[dict[str, float]]:
        found = super().judge(rows)
        self.go.wait(60)
        return found


@contextlib.asynccontextmanager
async def afar(folder: Path, broker: Broker, budget: str) -> AsyncIterator[tuple[World, Workers]]:
    """A service that judges by workers alone."""
    chosen = settings(broker.url)
    assert chosen.workers is not None
    workers = Workers(chosen, chosen.workers, CONCEPTS)
    async with judging(folder, workers) as elsewhere, opened(folder, elsewhere, budget=budget) as world:
        yield world, workers


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    async with nats_server.broker(tmp_path) as running:
        yield running


async def both(world: World) -> list[int]:
    """Deliver something fine and something forbidden at the same time."""
    urls = [world.host.put("/fine.png", ORDINARY), world.host.put("/bad.png", FORBIDDEN)]
    return await asyncio.gather(*(world.deliver(url, id=url) for url in urls))


async def ended_well(world: World) -> None:
    """What was held is judged after all: the fine one goes on, the other does not."""
    await until(lambda: sorted(str(one.outcome) for one in world.holds()) == ["dropped", "replayed"], SECONDS)
    assert world.arrived() == [1, 0]
    told = [(entry.action, entry.rule) for entry in await world.entries() if entry.hold]
    assert sorted(told) == [("drop", "known"), ("pass", None)]


async def causes(world: World) -> list[tuple[str, str | None]]:
    """What was decided while they came in."""
    return [(entry.action, entry.cause) for entry in await world.entries() if entry.hold is None]


async def test_dead_while_it_judges(tmp_path: Path, broker: Broker) -> None:
    """Nobody waits longer than the budget; who comes after is told at once, and the next worker judges what is held."""
    async with afar(tmp_path, broker, "1s") as (world, workers):
        async with process(broker.url, "--seconds", "60") as worker:
            await workers.ready(SECONDS)
            sending = asyncio.ensure_future(both(world))
            await until(lambda: bool(workers._calls) or sending.done(), SECONDS)
            worker.tell(signal.SIGKILL)
            assert await sending == [202, 202]
        assert world.arrived() == [0, 0]
        assert await causes(world) == [("hold", "timeout")] * 2
        assert [one.then for one in world.holds()] == ["drop", "drop"]
        async with working(broker.url):
            world.later(6)
            await ended_well(world)


async def test_none_there(tmp_path: Path, broker: Broker) -> None:
    async with afar(tmp_path, broker, "20s") as (world, _):
        assert await both(world) == [202, 202]
        assert await causes(world) == [("hold", "no_worker")] * 2
        assert await world.figure("fediward_workers") == 0
        await world.rests()
        async with working(broker.url):
            await until(lambda: not world.service.engine.trouble(), SECONDS)
            assert await world.figure("fediward_workers") == 1
            world.later(6)
            await ended_well(world)


async def test_slow(tmp_path: Path, broker: Broker) -> None:
    """It goes on with what is held, and what has no media does not notice."""
    slow = Waits()
    try:
        async with afar(tmp_path, broker, "500ms") as (world, workers), working(broker.url, slow):
            await workers.ready(SECONDS)
            assert await both(world) == [202, 202]
            assert await causes(world) == [("hold", "timeout")] * 2
            assert await world.says("Like", "https://example.org/notes/1") == 200
            world.bodies.pop()
            world.server.requests.clear()
            slow.go.set()
            await ended_well(world)
    finally:
        slow.go.set()


@pytest.mark.parametrize(
    ("says", "cause"),
    [
        (Answer(NAME, {"clip": Scores(["clip.x"], [[math.nan]])}), "detector_error"),
        (Answer(NAME, {"clip": Scores(["clip.x"], [])}), "detector_error"),
        (Answer(NAME, {"clip": Scores(["clip.y"], [[0.0]])}), "detector_error"),
        (Answer(NAME, {}), "detector_error"),
        (Failed(NAME, "detector_error", "CUDA error"), "detector_error"),
        (Busy(NAME), "busy"),
    ],
    ids=["NaN", "no rows", "another symbol", "another detector", "broken", "busy"],
)
async def test_wrong(tmp_path: Path, broker: Broker, says: ToDoor, cause: str) -> None:
    """Whatever it says that is no judgement lets nothing by."""
    async with afar(tmp_path, broker, "20s") as (world, workers):
        async with answering(broker.url, lambda offer: encode(says)):
            await workers.ready(SECONDS)
            assert await both(world) == [202, 202]
            await world.rests()
        assert await causes(world) == [("hold", cause)] * 2
        assert world.arrived() == [0, 0]
        async with working(broker.url):
            await until(lambda: workers.known == 1, SECONDS)
            world.later(6)
            await ended_well(world)


async def test_the_broker_restarts_while_a_worker_judges(tmp_path: Path, broker: Broker) -> None:
    """Within the budget the sender notices nothing."""
    slow = Waits()
    async with afar(tmp_path, broker, "30s") as (world, workers), working(broker.url, slow):
        await workers.ready(SECONDS)
        sending = asyncio.ensure_future(both(world))
        await until(lambda: slow.judged > 0, SECONDS)
        await broker.stop()
        slow.go.set()
        await broker.start()
        assert await sending == [200, 202]
        assert world.arrived() == [1, 0]
        assert world.holds() == []


async def test_the_broker_is_gone_for_longer(tmp_path: Path, broker: Broker) -> None:
    async with afar(tmp_path, broker, "1s") as (world, workers), working(broker.url):
        await workers.ready(SECONDS)
        await broker.stop()
        assert await both(world) == [202, 202]
        assert {action for action, _ in await causes(world)} == {"hold"}
        assert {cause for _, cause in await causes(world)} <= {"no_worker", "timeout"}
        assert world.arrived() == [0, 0]
        await broker.start()
        await until(lambda: workers.known == 1, SECONDS)
        world.later(6)
        await ended_well(world)
