"""Finding the best batch, on a clock of its own, and running batches of it."""

import threading
import time

import numpy as np
import pytest
import torch

from classifier.openclip.running import CANDIDATES, Direct, measure, smallest


class Machine:
    """Takes ``fixed + each·batch`` seconds for a forward pass, on a clock that nothing else moves."""

    def __init__(self, fixed: float, each: float) -> None:
        self.fixed, self.each = fixed, each
        self.now = 0.0
        self.runs: list[int] = []

    def run(self, batch: int) -> None:
        self.runs.append(batch)
        self.now += self.fixed + self.each * batch

    def rates(self, seconds: float) -> dict[int, float]:
        return measure(self.run, CANDIDATES, seconds, clock=lambda: self.now)


def test_a_quick_machine_tries_all_sizes_and_the_rates_are_right() -> None:
    rates = Machine(0.004, 0.001).rates(2.0)
    assert rates == pytest.approx({size: size / (0.004 + 0.001 * size) for size in CANDIDATES})
    assert smallest(rates) == 16


def test_a_machine_without_overhead_takes_one_at_a_time() -> None:
    assert smallest(Machine(0.0, 0.05).rates(2.0)) == 1


def test_three_percent_below_the_best_are_good_enough_and_not_more() -> None:
    assert smallest({1: 50.0, 2: 97.0, 4: 100.0}) == 2
    assert smallest({1: 50.0, 2: 96.9, 4: 100.0}) == 4


@pytest.mark.parametrize("each", [0.1, 0.5, 1.0])
def test_a_slow_machine_stops_in_time(each: float) -> None:
    machine = Machine(0.03, each)
    rates = machine.rates(2.0)
    assert rates
    assert machine.now < max(2.0, 2 * (0.03 + each)) * 1.05


def test_a_machine_that_takes_longer_than_there_is_for_one_picture_takes_one_at_a_time() -> None:
    machine = Machine(0.0, 9.0)
    assert smallest(machine.rates(2.0)) == 1
    assert machine.runs == [1, 1]


def sums(rows: torch.Tensor) -> torch.Tensor:
    return rows.float().sum((1, 2, 3))[:, None]


@pytest.mark.parametrize("ways", [1, 3])
@pytest.mark.parametrize("count", [1, 7, 8, 9, 17])
def test_rows_are_cut_into_batches_and_keep_their_order(count: int, ways: int) -> None:
    sizes = []

    def encode(rows: torch.Tensor) -> torch.Tensor:
        sizes.append(len(rows))
        return sums(rows)

    run = Direct(encode, (2, 2), "cpu", ways)
    rows = np.arange(count, dtype=np.uint8)[:, None, None, None].repeat(2, 1).repeat(2, 2).repeat(3, 3)
    assert run(rows)[:, 0].tolist() == [12.0 * n for n in range(count)]
    assert (max(sizes) <= -(-8 // ways), sum(sizes)) == (True, count)


def test_each_of_several_threads_computes_for_itself_and_a_row_alone_has_all() -> None:
    before = torch.get_num_threads()
    seen = []

    def encode(rows: torch.Tensor) -> torch.Tensor:
        seen.append((threading.get_ident(), torch.get_num_threads()))
        time.sleep(0.05)  # so that one thread does not do it all
        return sums(rows)

    try:
        torch.set_num_threads(2)
        run = Direct(encode, (2, 2), "cpu", 3)
        run(np.zeros((3, 2, 2, 3), np.uint8))
        assert {number for _, number in seen} == {1}
        assert len({thread for thread, _ in seen}) == 3
        run(np.zeros((1, 2, 2, 3), np.uint8))
        assert seen[-1] == (threading.get_ident(), 2)
    finally:
        torch.set_num_threads(before)


def test_rows_that_may_not_be_written_to_or_lie_apart_are_taken() -> None:
    rows = np.ones((4, 2, 2, 3), np.uint8)
    rows.flags.writeable = False
    assert Direct(sums, (2, 2), "cpu")(rows[::2])[:, 0].tolist() == [12.0, 12.0]


def test_measuring_sets_the_batch() -> None:
    run = Direct(sums, (2, 2), "cpu", 3)
    rates = run.measure(0.5)
    assert run.batch == smallest(rates)
    assert set(rates) <= {3 * size for size in CANDIDATES}  # every thread has a row at least
    assert run.rate(2) > 0
