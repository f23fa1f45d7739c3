"""Workers elsewhere, and the same detectors here for when no worker is there."""

import asyncio
import logging
from collections.abc import Mapping, Sequence

from classifier.inputs import InputSpec, Rows
from classifier.remote.client import Workers
from classifier.types import Backend, CannotJudgeError, Guarding, Symbols

_log = logging.getLogger(__name__)


class Fallback:
    """A :class:`classifier.types.Backend`. Workers that are there and too busy or too slow are not stood in for."""

    def __init__(self, workers: Workers, local: Backend) -> None:
        self._workers = workers
        self._local = local
        self._away = False
        self.version = workers.version
        self.symbols = local.symbols
        self.ahead = workers.ahead
        self.breakers: Mapping[str, Guarding] = {**local.breakers, **workers.breakers}

    async def ready(self, timeout: float) -> Mapping[str, InputSpec]:
        """At once: here they are loaded."""
        return await self._local.ready(timeout)

    async def judge(self, rows: Mapping[str, Rows], *, timeout: float) -> Mapping[str, Sequence[Symbols]]:
        """By detector, symbols for each of its rows. Raises CannotJudgeError: timeout, busy, detector_error."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        try:
            found = await self._workers.judge(rows, timeout=timeout)
        except CannotJudgeError as error:
            if error.cause != "no_worker":
                raise
            if not self._away:
                _log.warning("judging here: %s", error)
            self._away = True
            return await self._local.judge(rows, timeout=deadline - loop.time())
        if self._away:
            _log.warning("the workers judge again")
        self._away = False
        return found

    def expect(self, files: int) -> None:
        """So many files are being decoded, whose rows may come soon."""
        self._local.expect(files)

    def trouble(self) -> str:
        """What is wrong now, for a person; empty if nothing."""
        return "\n".join(said for said in (self._workers.trouble(), self._local.trouble()) if said)

    async def unable(self) -> str:
        """Why neither can judge now, for a person; empty if one can."""
        return await self._local.unable() and await self._workers.unable()

    @property
    def known(self) -> int:
        """Workers elsewhere that may judge."""
        return self._workers.known

    async def close(self) -> None:
        """Let go of both."""
        await self._workers.close()
        await self._local.close()
