"""The server behind the doors is down, slow, breaks off or has too much to do: what is forwarded, and what is held."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from tests.drawing import encode, textured
from tests.e2e.faults import SECONDS, World, opened
from tests.e2e.faulty import FORBIDDEN, ORDINARY, Judging, Way
from tests.net import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

NEW = encode(textured(3))
UNREACHED = 502
"""What the inbox door says for a server that it cannot reach."""


def fine(world: World) -> str:
    return world.host.put("/fine.png", ORDINARY)


async def held(world: World, judge: Judging, *images: str) -> None:
    """Deliver something that cannot be judged yet; it can from then on."""
    judge.fails()
    assert await world.deliver(*(images or (fine(world),))) == 202
    await world.rests()
    judge.works()


async def test_down_what_is_forwarded(tmp_path: Path, judge: Judging) -> None:
    """A sender gets the server's own failure, and nothing is taken in; what is forbidden is dropped all the same."""
    async with opened(tmp_path, judge) as world:
        await world.server.stop()
        judged = await world.deliver(fine(world)), await world.deliver(world.host.put("/bad.png", FORBIDDEN))
        plain = await world.says("Like", "https://example.org/notes/1")
        assert (*judged, plain) == (UNREACHED, 202, UNREACHED)
        judge.fails()
        assert await world.deliver(world.host.put("/new.png", NEW)) == 503
        assert world.holds() == []
        assert await world.figure("fediward_upstream_down") == 1
        entries = [(entry.action, entry.rule, entry.cause) for entry in await world.entries()]
        assert entries == [("pass", None, None), ("drop", "known", None), ("defer", None, "detector_error")]
        judge.works()
        await world.server.start()
        assert await world.deliver(fine(world)) == 200
        assert await world.figure("fediward_upstream_down") == 0
        assert world.arrived() == [0, 0, 0, 0, 1]


async def test_down_what_is_held_waits_and_arrives_once_it_is_back(tmp_path: Path, judge: Judging) -> None:
    async with opened(tmp_path, judge) as world:
        await held(world, judge)
        await held(world, judge, world.host.put("/bad.png", FORBIDDEN))
        await world.server.stop()
        world.later(6)
        await world.outcomes(None, "dropped")
        await until(lambda: world.holds()[0].state == "replaying", SECONDS)
        await world.rests()
        await world.server.start()
        world.later(10)
        assert [one.detail for one in await world.outcomes("replayed", "dropped")] == [
            "the server answered 200 OK ok",
            "judged: the rule known says drop",
        ]
        assert world.arrived() == [1, 0]
        told = [(entry.action, entry.cause, entry.hold == entry.id) for entry in await world.entries()]
        assert sorted(told, key=str) == [
            ("drop", None, False),
            ("hold", "detector_error", False),
            ("hold", "detector_error", False),
            ("pass", None, False),
        ]
        assert await world.figure("fediward_outcomes_total", outcome="replayed") == 1


async def test_down_until_the_window_is_closed(tmp_path: Path, judge: Judging) -> None:
    async with opened(tmp_path, judge) as world:
        await held(world, judge)
        await world.server.stop()
        world.later(6)
        await until(lambda: world.holds()[0].state == "replaying", SECONDS)
        world.later(3600)
        (one,) = await world.outcomes("unreached")
        assert one.detail.startswith("the server did not take it before its window closed")
        assert world.arrived() == [0]


async def test_slow_a_sender_waits_for_it(tmp_path: Path, judge: Judging) -> None:
    """Once forwarding has begun a delivery is the server's: past the budget too it is never held."""
    async with opened(tmp_path, judge, budget="100ms") as world:
        world.server.way = "silent"
        slow = asyncio.ensure_future(world.says("Like", "https://example.org/notes/1"))
        await until(lambda: len(world.server.requests) == 1, SECONDS)
        assert await asyncio.wait([slow], timeout=0.3) == (set(), {slow})
        world.server.woken.set()
        assert await slow == 200
        assert world.holds() == []


async def test_slow_a_replay_that_is_not_answered_is_tried_again(tmp_path: Path, judge: Judging) -> None:
    async with opened(tmp_path, judge, keeper={"replay_time": 0.3}) as world:
        await held(world, judge)
        world.server.way = "silent"
        world.later(6)
        await until(lambda: len(world.server.requests) == 1, SECONDS)
        await world.rests()
        assert not world.service.delivering.upstream.down
        world.server.way = "well"
        world.later(10)
        await world.outcomes("replayed")
        assert world.arrived() == [2]


@pytest.mark.parametrize("way", ["resets", "breaks off", "overloaded"])
async def test_failing_a_replay_is_tried_again(tmp_path: Path, judge: Judging, way: Way) -> None:
    async with opened(tmp_path, judge) as world:
        await held(world, judge)
        world.server.way = way
        world.later(6)
        await until(lambda: bool(world.server.requests), SECONDS)
        await world.rests()
        assert [one.outcome for one in world.holds()] == [None]
        world.server.way = "well"
        world.later(10)
        await world.outcomes("replayed")
        assert world.arrived() == [2]


async def test_a_replay_that_the_server_refuses_is_over(tmp_path: Path, judge: Judging) -> None:
    """Lemmy answers 400 to what it has already: nobody asks a second time."""
    async with opened(tmp_path, judge) as world:
        await held(world, judge)
        world.server.way = "refuses"
        world.later(6)
        (one,) = await world.outcomes("refused")
        assert one.detail == "the server answered 400 Bad Request no"
        world.later(60)
        assert world.arrived() == [1]


@pytest.mark.parametrize(("way", "status"), [("resets", UNREACHED), ("breaks off", UNREACHED), ("overloaded", 503)])
async def test_failing_a_sender_gets_its_failure(tmp_path: Path, judge: Judging, way: Way, status: int) -> None:
    """It answered, however badly: it is not down, and what cannot be judged is held."""
    async with opened(tmp_path, judge) as world:
        world.server.way = way
        assert await world.deliver(fine(world)) == status
        assert world.arrived() == [1]
        assert [(entry.action, entry.cause) for entry in await world.entries()] == [("pass", None)]
        await held(world, judge, world.host.put("/new.png", NEW))
        assert world.holds()[0].closes > world.holds()[0].arrived + timedelta(minutes=50)
