"""Bytes to frames: the decoder as the engine sees it, with its processes, bounds and causes."""

import logging
import os
from collections.abc import Mapping
from typing import Protocol

from classifier.answers import NonsenseError, get_ready, prepare_packed, unpack
from classifier.frames import VERSION, Bounds, Prepared, PreparedFrame, Undecoded
from classifier.inputs import InputSpec
from classifier.parts import Needs, NeedsError, Parts
from classifier.pool import (
    CrashedError,
    FailedError,
    Limits,
    OverdueError,
    OverworkedError,
    Pool,
    UnavailableError,
)
from classifier.sandbox import Report
from classifier.settings import DecodeSettings
from classifier.types import CannotJudgeError

_log = logging.getLogger(__name__)

__all__ = ["Decoder", "MediaDecoder", "Prepared", "PreparedFrame", "default_processes"]


class Decoder(Protocol):
    """What the engine needs of a decoder."""

    version: str
    """Changes whenever the same bytes could give other frames."""
    processes: int
    """How many files are decoded at the same time."""

    async def decode(self, data: bytes | Parts, inputs: Mapping[str, InputSpec]) -> Prepared:
        """The frames of one file, at least one, as ``inputs`` want them (by detector).

        Raises CannotJudgeError, and NeedsError for a file of which too little is known. Cancelling it ends the work.
        """
        ...

    async def close(self) -> None:
        """Let go of everything."""
        ...


def default_processes() -> int:
    """One for each CPU core that this process may use (which in a container are fewer than the machine has)."""
    return max(1, min(64, len(os.sched_getaffinity(0))))


class MediaDecoder:
    """Decodes in spawned processes. ``settings.seconds`` bounds computing time; twice that is the wall time.

    ``flips``: hash frames mirrored and turned too, for hash lists that ask for such variants.
    """

    def __init__(self, settings: DecodeSettings, *, flips: bool = False) -> None:
        self._bounds = Bounds(settings.pixels, settings.frames, settings.seconds, settings.video_frames, flips=flips)
        self.version = f"{VERSION}:{settings.frames}:{settings.video_frames}"
        self.processes = settings.processes or default_processes()
        limits = Limits(settings.memory, settings.seconds, 2 * settings.seconds)
        self._pool = Pool(self.processes, limits, get_ready)

    def warm_up(self) -> None:
        """Start the processes, wait for them, and log what shuts them in. Blocks. Raises CannotStartError."""
        self._pool.warm_up()
        assert self.sandbox is not None
        _log.info("decoding processes are shut in by %s", "; ".join(self.sandbox.on))
        for refused in self.sandbox.off:
            _log.warning("decoding processes: %s", refused)

    @property
    def sandbox(self) -> Report | None:
        """What shuts the processes in, and what of it the kernel refused, once one has started."""
        return self._pool.sandbox

    @property
    def pids(self) -> list[int]:
        """The processes there are just now."""
        return self._pool.pids

    async def decode(self, data: bytes | Parts, inputs: Mapping[str, InputSpec]) -> Prepared:
        """The frames of ``data``.

        Raises NeedsError, or CannotJudgeError: undecodable, unsupported, too_large, timeout, no_worker.
        """
        try:
            wanted = dict(inputs)
            result = unpack(*await self._pool.run(prepare_packed, data, self._bounds, wanted), wanted)
        except OverdueError as error:
            raise CannotJudgeError("timeout", f"decoding: {error}") from error
        except OverworkedError as error:
            raise CannotJudgeError("too_large", f"decoding: {error}") from error
        except (CrashedError, NonsenseError) as error:
            raise CannotJudgeError("undecodable", str(error)) from error
        except FailedError as error:
            raise CannotJudgeError("too_large" if error.memory else "undecodable", f"decoding: {error}") from error
        except UnavailableError as error:
            raise CannotJudgeError("no_worker", str(error)) from error
        if isinstance(result, Needs):
            raise NeedsError(result.ranges)
        if isinstance(result, Undecoded):
            raise CannotJudgeError(result.cause, result.message, result.media_type)
        return result

    def stop(self) -> None:
        """Kill the processes. Blocks until they are gone; for where no event loop runs."""
        self._pool.stop()

    async def close(self) -> None:
        """Kill the processes."""
        await self._pool.close()
