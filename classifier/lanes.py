"""The detectors of this machine, each in a thread of its own: nothing one does stops the event loop or the others."""

import asyncio
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from classifier.inputs import InputSpec, Rows
from classifier.types import CannotJudgeError, Detector, Symbols


class Lane:
    """One detector, one thread: its rows are judged in the order they were asked for."""

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"detector-{detector.name}")

    async def judge(self, rows: Rows) -> Sequence[Symbols]:
        """Symbols for each row. Raises CannotJudgeError("detector_error"). Cancelled in time, it is never run."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, ask, self.detector, rows)

    def close(self) -> None:
        """Drop what waits; what is being judged ends by itself."""
        self._thread.shutdown(wait=False, cancel_futures=True)


class Lanes:
    """All detectors, side by side: a :class:`classifier.types.Backend`."""

    def __init__(self, detectors: Sequence[Detector]) -> None:
        self._lanes = {detector.name: Lane(detector) for detector in detectors}
        self.version = "+".join(detector.version for detector in detectors)
        self.symbols: frozenset[str] = frozenset().union(*(detector.symbols for detector in detectors))
        self.inputs: Mapping[str, InputSpec] = {detector.name: detector.input for detector in detectors}

    async def judge(self, rows: Mapping[str, Rows], *, timeout: float) -> Mapping[str, Sequence[Symbols]]:
        """By detector, symbols for each of its rows. Raises CannotJudgeError."""
        names = list(rows)
        found = await asyncio.gather(*(self._lanes[name].judge(rows[name]) for name in names))
        return dict(zip(names, found, strict=True))

    async def close(self) -> None:
        """Drop what waits."""
        for lane in self._lanes.values():
            lane.close()


def ask(detector: Detector, rows: Rows) -> Sequence[Symbols]:
    """One detector's symbols for all rows. Blocks. Raises CannotJudgeError("detector_error"), whatever is wrong."""
    name = detector.name
    try:
        found = detector.judge(rows)
    except CannotJudgeError:
        raise
    except Exception as error:
        raise CannotJudgeError(
            "detector_error", f"the detector {name} failed: {type(error).__name__}: {error}"
        ) from error
    if len(found) != len(rows):
        raise CannotJudgeError("detector_error", f"the detector {name} gave {len(found)} answers for {len(rows)} rows")
    for symbols in found:
        for symbol, score in symbols.items():
            # A NaN is above no threshold: it would pass every rule.
            if symbol not in detector.symbols or not (math.isfinite(score) and 0.0 <= score <= 1.0):
                raise CannotJudgeError("detector_error", f"the detector {name} gave {symbol} = {score}")
    return found
