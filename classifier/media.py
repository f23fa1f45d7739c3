"""Bytes to frames: the decoder as the engine sees it, with its processes, bounds and causes."""

import os
from collections.abc import Mapping
from typing import Protocol

from classifier.decode import VERSION, Bounds, Undecoded, prepare
from classifier.inputs import InputSpec
from classifier.pool import CrashedError, Limits, OverdueError, OverworkedError, Pool
from classifier.preparing import Prepared, PreparedFrame, prepare_file
from classifier.settings import DecodeSettings
from classifier.types import CannotJudgeError

__all__ = ["Decoder", "MediaDecoder", "Prepared", "PreparedFrame", "default_processes"]


class Decoder(Protocol):
    """What the engine needs of a decoder."""

    version: str
    """Changes whenever the same bytes could give other frames."""
    processes: int
    """How many files are decoded at the same time."""

    async def decode(self, data: bytes, inputs: Mapping[str, InputSpec]) -> Prepared:
        """The frames of one file, at least one, as ``inputs`` want them (by detector).

        Raises CannotJudgeError. Cancelling it ends the work.
        """
        ...

    async def close(self) -> None:
        """Let go of everything."""
        ...


def default_processes() -> int:
    """One for each CPU core that this process may use (which in a container are fewer than the machine has)."""
    return max(1, min(64, len(os.sched_getaffinity(0))))


class MediaDecoder:
    """Decodes in spawned processes. ``settings.seconds`` bounds computing time; twice that is the wall time."""

    def __init__(self, settings: DecodeSettings) -> None:
        self._bounds = Bounds(settings.pixels, settings.frames, settings.seconds)
        self.version = f"{VERSION}:{settings.frames}"
        self.processes = settings.processes or default_processes()
        limits = Limits(settings.memory, settings.seconds, 2 * settings.seconds)
        self._pool = Pool(self.processes, limits, prepare)

    def warm_up(self) -> None:
        """Start the processes and wait for them. Blocks. Raises CannotStartError."""
        self._pool.warm_up()

    async def decode(self, data: bytes, inputs: Mapping[str, InputSpec]) -> Prepared:
        """The frames of ``data``. Raises CannotJudgeError: undecodable, unsupported, too_large or timeout."""
        try:
            result = await self._pool.run(prepare_file, data, self._bounds, dict(inputs))
        except OverdueError as error:
            raise CannotJudgeError("timeout", f"decoding: {error}") from error
        except OverworkedError as error:
            raise CannotJudgeError("too_large", f"decoding: {error}") from error
        except CrashedError as error:
            raise CannotJudgeError("undecodable", str(error)) from error
        if isinstance(result, Undecoded):
            raise CannotJudgeError(result.cause, result.message, result.media_type)
        return result

    def stop(self) -> None:
        """Kill the processes. Blocks until they are gone; for where no event loop runs."""
        self._pool.stop()

    async def close(self) -> None:
        """Kill the processes."""
        await self._pool.close()
