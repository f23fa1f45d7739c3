import asyncio
import logging
import math
import random
import threading
from collections.abc import AsyncIterator, Sequence

import pytest

from classifier.inputs import Rows
from classifier.lanes import Lane, Lanes
from classifier.metrics import Metrics
from classifier.types import CannotJudgeError, Symbols
from tests import net
from tests.classifier.fakes import POISON, SPEC, Broken, Reads, rows_of

GREY = 128
"""The value of a plain picture, which a detector has to judge that has failed."""


class Bench:
    """A lane, its detector and its metrics."""

    def __init__(self, *, batch: int = 4, depth: int = 1, stuck: float = 60.0) -> None:
        self.detector = Reads(batch=batch, depth=depth)
        self.metrics = Metrics("m")
        self.lane = Lane(self.detector, self.metrics, stuck=stuck)

    def put(self, *values: int, deadline: float = math.inf) -> asyncio.Future[Sequence[Symbols]]:
        return self.lane.put(rows_of(*values), deadline).answer

    async def held(self, *values: int) -> threading.Event:
        """The detector at work on these values until the gate that is given opens."""
        self.detector.gate = threading.Event()
        self.put(*values)
        await self.begun()
        return self.detector.gate

    async def begun(self) -> None:
        """Wait until one more call has begun."""
        assert await asyncio.to_thread(self.detector.begun.acquire, timeout=10)

    def metric(self, name: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"m_{name}", {"detector": "reads"})


def answer(*values: int) -> list[dict[str, float]]:
    return [{"reads.x": value / 1000} for value in values]


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    yield bench
    if bench.detector.gate:
        bench.detector.gate.set()
    bench.lane.close()


async def test_one_alone_is_judged_at_once(bench: Bench) -> None:
    assert await bench.put(7) == answer(7)
    assert threading.get_ident() not in bench.detector.threads


async def test_what_comes_meanwhile_is_judged_together(bench: Bench) -> None:
    gate = await bench.held(0)
    waiting = [bench.put(1), bench.put(2, 3), bench.put(4)]
    assert bench.metric("rows_waiting") == 4
    gate.set()
    assert await asyncio.gather(*waiting) == [answer(1), answer(2, 3), answer(4)]
    assert bench.detector.passes == [[0], [1, 2, 3, 4]]
    assert (bench.metric("batch_rows_sum"), bench.metric("batch_rows_count")) == (5, 2)
    assert (bench.metric("rows_waiting"), bench.metric("lane_seconds_count")) == (0, 4)


@pytest.mark.parametrize(("count", "passes"), [(4, [4]), (5, [4, 1]), (9, [4, 4, 1])])
async def test_a_file_of_many_rows_is_split(bench: Bench, count: int, passes: list[int]) -> None:
    assert await bench.put(*range(count)) == answer(*range(count))
    assert [len(values) for values in bench.detector.passes] == passes


async def test_a_short_file_goes_between_the_passes_of_a_long_one(bench: Bench) -> None:
    gate = await bench.held(*range(96))
    short = bench.put(200)
    gate.set()
    await short
    assert 200 in bench.detector.passes[1]


async def test_cancelled_in_time_it_is_never_run(bench: Bench) -> None:
    gate = await bench.held(0)
    job = bench.lane.put(rows_of(*range(1, 10)))
    bench.lane.drop(job)
    gate.set()
    await bench.put(99)
    assert bench.detector.seen == [0, 99]
    assert bench.metric("rows_dropped_total") == 9


async def test_past_its_deadline_it_is_never_run(bench: Bench) -> None:
    now = asyncio.get_running_loop().time()
    gate = await bench.held(0)
    bench.put(1, deadline=now)
    bench.put(2, deadline=now + 60)
    gate.set()
    await bench.put(3)
    assert bench.detector.seen == [0, 2, 3]


async def test_one_that_goes_away_in_the_middle_of_a_batch_does_not_disturb_the_others(bench: Bench) -> None:
    gate = await bench.held(0)
    first, second = bench.put(1), bench.put(2)
    gate.set()
    bench.detector.gate = threading.Event()
    await bench.begun()
    first.cancel()
    bench.detector.gate.set()
    assert await second == answer(2)
    assert bench.detector.passes == [[0], [1, 2]]


