"""A detector in a thread of its own, with what it says checked: nothing it does stops the event loop or the others."""

import asyncio
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from classifier.types import CannotJudgeError, Detector, Frame, Symbols


class Lane:
    """One detector, one thread: its frames are judged in the order they were asked for."""

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"detector-{detector.name}")

    async def judge(self, frames: Sequence[Frame]) -> Sequence[Symbols]:
        """Symbols for each frame. Raises CannotJudgeError("detector_error"). Cancelled in time, it is never run."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, ask, self.detector, frames)

    def close(self) -> None:
        """Drop what waits; what is being judged ends by itself."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def ask(detector: Detector, frames: Sequence[Frame]) -> Sequence[Symbols]:
    """One detector's symbols for all frames. Blocks. Raises CannotJudgeError("detector_error"), whatever is wrong."""
    name = detector.name
    try:
        found = detector.judge(frames)
    except CannotJudgeError:
        raise
    except Exception as error:
        raise CannotJudgeError(
            "detector_error", f"the detector {name} failed: {type(error).__name__}: {error}"
        ) from error
    if len(found) != len(frames):
        raise CannotJudgeError(
            "detector_error", f"the detector {name} gave {len(found)} answers for {len(frames)} frames"
        )
    for symbols in found:
        for symbol, score in symbols.items():
            # A NaN is above no threshold: it would pass every rule.
            if symbol not in detector.symbols or not (math.isfinite(score) and 0.0 <= score <= 1.0):
                raise CannotJudgeError("detector_error", f"the detector {name} gave {symbol} = {score}")
    return found
