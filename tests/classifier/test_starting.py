import subprocess
import sys
from pathlib import Path

import pytest

from classifier.inputs import Rows
from classifier.settings import ClassifierSettings, Concept, DecodeSettings, HashListSettings
from classifier.starting import load, tried
from classifier.types import CannotStartError
from tests.classifier.fakes import Reads

CONCEPTS = {"x": Concept(prompts=("a circle",), against=("a square",))}


def test_all_that_is_missing_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken.csv").write_text("x\n")
    lists = tuple(
        HashListSettings(name=name, file=tmp_path / file)
        for name, file in [("one", "nowhere.csv"), ("two", "broken.csv"), ("two", "broken.csv")]
    )
    # None is how Python itself marks a module that is not to be had.
    monkeypatch.setitem(sys.modules, "classifier.detectors.clip", None)
    with pytest.raises(CannotStartError) as caught:
        load(ClassifierSettings(nudity=None, hashes=lists, decode=DecodeSettings(processes=1)), CONCEPTS)
    told = str(caught.value)
    for words in (
        "nowhere.csv cannot be read",
        "broken.csv:1: ",
        "2 hash lists are named two",
        "install fediward[clip], or set clip to null",
    ):
        assert words in told


def test_nothing_heavy_is_loaded_when_clip_is_off() -> None:
    script = (
        "import sys\n"
        "from classifier.engine import Engine\n"
        "from classifier.settings import *\n"
        "if __name__ == '__main__':\n"
        "    engine = Engine.start(ClassifierSettings(clip=None, decode=DecodeSettings(processes=1)), {})\n"
        "    print({'torch', 'open_clip', 'mitmproxy'} & set(sys.modules), sorted(engine.symbols)[0])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "set() nudity.covered"


def test_a_detector_that_cannot_judge_is_found_out_at_the_start() -> None:
    class Broken(Reads):
        def judge(self, rows: Rows) -> list[dict[str, float]]:
            raise RuntimeError(f"CUDA error on {rows.shape}")

    with pytest.raises(
        CannotStartError, match=r"broken failed: RuntimeError: CUDA error on \(1, 2, 2, 3\) \(on a plain grey picture"
    ):
        tried(Broken("broken"))


def test_a_detector_that_can_is_given_back() -> None:
    detector = Reads()
    assert tried(detector) is detector
    assert detector.seen == [128]