async def test_a_file_that_makes_the_detector_fail_fails_alone(bench: Bench) -> None:
    gate = await bench.held(0)
    good, bad, other = bench.put(1), bench.put(2, POISON), bench.put(3)
    gate.set()
    assert (await good, await other) == (answer(1), answer(3))
    with pytest.raises(CannotJudgeError, match="poison"):
        await bad
    assert bench.detector.passes == [[0], [1, 2, POISON, 3], [1], [2, POISON], [3]]


async def test_who_has_gone_is_not_tried_again_alone(bench: Bench) -> None:
    gate = await bench.held(0)
    gone, bad, good = bench.put(1), bench.put(POISON), bench.put(2)
    gate.set()
    bench.detector.gate = threading.Event()
    await bench.begun()
    gone.cancel()
    bench.detector.gate.set()
    with pytest.raises(CannotJudgeError):
        await bad
    assert await good == answer(2)
    assert bench.detector.passes[2:] == [[POISON], [2]]


async def test_a_file_alone_is_not_tried_again_and_the_rest_of_it_is_dropped(bench: Bench) -> None:
    with pytest.raises(CannotJudgeError):
        await bench.put(1, 2, 3, POISON, 5, 6, 7, 8)
    await bench.put(9)
    assert bench.detector.passes == [[1, 2, 3, POISON], [GREY], [9]], "the grey picture tells that it works"


async def test_two_threads_take_two_full_batches() -> None:
    bench = Bench(batch=2, depth=2)
    gate = await bench.held(1, 2, 3, 4, 5)
    await bench.begun()
    assert bench.detector.passes == [[1, 2], [3, 4]], "and what is left waits"
    gate.set()
    await bench.put(6)
    bench.lane.close()


async def test_what_comes_after_a_pass_of_known_length_waits_for_most_of_it() -> None:
    """With two threads, a batch that is not full is not sent behind one that has just begun."""
    bench = Bench(batch=2, depth=2)
    bench.lane._costs.note(1, 1000.0)
    gate = await bench.held(1)
    late = bench.put(2)
    await asyncio.sleep(0)
    assert len(bench.detector.passes) == 1
    gate.set()
    assert await late == answer(2)
    bench.lane.close()


@pytest.mark.parametrize("pays", [True, False])
async def test_only_where_batches_pay_a_row_waits_for_files_on_their_way(pays: bool) -> None:
    bench = Bench()
    bench.lane._costs.note(1, 1000.0)
    bench.lane._costs.note(4, 1000.0 if pays else 4000.0)
    bench.lane.expect(1)
    first = bench.put(1)
    if pays:
        await asyncio.sleep(0.01)
        assert bench.detector.passes == []
        bench.lane.expect(0)  # that file was none: nobody else comes
    assert await first == answer(1)
    bench.lane.expect(3)
    waiting = [bench.put(value) for value in (2, 3, 4, 5)]  # full: it begins
    await asyncio.gather(*waiting)
    assert bench.detector.passes[-1] == ([2, 3, 4, 5] if pays else [3, 4, 5])
    bench.lane.close()


async def test_patience_has_an_end() -> None:
    bench = Bench()
    bench.lane._costs.note(1, 0.2)
    bench.lane._costs.note(4, 0.2)
    bench.lane.expect(1)
    assert await asyncio.wait_for(bench.put(1), 10) == answer(1)
    first = bench.lane.put(rows_of(2))
    bench.lane.drop(first)  # gone while it waited: the timer finds nothing
    await asyncio.sleep(0.05)
    assert bench.detector.seen == [1]
    bench.lane.close()


async def test_a_pass_that_does_not_come_back_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(stuck=0.05)
    assert bench.lane.trouble() == ""
    gate = await bench.held(1)
    await asyncio.sleep(0.1)
    assert "reads has not come back from a batch within 0.05 s" in bench.lane.trouble()
    assert bench.metric("stuck") == 1
    gate.set()
    bench.detector.gate = None
    await bench.put(2)
    assert (bench.lane.trouble(), bench.metric("stuck")) == ("", 0)
    said = [record.levelno for record in caplog.records if record.name == "classifier.lanes"]
    assert said == [logging.ERROR, logging.WARNING]
    bench.lane.close()


