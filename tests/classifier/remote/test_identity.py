import subprocess
import sys

import pytest

from classifier.inputs import InputSpec
from classifier.remote.identity import asked, differences, key, symbols, told
from classifier.remote.messages import Told
from classifier.settings import ClassifierSettings, ClipSettings, Concept, NuditySettings
from tests.sleeping import CONCEPTS, Sleeps

OTHER = {"x": Concept(prompts=("a circle",), against=("a star",))}
SETTINGS = ClassifierSettings()


def with_clip(**values: object) -> ClassifierSettings:
    return ClassifierSettings(clip=ClipSettings.model_validate(values))


def test_device_precision_threads_and_a_checkpoints_folder_may_differ() -> None:
    here = asked(with_clip(pretrained="/here/w.pt", device="cpu", threads=2), CONCEPTS)
    assert here == asked(with_clip(pretrained="/there/w.pt", precision="fp16"), CONCEPTS)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (with_clip(model="ViT-B-32"), ["clip.model is ViT-B-32 there, ViT-L-14 here"]),
        (with_clip(pretrained="laion"), ["clip.pretrained is laion there, openai here"]),
        (with_clip(pretrained="/w/v.pt"), ["clip.pretrained is v.pt there, openai here"]),
        (with_clip(coverage="centre"), ["clip.coverage is centre there, whole here"]),
        (ClassifierSettings(clip=None), ["it has no detector clip"]),
        (ClassifierSettings(nudity=None), ["it has no detector nudity"]),
        (ClassifierSettings(nudity=NuditySettings(threads=1)), []),
    ],
)
def test_what_must_be_equal(settings: ClassifierSettings, said: list[str]) -> None:
    there = {name: Told(asks, "i", InputSpec((1, 1), "pad")) for name, asks in asked(settings, CONCEPTS).items()}
    assert differences(asked(SETTINGS, CONCEPTS), there) == said


def test_other_concepts_and_other_detectors() -> None:
    there = {name: Told(asks, "i", InputSpec((1, 1), "pad")) for name, asks in asked(SETTINGS, OTHER).items()}
    (said,) = differences(asked(SETTINGS, CONCEPTS), there)
    assert said.startswith("clip.concepts is ")
    assert differences(asked(ClassifierSettings(clip=None), {}), there) == ["it has a detector clip, which is off here"]


def test_the_key_hangs_on_all_that_must_be_equal_and_on_nothing_else() -> None:
    one = Told({"model": "a"}, "i", InputSpec((1, 1), "pad"), "cuda")
    same = Told({"model": "a"}, "i", InputSpec((1, 1), "pad"), "cpu")
    assert key({"clip": one}) == key({"clip": same})
    others = [
        {"nudity": one},
        {"clip": one, "nudity": one},
        {"clip": Told({"model": "b"}, "i", one.input)},
        {"clip": Told({"model": "a"}, "j", one.input)},
        {"clip": Told({"model": "a"}, "i", InputSpec((1, 2), "pad"))},
    ]
    assert len({key(other) for other in (*others, {"clip": one})}) == 6


def test_what_a_worker_says_of_itself() -> None:
    asks = asked(ClassifierSettings(nudity=None), CONCEPTS)
    assert told([Sleeps()], asks) == {"clip": Told(asks["clip"], "sleeps-1", InputSpec((16, 16), "squash"))}


def test_symbols() -> None:
    found = symbols(SETTINGS, CONCEPTS)
    assert found["clip"] == {"clip.x"}
    assert "nudity.explicit" in found["nudity"]
    assert symbols(ClassifierSettings(clip=None, nudity=None), CONCEPTS) == {}


def test_a_door_loads_no_model() -> None:
    script = (
        "import sys\n"
        "from classifier.settings import *\n"
        "from classifier.starting import load\n"
        "workers = WorkersSettings(nats=('nats://127.0.0.1:1',))\n"
        "if __name__ == '__main__':\n"
        "    settings = ClassifierSettings(decode=DecodeSettings(processes=1), workers=workers)\n"
        "    parts = load(settings, {'x': Concept(prompts=('a',), against=('b',))})\n"
        "    heavy = {'torch', 'open_clip', 'nudenet', 'onnxruntime', 'mitmproxy'}\n"
        "    print(heavy & set(sys.modules), len(parts.backend.symbols))\n"
        "    parts.decoder.stop()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "set() 5\n"
