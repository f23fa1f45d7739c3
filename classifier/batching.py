"""Which rows go into the next forward pass, and what a pass costs: rows of many files, each file in its turn."""

import asyncio
import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

from classifier.inputs import Rows
from classifier.types import Symbols

_NEW = 0.2
"""What the latest pass counts in the mean of its size."""
_GAIN = 0.8
"""A row must cost at most this share of a row alone, for larger batches to gain anything."""
_PATIENCE = 0.1
"""Share of a single row's pass that is spent waiting for company."""


@dataclass(eq=False, slots=True)
class Job:
    """A file's rows for one detector. ``since``: when they came; ``deadline``: past which nobody wants the answer; both
    in seconds on the loop's clock."""

    rows: Rows
    answer: asyncio.Future[Sequence[Symbols]]
    since: float
    deadline: float = math.inf
    taken: int = 0
    found: dict[int, Sequence[Symbols]] = field(default_factory=dict)
    """By the row at which they start, what was found in those judged."""

    @property
    def left(self) -> int:
        """Rows that no pass has taken yet."""
        return len(self.rows) - self.taken

    def give(self, start: int, symbols: Sequence[Symbols]) -> None:
        """What one pass found in the rows from ``start``; with the last of them, the answer is there."""
        self.found[start] = symbols
        if sum(map(len, self.found.values())) == len(self.rows):
            self.answer.set_result([one for at in sorted(self.found) for one in self.found[at]])


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows of a job, in one pass."""

    job: Job
    start: int
    stop: int

    @property
    def rows(self) -> Rows:
        """``uint8 [stop - start, h, w, 3]``, not copied."""
        return self.job.rows[self.start : self.stop]


class RowQueue:
    """Rows that wait, in passes of at most ``batch``.

    Files take turns: each of those in a pass has the same share of it, and what one does not need the others have. A
    file of one row so waits for one round of the others, however many rows each of them has.
    """

    def __init__(self, batch: int) -> None:
        self.batch = batch
        self.rows = 0
        self._jobs: OrderedDict[Job, None] = OrderedDict()

    def __len__(self) -> int:
        """Files that have rows waiting."""
        return len(self._jobs)

    def put(self, job: Job) -> None:
        """At the end of the round."""
        self._jobs[job] = None
        self.rows += job.left

    def drop(self, job: Job) -> int:
        """Take out what waits of ``job``, if anything: so many rows."""
        if job not in self._jobs:
            return 0
        del self._jobs[job]
        self.rows -= job.left
        return job.left

    def drop_expired(self, now: float) -> int:
        """Take out what waits of every job past its deadline: so many rows."""
        return sum(self.drop(job) for job in [job for job in self._jobs if job.deadline <= now])

    def oldest(self) -> float:
        """Since when the one whose turn it is waits. There must be one."""
        return next(iter(self._jobs)).since

    def take(self) -> list[Part]:
        """The next pass: as many rows as there are, ``batch`` at most."""
        jobs = list(islice(self._jobs, self.batch))
        room = self.batch
        shares: dict[Job, int] = {}
        # Who needs least is asked first, so that what it leaves goes to the others.
        for place, job in enumerate(sorted(jobs, key=lambda job: job.left)):
            shares[job] = min(job.left, room // (len(jobs) - place))
            room -= shares[job]
        parts = []
        for job in jobs:
            parts.append(Part(job, job.taken, job.taken + shares[job]))
            job.taken += shares[job]
            if job.left:
                self._jobs.move_to_end(job)
            else:
                del self._jobs[job]
        self.rows -= self.batch - room
        return parts


class Costs:
    """Seconds of a forward pass by the rows in it, as measured: a running mean for each power of two."""

    def __init__(self) -> None:
        self._row: dict[int, float] = {}
        """By bit length of the number of rows: seconds for each of them."""

    def note(self, rows: int, seconds: float) -> None:
        """A pass of so many rows took so long."""
        size, row = rows.bit_length(), seconds / rows
        self._row[size] = row if size not in self._row else (1 - _NEW) * self._row[size] + _NEW * row

    def of(self, rows: int) -> float:
        """Seconds that a pass takes; 0 where none of that size was measured."""
        return rows * self._row.get(rows.bit_length(), 0.0)

    def patience(self) -> float:
        """Seconds that rows on an idle device do well to wait for company.

        0 where passes of several rows were not measured, or are no faster a row: so it is on a CPU.
        """
        single = self._row.get(1, 0.0)
        best = min((row for size, row in self._row.items() if size > 1), default=single)
        return _PATIENCE * single if best <= _GAIN * single else 0.0
