"""One forward pass of a detector over the rows of several files, and what went wrong in it, and whose fault that is."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from classifier.batching import Part
from classifier.inputs import Rows
from classifier.types import CannotJudgeError, Detector, Symbols

type Outcome = Sequence[Symbols] | CannotJudgeError


@dataclass(frozen=True, slots=True)
class Passed:
    """What a forward pass gave for each of its parts; ``began`` and ``ended`` on ``time.perf_counter``.

    ``broken``: what the detector gave for a plain picture, where it failed at each part and at that too.
    """

    outcomes: Sequence[Outcome]
    began: float
    ended: float
    broken: CannotJudgeError | None = None


def judge_parts(detector: Detector, parts: Sequence[Part]) -> Passed:
    """One forward pass over the rows of several files. Blocks. If it fails, each file's rows are tried by themselves,
    so that one file cannot fail the others."""
    began = time.perf_counter()
    broken: CannotJudgeError | None = None
    try:
        rows = parts[0].rows if len(parts) == 1 else np.concatenate([part.rows for part in parts])
        found = ask(detector, rows)
    except CannotJudgeError as error:
        outcomes: list[Outcome] = [error] if len(parts) == 1 else [_alone(detector, part) for part in parts]
        if all(isinstance(outcome, CannotJudgeError) or not outcome for outcome in outcomes):
            broken = _fails(detector)
    else:
        outcomes, start = [], 0
        for part in parts:
            end = start + part.stop - part.start
            outcomes.append(found[start:end])
            start = end
    return Passed(outcomes, began, time.perf_counter(), broken)


def _alone(detector: Detector, part: Part) -> Outcome:
    if part.job.answer.done():  # nobody waits for it any more
        return ()
    try:
        return ask(detector, part.rows)
    except CannotJudgeError as error:
        return error


def _fails(detector: Detector) -> CannotJudgeError | None:
    """Whether it fails at any picture, and how. Else the files are to blame, and anybody could send those."""
    try:
        ask_plain(detector)
    except CannotJudgeError as error:
        return error
    return None


def ask_plain(detector: Detector) -> None:
    """Have it judge one plain grey picture. Blocks. Raises CannotJudgeError where it cannot."""
    ask(detector, np.full((1, *detector.input.size, 3), 128, dtype=np.uint8))


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
