"""Finds exposed and covered parts of the body with NudeNet's detector, whose weights come in its wheel."""

import ast
import hashlib
import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from classifier.inputs import InputSpec, Rows
from classifier.settings import NuditySettings
from classifier.types import CannotStartError

CLASSES: Mapping[str, str | None] = {
    "FEMALE_GENITALIA_EXPOSED": "nudity.explicit",
    "MALE_GENITALIA_EXPOSED": "nudity.explicit",
    "ANUS_EXPOSED": "nudity.explicit",
    "FEMALE_BREAST_EXPOSED": "nudity.partial",
    "BUTTOCKS_EXPOSED": "nudity.partial",
    "FEMALE_GENITALIA_COVERED": "nudity.covered",
    "FEMALE_BREAST_COVERED": "nudity.covered",
    "BUTTOCKS_COVERED": "nudity.covered",
    "ANUS_COVERED": "nudity.covered",
    "FACE_FEMALE": "nudity.face",
    "FACE_MALE": "nudity.face",
    # Everyday: no rule would ask for them.
    "MALE_BREAST_EXPOSED": None,
    "BELLY_EXPOSED": None,
    "BELLY_COVERED": None,
    "ARMPITS_EXPOSED": None,
    "ARMPITS_COVERED": None,
    "FEET_EXPOSED": None,
    "FEET_COVERED": None,
}
"""Each class of NudeNet 3 and the symbol that it counts for. A symbol's score is its best class's best box."""

SYMBOLS: frozenset[str] = frozenset(symbol for symbol in CLASSES.values() if symbol is not None)

SIDE = 320
"""Pixels of the model's square input."""

INPUT = InputSpec((SIDE, SIDE), "corner", "linear", stretch=2.0)
"""As NudeNet prepares pictures, but for long ones, which are cut into tiles, and for the channel order.

The model was trained on RGB (ultralytics' order); NudeNet 3.4 swaps red and blue twice (``cvtColor(RGBA2BGR)`` on what
``imread`` gave as BGR) and so shows it BGR: its issue 203.
"""

_PREPROCESSING = 2
_MODEL = "320n.onnx"
_BOX = 4
"""The model's output is ``float32 [1, 4 + classes, boxes]``: x, y, width, height, then a score for each class."""


class _Session(Protocol):
    """What is used of ``onnxruntime.InferenceSession``."""

    def run(self, outputs: None, inputs: dict[str, NDArray[np.float32]]) -> list[NDArray[np.float32]]: ...


class NudityDetector:
    """NudeNet 3.4's 320n model, run by onnxruntime on the CPU, frame by frame (a batch is no faster there)."""

    name = "nudity"
    symbols = SYMBOLS
    input = INPUT
    batch = 8  # one picture is as fast: this bounds how long a lane is away
    depth = 1

    def __init__(self, session: _Session, input_name: str, classes: Sequence[str], version: str) -> None:
        self._session = session
        self._input = input_name
        self.version = version
        self._rows = {
            symbol: np.array([_BOX + at for at, name in enumerate(classes) if CLASSES[name] == symbol])
            for symbol in sorted(SYMBOLS)
        }

    @classmethod
    def load(cls, settings: NuditySettings) -> "NudityDetector":
        """Load the model. Raises CannotStartError where the package or its model file is missing or not as known."""
        # nudenet itself is not imported: it would load OpenCV and read the weights when all we need is where they lie.
        spec = find_spec("nudenet")
        folders = list(spec.submodule_search_locations or ()) if spec else []
        if not folders:
            raise CannotStartError("classifier.nudity needs the package nudenet: install it, or set nudity to null")
        file = Path(folders[0]) / _MODEL
        try:
            weights = file.read_bytes()
            import onnxruntime
        except (OSError, ImportError) as error:
            raise CannotStartError(
                f"classifier.nudity cannot load NudeNet's model ({error}): install nudenet again, or set nudity to null"
            ) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = settings.threads or default_threads()
        options.inter_op_num_threads = 1
        # Threads that spin while they wait for work would take the doors' cores.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            session = onnxruntime.InferenceSession(weights, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise CannotStartError(f"onnxruntime cannot load {file} ({error}): install nudenet again") from error
        names = _names(session)
        if set(names) != set(CLASSES):
            raise CannotStartError(
                f"{file} tells other classes than fediward knows ({', '.join(sorted(set(names) ^ set(CLASSES)))}): "
                "install nudenet 3.4"
            )
        digest = hashlib.sha256(weights).hexdigest()
        return cls(session, session.get_inputs()[0].name, names, f"nudenet-{digest[:12]}-{_PREPROCESSING}")

    def judge(self, rows: Rows) -> list[dict[str, float]]:
        """All symbols for each row, each in 0…1. Blocks. Threads may share it."""
        return [self._judge_one(row) for row in rows]

    def _judge_one(self, row: NDArray[np.uint8]) -> dict[str, float]:
        (output,) = self._session.run(None, {self._input: planes(row)})
        return {symbol: float(np.clip(output[0, rows].max(), 0.0, 1.0)) for symbol, rows in self._rows.items()}


def planes(row: NDArray[np.uint8]) -> NDArray[np.float32]:
    """One row to the model's input: ``float32 [1, 3, 320, 320]`` in 0…1, RGB."""
    return np.ascontiguousarray(row.transpose(2, 0, 1)[np.newaxis], dtype=np.float32) / np.float32(255)


def default_threads() -> int:
    """Half of the CPU cores that this process may use, four at most: the model is small, and gains little from more."""
    return max(1, min(4, len(os.sched_getaffinity(0)) // 2))


def _names(session: Any) -> list[str]:
    """Class names in the order of the model's scores, from the model's own metadata (``{0: 'NAME', …}``)."""
    found = ast.literal_eval(session.get_modelmeta().custom_metadata_map["names"])
    return [str(found[number]) for number in range(len(found))]
