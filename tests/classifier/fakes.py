"""A detector that reads its answer off the pixels, so that any mix-up of rows shows; it can wait, fail and count."""

import threading

import numpy as np

from classifier.inputs import InputSpec, Rows

POISON = 255
"""Rows of this value make the detector fail."""
SPEC = InputSpec((2, 2), "squash")


def rows_of(*values: int) -> Rows:
    """A row of each value (0…254)."""
    return np.repeat(np.array(values, dtype=np.uint8), 12).reshape(-1, 2, 2, 3)


class Reads:
    """Scores a row by its pixels: value / 1000. ``gate``, where set, is waited for; ``begun`` counts calls."""

    input = SPEC

    def __init__(self, name: str = "reads", *, batch: int = 4, depth: int = 1) -> None:
        self.name, self.version, self.batch, self.depth = name, f"{name}-1", batch, depth
        self.symbols = frozenset({f"{name}.x"})
        self.gate: threading.Event | None = None
        self.begun = threading.Semaphore(0)
        self.passes: list[list[int]] = []
        """The values in each call."""
        self.threads: set[int] = set()

    @property
    def seen(self) -> list[int]:
        """All values that were judged."""
        return [value for values in self.passes for value in values]

    def judge(self, rows: Rows) -> list[dict[str, float]]:
        values = [int(row[0, 0, 0]) for row in rows]
        self.passes.append(values)
        self.threads.add(threading.get_ident())
        self.begun.release()
        if self.gate is not None:
            assert self.gate.wait(10)
        if POISON in values:
            raise RuntimeError("CUDA error: poison")
        return [{f"{self.name}.x": value / 1000} for value in values]


class Broken(Reads):
    """Fails at whatever it is asked, unless it ``works``; ``asked``: how often."""

    works = False
    asked = 0

    def judge(self, rows: Rows) -> list[dict[str, float]]:
        self.asked += 1
        if not self.works:
            raise RuntimeError("CUDA error: gone")
        return super().judge(rows)
