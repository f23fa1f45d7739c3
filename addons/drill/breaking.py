"""What is broken on purpose: a judge that fails until it is mended, and a ledger's file that another one has locked."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from addons.judging.judge import Judges
from classifier import CannotJudgeError, Judgement, Parts
from classifier.flights import Stop
from classifier.hashlists import Digests
from classifier.types import FailureCause


class BrokenJudge:
    """Fails with ``cause`` until it is mended, and is ``judges`` from then on."""

    def __init__(self, judges: Judges, cause: FailureCause, why: str) -> None:
        self._judges = judges
        self._cause = cause
        self._why = why
        self.mended = False

    @property
    def version(self) -> str:
        """Which detectors judge."""
        return self._judges.version

    async def digests(self, data: bytes | Parts) -> Digests:
        """As the other one."""
        return await self._judges.digests(data)

    async def judge(
        self, data: bytes | Parts, *, timeout: float, stop: Stop | None = None, digests: Digests | None = None
    ) -> Judgement:
        """As the other one, once it is mended. Raises CannotJudgeError."""
        if not self.mended:
            raise CannotJudgeError(self._cause, self._why)
        return await self._judges.judge(data, timeout=timeout, stop=stop, digests=digests)

    def known(self, digests: Digests, stop: Stop | None, media_type: str) -> Judgement | None:
        """As the other one."""
        return self._judges.known(digests, stop, media_type)

    def look_up_cost(self, judgement: Judgement) -> int:
        """As the other one."""
        return self._judges.look_up_cost(judgement)

    def look_up(self, judgement: Judgement) -> Judgement:
        """As the other one."""
        return self._judges.look_up(judgement)


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Nobody else can write to this SQLite database meanwhile. Raises sqlite3.Error."""
    connection = sqlite3.connect(file, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")
    finally:
        connection.close()