# -- all of them together ----------------------------------------------------------------------------------------------


async def test_detectors_work_side_by_side() -> None:
    one, other = Reads("one"), Reads("other")
    one.gate, other.gate = threading.Event(), threading.Event()
    lanes = Lanes([one, other])
    assert lanes.version == "one-1+other-1"
    assert lanes.symbols == {"one.x", "other.x"}
    assert await lanes.ready(1) == {"one": SPEC, "other": SPEC}
    assert lanes.ahead == 3 * 4
    judging = asyncio.ensure_future(lanes.judge({"one": rows_of(1, 2), "other": rows_of(3)}, timeout=10))
    for detector in (one, other):
        assert await asyncio.to_thread(detector.begun.acquire, timeout=10)
    one.gate.set()
    other.gate.set()
    found = await judging
    assert found == {"one": [{"one.x": 0.001}, {"one.x": 0.002}], "other": [{"other.x": 0.003}]}
    assert await lanes.judge({"one": rows_of(), "other": rows_of(4)}, timeout=10) == {
        "one": (),
        "other": [{"other.x": 0.004}],
    }
    await lanes.close()


async def test_what_one_detector_fails_at_the_others_need_not_judge() -> None:
    one, other = Reads("one"), Reads("other")
    other.gate = threading.Event()
    lanes = Lanes([one, other])
    busy = asyncio.ensure_future(lanes.judge({"other": rows_of(1)}, timeout=10))
    assert await asyncio.to_thread(other.begun.acquire, timeout=10)
    with pytest.raises(CannotJudgeError, match="the detector one failed"):
        await lanes.judge({"one": rows_of(POISON), "other": rows_of(2)}, timeout=10)
    other.gate.set()
    await busy
    await lanes.judge({"other": rows_of(3)}, timeout=10)
    assert other.seen == [1, 3]
    await lanes.close()


async def test_time_runs_out() -> None:
    detector = Reads()
    detector.gate = threading.Event()
    lanes = Lanes([detector])
    for timeout in (0.0, -1.0):
        with pytest.raises(CannotJudgeError) as caught:
            await lanes.judge({"reads": rows_of(9)}, timeout=timeout)
        assert caught.value.cause == "timeout"
    busy = asyncio.ensure_future(lanes.judge({"reads": rows_of(1)}, timeout=math.inf))
    assert await asyncio.to_thread(detector.begun.acquire, timeout=10)
    with pytest.raises(CannotJudgeError) as caught:
        await lanes.judge({"reads": rows_of(2)}, timeout=0.05)
    assert caught.value.cause == "timeout"
    detector.gate.set()
    await busy
    await lanes.judge({"reads": rows_of(3)}, timeout=10)
    assert detector.seen == [1, 3]
    await lanes.close()
    with pytest.raises(CannotJudgeError) as caught:
        await lanes.judge({"reads": rows_of(4)}, timeout=10)
    assert caught.value.cause == "no_worker"


@pytest.mark.parametrize("seed", range(5))
async def test_whatever_happens_each_has_its_own_answer(seed: int) -> None:
    """200 files of random rows that come, expire, go away or fail in any order, over two detectors."""
    chance = random.Random(seed)
    one, other = Reads("one", batch=3), Reads("other", batch=8, depth=2)
    lanes = Lanes([one, other])
    ends = {"right": 0, "detector_error": 0, "timeout": 0, "gone": 0}

    async def file(values: list[int], timeout: float, leave: float | None) -> None:
        rows = {"one": rows_of(*values), "other": rows_of(*reversed(values))}
        judging = asyncio.ensure_future(lanes.judge(rows, timeout=timeout))
        if leave is not None:
            await asyncio.sleep(leave)
            judging.cancel()
        (found,) = await asyncio.gather(judging, return_exceptions=True)
        if isinstance(found, CannotJudgeError):
            ends[found.cause] += 1
            assert found.cause == "timeout" or POISON in values
        elif isinstance(found, BaseException):
            ends["gone"] += 1
            assert isinstance(found, asyncio.CancelledError)
            assert leave is not None
        else:
            ends["right"] += 1
            assert found == {
                "one": [{"one.x": value / 1000} for value in values],
                "other": [{"other.x": value / 1000} for value in reversed(values)],
            }

    async with asyncio.TaskGroup() as group:
        for _ in range(200):
            values = [chance.randrange(POISON) for _ in range(chance.choice([1, 1, 1, 2, 5, 30]))]
            if chance.random() < 0.1:
                values[chance.randrange(len(values))] = POISON
            timeout = chance.choice([10.0, 10.0, 10.0, 0.0, 0.002])
            leave = chance.choice([None, None, None, 0.0, 0.003])
            group.create_task(file(values, timeout, leave))
            if chance.random() < 0.5:
                await asyncio.sleep(0.001 * chance.random())
    assert sum(ends.values()) == 200
    assert min(ends["right"], ends["detector_error"], ends["timeout"], ends["gone"]) > 0
    await lanes.close()


