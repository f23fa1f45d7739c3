import asyncio
import random

import pytest

from classifier.ahead import Ahead, Turn


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


class World:
    """Files that want their turn, in order; ``begun`` has those that were let in."""

    def __init__(self, processes: int = 2, files: int = 3, memory: int = 100) -> None:
        self.told: list[int] = []
        self.ahead = Ahead(processes, lambda: files, memory, self.told.append)
        self.begun: dict[int, Turn] = {}
        self.tasks: dict[int, asyncio.Task[None]] = {}

    async def come(self, *numbers: int) -> None:
        for number in numbers:
            self.tasks[number] = asyncio.ensure_future(self._one(number))
        await settle()

    async def _one(self, number: int) -> None:
        self.begun[number] = await self.ahead.turn()


async def test_as_many_at_a_time_as_there_are_processes_in_order() -> None:
    world = World()
    await world.come(1, 2, 3, 4)
    assert list(world.begun) == [1, 2]
    assert (world.ahead.waiting, world.ahead.decoding) == (2, 2)
    world.begun[2].end()
    await settle()
    assert list(world.begun) == [1, 2, 3]
    assert world.told == [1, 2]


async def test_decoded_files_at_the_bound_and_one_past_it() -> None:
    world = World(processes=1, files=3)
    await world.come(1, 2, 3, 4)
    for number in (1, 2):
        world.begun[number].decoded(1)
        await settle()
    assert list(world.begun) == [1, 2, 3], "two are decoded: a third may be"
    world.begun[3].decoded(1)
    await settle()
    assert list(world.begun) == [1, 2, 3]
    world.begun[1].end()
    await settle()
    assert list(world.begun) == [1, 2, 3, 4]


@pytest.mark.parametrize(("size", "begun"), [(99, [1, 2]), (100, [1])])
async def test_bytes_at_the_bound_and_one_short_of_it(size: int, begun: list[int]) -> None:
    world = World(processes=1, files=10, memory=100)
    await world.come(1, 2)
    world.begun[1].decoded(size)
    await settle()
    assert (list(world.begun), world.ahead.held) == (begun, size)
    world.begun[1].end()
    await settle()
    assert (list(world.begun), world.ahead.held) == ([1, 2], 0)


async def test_who_goes_away_is_passed_over() -> None:
    world = World(processes=1)
    await world.come(1, 2, 3)
    world.tasks[2].cancel()
    await settle()
    assert world.ahead.waiting == 1
    world.begun[1].end()
    await settle()
    assert list(world.begun) == [1, 3]


async def test_who_is_let_in_and_goes_away_at_once_leaves_the_place_to_the_next() -> None:
    world = World(processes=1)
    await world.come(1, 2, 3)
    world.begun[1].end()
    world.tasks[2].cancel()
    await settle()
    assert list(world.begun) == [1, 3]
    assert world.ahead.decoding == 1


async def test_nothing_is_lost_in_any_order() -> None:
    """A thousand files that are let in, decoded, ended or cancelled at any moment: in the end all is as at first."""
    chance = random.Random(7)
    world = World(processes=3, files=4, memory=50)
    number = 0
    live: set[int] = set()
    decoded: set[int] = set()
    for _ in range(3000):
        step = chance.random()
        if step < 0.35 and number < 1000:
            number += 1
            await world.come(number)
        elif step < 0.5 and world.tasks:
            world.tasks[chance.choice(list(world.tasks))].cancel()
        elif live - decoded and step < 0.75:
            one = chance.choice(sorted(live - decoded))
            world.begun[one].decoded(chance.randrange(30))
            decoded.add(one)
        elif live:
            one = chance.choice(sorted(live))
            world.begun.pop(one).end()
        if chance.random() < 0.7:
            await settle()
        live = set(world.begun)
        assert world.ahead.decoding <= 3
        assert world.ahead.decoded <= 4 + 2
    while live or world.ahead.waiting:
        for one in live:
            world.begun.pop(one).end()
        await settle()
        live = set(world.begun)
    assert (world.ahead.decoding, world.ahead.decoded, world.ahead.held, world.ahead.waiting) == (0, 0, 0, 0)
    assert world.told[-1] == 0
