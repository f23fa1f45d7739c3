"""Batches on a CUDA device: captured, filled up, asked from two threads at once."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from classifier.inputs import Rows

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def sums(rows: torch.Tensor) -> torch.Tensor:
    return rows.float().sum((1, 2))


def expected(rows: Rows) -> list[list[float]]:
    return rows.astype(np.float32).sum((1, 2)).tolist()  # type: ignore[no-any-return]  # numpy says Any of tolist


def drawn(count: int) -> Rows:
    return np.random.default_rng(count).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)


def test_any_number_of_rows_before_and_after_measuring() -> None:
    from classifier.openclip.cuda import Graphed

    run = Graphed(sums, (8, 8), "cuda")
    for count in (1, 8, 9):
        assert run(drawn(count)).tolist() == expected(drawn(count))
    rates = run.measure(1.0)
    assert run.batch in rates
    assert run.rate(3) > 0
    for count in (1, 3, run.batch - 1 or 1, run.batch, run.batch + 1, 3 * run.batch + 5):
        assert run(drawn(count)).tolist() == expected(drawn(count))


def test_two_threads_do_not_meet_in_each_others_memory() -> None:
    from classifier.openclip.cuda import Graphed

    run = Graphed(sums, (8, 8), "cuda")
    run.measure(1.0)
    asked = [drawn(1 + number % (2 * run.batch)) for number in range(200)]
    with ThreadPoolExecutor(2) as threads:
        for rows, found in zip(asked, threads.map(run, asked), strict=True):
            assert found.tolist() == expected(rows)


def test_a_model_that_cannot_be_captured_runs_without() -> None:
    from classifier.openclip.cuda import Graphed

    def waits(rows: torch.Tensor) -> torch.Tensor:
        assert rows.float().sum().item() >= 0  # an answer waited for: no graph can hold that
        return sums(rows)

    run = Graphed(waits, (8, 8), "cuda")
    run.measure(1.0)
    assert run(drawn(5)).tolist() == expected(drawn(5))
