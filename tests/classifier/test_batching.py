import asyncio
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.batching import Costs, Job, RowQueue
from tests.classifier.fakes import rows_of


def job(count: int, *, first: int = 0, deadline: float = math.inf) -> Job:
    loop = asyncio.new_event_loop()
    try:
        return Job(rows_of(*(first + number for number in range(count))), loop.create_future(), 0.0, deadline)
    finally:
        loop.close()


def shares(queue: RowQueue, jobs: list[Job]) -> list[int]:
    """Rows of each job in the next pass."""
    parts = queue.take()
    return [sum(part.stop - part.start for part in parts if part.job is one) for one in jobs]


def queue_of(batch: int, *jobs: Job) -> RowQueue:
    queue = RowQueue(batch)
    for one in jobs:
        queue.put(one)
    return queue


def test_a_file_of_one_row_does_not_wait_for_one_of_many() -> None:
    long, short = job(96), job(1)
    queue = queue_of(8, long)
    assert shares(queue, [long]) == [8]
    queue.put(short)
    assert shares(queue, [long, short]) == [7, 1]
    assert shares(queue, [long, short]) == [8, 0]


def test_each_file_has_its_share_and_what_one_leaves_the_others_have() -> None:
    jobs = [job(10), job(1), job(10)]
    queue = queue_of(8, *jobs)
    assert shares(queue, jobs) == [3, 1, 4]
    assert shares(queue, jobs) == [4, 0, 4]
    assert shares(queue, jobs) == [3, 0, 2]
    assert queue.rows == len(queue) == 0


def test_with_more_files_than_room_each_has_its_turn() -> None:
    jobs = [job(2) for _ in range(3)]
    queue = queue_of(2, *jobs)
    assert [shares(queue, jobs) for _ in range(3)] == [[1, 1, 0], [1, 0, 1], [0, 1, 1]]


@given(
    batch=st.integers(1, 9),
    steps=st.lists(st.one_of(st.integers(1, 20), st.sampled_from(["take", "drop"])), max_size=60),
)
def test_every_row_is_taken_once_and_in_order(batch: int, steps: list[int | str]) -> None:
    queue = RowQueue(batch)
    jobs: list[Job] = []
    taken: dict[Job, int] = {}
    dropped: set[Job] = set()
    for step in [*steps, *["take"] * 200]:
        waiting = [one for one in jobs if one.left and one not in dropped]
        if isinstance(step, int):
            jobs.append(job(step))
            taken[jobs[-1]] = 0
            queue.put(jobs[-1])
        elif step == "drop" and waiting:
            assert queue.drop(waiting[0]) == len(waiting[0].rows) - taken[waiting[0]]
            dropped.add(waiting[0])
        elif step == "take":
            rows = sum(one.left for one in waiting)
            assert (queue.rows, len(queue)) == (rows, len(waiting))
            parts = queue.take()
            assert sum(part.stop - part.start for part in parts) == min(batch, rows)
            assert len(parts) == min(batch, len(waiting))
            for part in parts:
                assert part.start == taken[part.job] < part.stop
                taken[part.job] = part.stop
    assert all(taken[one] == len(one.rows) for one in jobs if one not in dropped)


def test_what_is_dropped_is_not_taken() -> None:
    first, second = job(3), job(3)
    queue = queue_of(4, first, second)
    queue.take()
    assert (queue.drop(first), queue.drop(first)) == (1, 0)
    assert shares(queue, [first, second]) == [0, 1]
    assert queue.drop(second) == 0


@pytest.mark.parametrize(("now", "dropped"), [(4.9, 0), (5.0, 3), (5.1, 3)])
def test_what_is_past_its_deadline_is_dropped(now: float, dropped: int) -> None:
    queue = queue_of(4, job(3, deadline=5.0), job(2))
    assert queue.drop_expired(now) == dropped
    assert queue.rows == 5 - dropped


async def test_an_answer_has_its_rows_in_order_whenever_they_come() -> None:
    one = job(5)
    one.answer = asyncio.get_running_loop().create_future()
    one.give(3, [{"x": 0.3}, {"x": 0.4}])
    assert not one.answer.done()
    one.give(0, [{"x": 0.0}, {"x": 0.1}, {"x": 0.2}])
    assert await one.answer == [{"x": number / 10} for number in range(5)]


def test_costs_are_means_by_size() -> None:
    costs = Costs()
    assert costs.of(1) == 0
    costs.note(1, 0.1)
    costs.note(6, 0.3)
    assert costs.of(1) == 0.1
    assert costs.of(4) == pytest.approx(0.2)
    assert costs.of(8) == 0
    costs.note(1, 0.2)
    assert costs.of(1) == pytest.approx(0.12)


@pytest.mark.parametrize(("eight", "patience"), [(None, 0.0), (0.8, 0.0), (0.65, 0.0), (0.64, 0.01), (0.1, 0.01)])
def test_rows_wait_only_where_batches_pay(eight: float | None, patience: float) -> None:
    """A row alone takes 0.1 s; eight together must take less than 0.64 for it to be worth a tenth of that."""
    costs = Costs()
    assert costs.patience() == 0
    costs.note(1, 0.1)
    if eight:
        costs.note(8, eight)
    assert costs.patience() == pytest.approx(patience)
