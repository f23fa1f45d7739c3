"""The door told to stop, and killed, amid traffic: nothing forbidden gets by, and the ledger opens again."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from tests.e2e.fedify import Fedify
from tests.e2e.pictures import BY_LISTS, note
from tests.e2e.process import end, start
from tests.e2e.world import Sent, World, opened
from tests.net import client, until

BUDGET = 2.0
SENDERS = 6
EACH = 20
"""Deliveries that each sender has ready; it sends until they or the door are gone."""
TRAFFIC = 24
"""Answers after which the door is stopped: by then every sender is in full flow."""


@dataclass(slots=True)
class Tried:
    """One delivery: whether it is forbidden, and the status that it was answered with, if it was."""

    sent: Sent
    forbidden: bool
    status: int | None = None


@pytest.fixture
async def world(tmp_path: Path, fedify: Fedify, rsa_key: RSAPrivateKey) -> AsyncIterator[World]:
    async with opened(tmp_path, BY_LISTS, fedify, rsa_key, BUDGET) as everything:
        yield everything


async def prepared(world: World) -> list[list[Tried]]:
    """What each sender will send, every second one forbidden."""
    return [
        [
            Tried(
                await world.signed(note(world.host.picture("forbidden" if number % 2 else "fine", seed))),
                number % 2 > 0,
            )
            for number, seed in enumerate(range(sender * EACH, (sender + 1) * EACH))
        ]
        for sender in range(SENDERS)
    ]


async def send(world: World, deliveries: list[Tried]) -> None:
    """Send on one connection until the door is gone, or nothing is left to send."""
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        async with client(world.running.port) as over:
            for tried in deliveries:
                tried.status = await world.deliver(tried.sent, over)


def check(world: World, tried: Tried) -> None:
    """Nothing forbidden reached the server, and what the sender was told is what happened."""
    arrived = world.arrived(tried.sent) is not None
    if tried.forbidden:
        assert not arrived
        assert tried.status in (202, 503, None)
    else:
        assert tried.status in (200, 503, None)
        assert arrived or tried.status != 200
        assert not arrived or tried.status != 503


async def interrupted(world: World, number: int) -> tuple[int, list[Tried], Tried]:
    """Traffic with a signal to the door in the middle of it: the exit status, and what became of each delivery.

    The last value is one more, which at that moment waits for its picture.
    """
    every = await prepared(world)
    tried = [one for deliveries in every for one in deliveries]
    hanging = world.host.serve(None)
    waiting = Tried(await world.signed(note(hanging)), True)
    async with asyncio.TaskGroup() as group:
        for deliveries in ([waiting], *every):
            group.create_task(send(world, deliveries))
        await until(lambda: sum(one.status is not None for one in tried) >= TRAFFIC, 60)
        await until(lambda: world.host.asked[world.host.path(hanging)] > 0)
        assert any(one.status is None for one in tried)
        assert waiting.status is None
        status = await world.running.stop(number)
    return status, tried, waiting


def alive(process: int) -> bool:
    """Whether it runs; a zombie that nobody waits for yet does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def test_told_to_stop(world: World) -> None:
    children = world.running.children()
    assert children
    status, tried, waiting = await interrupted(world, signal.SIGTERM)
    assert status == 0, world.running.log.read_text()
    assert waiting.status == 202  # it was given its whole budget, and is held
    world.host.release.set()  # its picture comes after all, and changes nothing
    for one in (*tried, waiting):
        check(world, one)
    await until(lambda: not any(map(alive, children)), 20)  # multiprocessing's tracker follows its parent
    assert "Traceback" not in world.running.log.read_text()
    with pytest.raises(ConnectionError):
        await world.deliver(waiting.sent)

    # What was decided before the end is written down.
    decided = {str(entry["activity_id"]) for entry in await world.running.entries()}
    assert {one.sent.id for one in (*tried, waiting) if one.status is not None} <= decided


async def test_killed_and_started_again(world: World) -> None:
    children = world.running.children()
    status, tried, waiting = await interrupted(world, signal.SIGKILL)
    assert status == -signal.SIGKILL
    assert waiting.status is None
    for one in (*tried, waiting):
        check(world, one)
    await until(lambda: not any(map(alive, children)), 20)  # nobody is left behind

    before = await world.running.entries()
    again = await start(world.running.config, world.running.port)
    try:
        fine = await world.signed(note(world.host.picture("fine", 5000)))
        assert await world.deliver(fine) == 200
        await world.must_arrive(fine)
        # A sender repeats what was not answered, and the server gets what is fine in it.
        unanswered = [one for one in tried if one.status is None and world.arrived(one.sent) is None][:6]
        assert unanswered
        for one in unanswered:
            one.status = await world.deliver(one.sent)
            assert one.status == (202 if one.forbidden else 200)
            check(world, one)
        async with asyncio.timeout(20):
            while len(after := await again.entries()) < len(before) + 1 + len(unanswered):
                pass
        assert {str(entry["id"]) for entry in before} < {str(entry["id"]) for entry in after}
    finally:
        await end(again)