# -- the breaker -------------------------------------------------------------------------------------------------------


async def cause_of(lanes: Lanes, **rows: Rows) -> str:
    with pytest.raises(CannotJudgeError) as caught:
        await lanes.judge(rows, timeout=10)
    return caught.value.cause


def state(lanes: Lanes, name: str) -> str:
    return lanes.breakers[name].state


async def test_files_that_make_a_detector_fail_do_not_stop_it() -> None:
    detector = Reads()
    lanes = Lanes([detector])
    for _ in range(30):
        assert await cause_of(lanes, reads=rows_of(POISON)) == "detector_error"
    assert state(lanes, "reads") == "closed"
    assert await lanes.judge({"reads": rows_of(5)}, timeout=10) == {"reads": answer(5)}
    await lanes.close()


async def test_a_detector_that_fails_at_anything_is_asked_no_more_and_then_tried() -> None:
    broken, other = Broken("broken"), Reads("other")
    lanes = Lanes([broken, other])
    now = 0.0
    lanes.breakers["broken"]._clock = lambda: now
    for _ in range(5):
        assert await cause_of(lanes, broken=rows_of(1)) == "detector_error"
    assert state(lanes, "broken") == "open"
    asked, seen = broken.asked, len(other.seen)
    with pytest.raises(
        CannotJudgeError, match="the detector broken does not work, and is tried again in 5 s"
    ) as caught:
        await lanes.judge({"broken": rows_of(1), "other": rows_of(2)}, timeout=10)
    assert (caught.value.cause, broken.asked, len(other.seen)) == ("detector_error", asked, seen), "nobody is asked"
    assert await lanes.judge({"other": rows_of(3)}, timeout=10) == {"other": [{"other.x": 0.003}]}
    now = 5.0
    assert await cause_of(lanes, broken=rows_of(1)) == "detector_error"
    assert broken.asked == asked + 2, "with a file, and with a plain picture"
    now = 14.9
    assert await cause_of(lanes, broken=rows_of(1)) == "detector_error"
    assert broken.asked == asked + 2
    now, broken.works = 15.0, True
    assert await lanes.judge({"broken": rows_of(7)}, timeout=10) == {"broken": [{"broken.x": 0.007}]}
    assert state(lanes, "broken") == "closed"
    await lanes.close()


async def test_while_a_pass_does_not_come_back_nobody_waits_for_it() -> None:
    detector = Reads()
    lanes = Lanes([detector])
    lane = lanes._lanes["reads"]
    lane._stuck_after = 0.01
    detector.gate = threading.Event()
    first = asyncio.ensure_future(lanes.judge({"reads": rows_of(1)}, timeout=60))
    await net.until(lambda: state(lanes, "reads") == "open")
    with pytest.raises(CannotJudgeError, match="has not come back from a batch") as caught:
        await lanes.judge({"reads": rows_of(2)}, timeout=60)
    assert caught.value.cause == "timeout"
    detector.gate.set()
    await first
    assert state(lanes, "reads") == "closed"
    assert await lanes.judge({"reads": rows_of(2)}, timeout=10) == {"reads": answer(2)}
    await lanes.close()
