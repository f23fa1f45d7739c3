import hashlib
import subprocess
import sys
from pathlib import Path

import cv2
import nudenet
import numpy as np
import pytest
from nudenet.nudenet import _read_image
from numpy.typing import NDArray

from classifier.detectors.nudity import CLASSES, INPUT, SIDE, SYMBOLS, NudityDetector, default_threads, planes
from classifier.inputs import Rows, rows
from classifier.settings import NuditySettings
from classifier.types import CannotStartError
from tests.drawing import quadrants, shape, textured


@pytest.fixture(scope="module")
def detector() -> NudityDetector:
    return NudityDetector.load(NuditySettings(threads=1))


def array(image: object) -> NDArray[np.uint8]:
    return np.asarray(image, dtype=np.uint8)


def rows_of(*images: object) -> Rows:
    return np.concatenate([rows(array(image), INPUT) for image in images])


def test_drawn_shapes_are_nothing(detector: NudityDetector) -> None:
    images = [shape(kind, "red", "white", 320, 240) for kind in ("circle", "square", "triangle")]
    for found in detector.judge(rows_of(*images, textured(1))):
        assert set(found) == SYMBOLS
        assert all(0.0 <= score <= 1.0 for score in found.values())
        assert found["nudity.explicit"] < 0.5


def test_the_same_twice_and_in_company(detector: NudityDetector) -> None:
    both = rows_of(textured(1), textured(2, 300, 500))
    assert detector.judge(both) == [*detector.judge(both[:1]), *detector.judge(both[1:])]
    assert detector.judge(both[:0]) == []


@pytest.mark.parametrize(("size", "tiles"), [((1, 1), 1), ((1, 900), 16), ((900, 1), 16), ((1024, 768), 1)])
def test_any_size(detector: NudityDetector, size: tuple[int, int], tiles: int) -> None:
    found = detector.judge(rows_of(textured(1, *size)))
    assert len(found) == tiles
    assert all(set(one) == SYMBOLS for one in found)


def test_version_names_the_weights(detector: NudityDetector) -> None:
    assert nudenet.__file__ is not None
    weights = Path(nudenet.__file__).with_name("320n.onnx").read_bytes()
    assert hashlib.sha256(weights).hexdigest()[:12] in detector.version


def test_channels_are_rgb_and_the_picture_lies_at_the_top_left() -> None:
    (row,) = rows_of(quadrants(64, 32))
    blob = planes(row)
    assert blob.shape == (1, 3, SIDE, SIDE)
    assert blob.dtype == np.float32
    assert blob[0, :, 10, 10].tolist() == [1, 0, 0]  # red
    assert blob[0, :, 10, 310].tolist() == [0, 1, 0]  # green
    assert blob[0, :, 150, 310].tolist() == [0, 0, 1]  # blue
    assert blob[0, :, 170:].max() == 0  # padding


@pytest.mark.parametrize("size", [(320, 320), (500, 300), (300, 500), (1024, 768), (97, 61)])
def test_preprocessing_is_nudenets_but_for_the_order_of_channels(size: tuple[int, int]) -> None:
    frame = array(textured(3, *size))
    theirs = _read_image(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), SIDE)[0]
    (row,) = rows_of(frame)
    assert np.abs(planes(row) - theirs[:, ::-1]).max() <= 1.01 / 255


class Canned:
    """A session that gives one box with the scores it was told."""

    def __init__(self, scores: dict[str, float]) -> None:
        self.scores = [scores.get(name, 0.0) for name in CLASSES]

    def run(self, outputs: None, inputs: dict[str, NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        output = np.zeros((1, 4 + len(CLASSES), 3), dtype=np.float32)
        output[0, :4] = 99
        output[0, 4:, 1] = self.scores
        return [output]


@pytest.mark.parametrize(("name", "symbol"), CLASSES.items())
def test_each_class_counts_for_its_symbol(name: str, symbol: str | None) -> None:
    detector = NudityDetector(Canned({name: 0.75}), "images", list(CLASSES), "v")
    (found,) = detector.judge(rows_of(shape()))
    assert found == {**dict.fromkeys(SYMBOLS, 0.0), **({symbol: 0.75} if symbol else {})}


def test_the_best_class_counts() -> None:
    scores = {"ANUS_EXPOSED": 0.25, "MALE_GENITALIA_EXPOSED": 0.5, "BUTTOCKS_EXPOSED": 0.75}
    (found,) = NudityDetector(Canned(scores), "images", list(CLASSES), "v").judge(rows_of(shape()))
    assert (found["nudity.explicit"], found["nudity.partial"]) == (0.5, 0.75)


def test_symbols_are_known_without_loading_anything() -> None:
    script = (
        "import sys, classifier.detectors.nudity as n\n"
        "print(sorted(n.SYMBOLS), {'cv2', 'onnxruntime', 'nudenet'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == f"{sorted(SYMBOLS)} set()"


def test_other_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "nudenet"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "nudenet")
    with pytest.raises(CannotStartError, match="install nudenet again, or set nudity to null"):
        NudityDetector.load(NuditySettings())
    (package / "320n.onnx").write_bytes(b"not a model")
    with pytest.raises(CannotStartError, match="onnxruntime cannot load"):
        NudityDetector.load(NuditySettings())


def test_threads_by_default_leave_some_for_the_doors() -> None:
    assert 1 <= default_threads() <= 4
