"""The clock of this machine is put forward or back, or was wrong all the time."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.e2e.faults import SECONDS, World, opened
from tests.e2e.faulty import FORBIDDEN, ORDINARY, Judging
from tests.net import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

DAY = 86_400


async def held(world: World, judge: Judging) -> None:
    """Something fine and something forbidden that cannot be judged yet, and something that cannot be fetched."""
    judge.fails()
    for name, data in (("fine", ORDINARY), ("bad", FORBIDDEN)):
        assert await world.deliver(world.host.put(f"/{name}.png", data)) == 202
    assert await world.deliver(world.host.put("/gone.png", status="500 Internal Server Error")) == 202
    await world.rests()
    assert [one.cause for one in world.holds()] == ["detector_error", "detector_error", "fetch_failed"]


async def test_put_forward_past_every_window(tmp_path: Path, judge: Judging) -> None:
    """As after a machine slept: the policy's choice for what was not judged, written down and counted."""
    async with opened(tmp_path, judge) as world:
        await held(world, judge)
        world.later(DAY)
        found = await world.outcomes("closed", "closed", "replayed")
        assert [one.unjudged for one in found] == [False, False, True]
        assert [one.detail.partition(":")[0] for one in found] == [
            "its window closed while the cause detector_error still held it",
            "its window closed while the cause detector_error still held it",
            "its window closed while the cause fetch_failed still held it",
        ]
        assert world.arrived() == [0, 0, 1]
        assert await world.figure("fediward_outcomes_total", outcome="closed") == 2


async def test_put_back(tmp_path: Path, judge: Judging) -> None:
    """What is held is not kept waiting for the time that it was to be tried at."""
    async with opened(tmp_path, judge) as world:
        await held(world, judge)
        judge.works()
        world.host.put("/gone.png", ORDINARY)
        world.later(-DAY)
        await world.outcomes("replayed", "dropped", "replayed")
        assert world.arrived() == [1, 0, 1]


async def test_put_back_while_the_server_is_down(tmp_path: Path, judge: Judging) -> None:
    async with opened(tmp_path, judge) as world:
        judge.fails()
        assert await world.deliver(world.host.put("/fine.png", ORDINARY)) == 202
        await world.rests()
        judge.works()
        await world.server.stop()
        world.later(6)
        await until(lambda: world.holds()[0].state == "replaying" and world.holds()[0].attempts > 0, SECONDS)
        await world.rests()
        await world.server.start()
        world.later(-DAY)
        await world.outcomes("replayed")
        assert world.arrived() == [1]


@pytest.mark.parametrize("seconds", [120, -DAY])
async def test_while_it_is_judged_and_replayed(tmp_path: Path, judge: Judging, seconds: int) -> None:
    """Claims seem to have run out, or to last for ever: it ends once all the same."""
    async with opened(tmp_path, judge) as world:
        judge.fails()
        assert await world.deliver(world.host.put("/fine.png", ORDINARY)) == 202
        await world.rests()
        judge.works()
        judge.waits()
        waiting = judge.detector.waiting
        world.later(6)
        await until(lambda: judge.detector.waiting > waiting, SECONDS)
        world.later(seconds)
        world.server.way = "silent"
        judge.works()
        await until(lambda: len(world.server.requests) > 0, SECONDS)
        world.later(seconds)
        world.server.woken.set()
        await world.outcomes("replayed")
        assert world.arrived() == [1]
        assert await world.figure("fediward_outcomes_total", outcome="replayed") == 1


@pytest.mark.parametrize("hours", [-3, 3])
async def test_a_sender_whose_clock_is_wrong(tmp_path: Path, judge: Judging, hours: int) -> None:
    """A date that the server would refuse is no reason to lose a delivery that it might take after all, or to wait."""
    async with opened(tmp_path, judge) as world:
        judge.fails()
        url = world.host.put("/fine.png", ORDINARY)
        head, body = world.sender.signed(world.sender.create(url), at=datetime.now(UTC) + timedelta(hours=hours))
        world.bodies.append(body)
        assert await world.send(head + body) == 202
        if hours < 0:
            # Its window was over when it came: the policy's choice at once.
            (one,) = await world.outcomes("closed")
            assert one.signer.signed_at is not None
            assert world.arrived() == [0]
        else:
            await world.rests()
            (one,) = world.holds()
            assert timedelta(minutes=58) < one.closes - one.arrived < timedelta(minutes=60)
            judge.works()
            world.later(6)
            await world.outcomes("replayed")
            assert world.arrived() == [1]
