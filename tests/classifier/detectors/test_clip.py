"""The clip detector with the tiny model and with random weights: scores, versions, and every refusal to start."""

import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from classifier import CannotJudgeError, CannotStartError, Detector
from classifier.detectors.clip import ClipDetector
from classifier.inputs import Rows, rows
from classifier.presets import load as load_preset
from classifier.presets import shapes, tiny
from classifier.settings import ClipSettings, Concept

TINY = ClipSettings(model=tiny.MODEL, pretrained=tiny.PRETRAINED)
SHADE = {"shade": Concept(prompts=("a red circle", "a blue circle"), against=("a pattern", "a green star"))}


@pytest.fixture(scope="module")
def detector() -> ClipDetector:
    return ClipDetector.load(TINY, load_preset("demo-shapes"))


def row(colour: shapes.Colour, shape: shapes.Shape, seed: int = 1, size: int = 64) -> Rows:
    """One drawing as the decoding process gives it to the model: uint8 [1, size, size, 3]."""
    drawn = shapes.draw(colour, shape, size=2 * size, rng=np.random.default_rng(seed))
    return np.asarray(drawn.resize((size, size), Image.Resampling.BICUBIC))[None]


def test_it_is_a_detector(detector: ClipDetector) -> None:
    same: Detector = detector
    assert same.name == "clip"
    assert same.symbols == {f"clip.{name}" for name in load_preset("demo-shapes")}
    assert same.version.startswith("clip:fediward-tiny:")


def test_each_drawing_scores_for_what_it_is(detector: ClipDetector) -> None:
    drawn = [row("red", "circle"), row("blue", "square"), row("purple", "cross")]
    red, blue, neither = detector.judge(np.concatenate(drawn))
    assert red["clip.red_circle"] > 0.8 > 0.2 > red["clip.blue_square"]
    assert blue["clip.blue_square"] > 0.8 > 0.2 > blue["clip.red_circle"]
    assert max(neither["clip.red_circle"], neither["clip.blue_square"]) < 0.2
    assert all(set(scores) == detector.symbols for scores in (red, blue, neither))
    assert all(type(score) is float and 0 <= score <= 1 for score in red.values())


def test_the_score_is_open_clips_own_softmax(detector: ClipDetector) -> None:
    own = ClipDetector(detector.model, SHADE, whole=False)
    picture = shapes.draw("red", "circle", size=100, rng=np.random.default_rng(4))
    model, _, preprocess = open_clip.create_model_and_transforms(tiny.MODEL, str(tiny.STATE_FILE))
    model.eval()
    words = open_clip.get_tokenizer(tiny.MODEL)(["a red circle", "a blue circle", "a pattern", "a green star"])
    with torch.inference_mode():
        image, text, scale = model(preprocess(picture).unsqueeze(0), words)
        expected = float((scale * image @ text.T).softmax(1)[0, :2].sum())
    prepared = rows(np.asarray(picture), own.input)
    assert own.judge(prepared)[0]["clip.shade"] == pytest.approx(expected, abs=1e-4)


def test_a_cosine_is_open_clips_own(detector: ClipDetector) -> None:
    concepts = {
        "both": Concept(prompts=("a red circle", "a blue square"), score="cosine"),
        "shade": SHADE["shade"],
        "far": Concept(prompts=("a blue square",), score="cosine"),
    }
    own = ClipDetector(detector.model, concepts)
    picture = shapes.draw("red", "circle", size=100, rng=np.random.default_rng(4))
    model, _, preprocess = open_clip.create_model_and_transforms(tiny.MODEL, str(tiny.STATE_FILE))
    model.eval()
    words = open_clip.get_tokenizer(tiny.MODEL)(["a red circle", "a blue square"])
    with torch.inference_mode():
        image, text, _ = model(preprocess(picture).unsqueeze(0), words)
        red, blue = (image @ text.T)[0].tolist()
    (found,) = own.judge(rows(np.asarray(picture), own.input))
    assert found["clip.both"] == pytest.approx(max(red, blue), abs=1e-3)
    assert found["clip.far"] == pytest.approx(max(blue, 0.0), abs=1e-3)
    assert found["clip.shade"] == pytest.approx(
        ClipDetector(detector.model, SHADE).judge(rows(np.asarray(picture), own.input))[0]["clip.shade"], abs=1e-4
    )
    assert own.symbols == {"clip.both", "clip.shade", "clip.far"}


def test_no_rows_no_scores(detector: ClipDetector) -> None:
    none = np.empty((0, 64, 64, 3), np.uint8)
    assert detector.judge(none) == []
    assert detector.model.rows(none).shape == (0, detector.model.dimensions)


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_batches_are_cut_and_kept_in_order(detector: ClipDetector, more: int) -> None:
    count = detector.batch + more
    pictures = np.concatenate([row("red", "circle"), row("green", "triangle"), row("yellow", "star")])
    alone = [scores["clip.red_circle"] for scores in detector.judge(pictures)]
    together = detector.judge(pictures[np.arange(count) % 3])
    assert [scores["clip.red_circle"] for scores in together] == pytest.approx(
        [alone[n % 3] for n in range(count)], abs=1e-4
    )


def test_nan_is_an_error_and_never_a_score(detector: ClipDetector) -> None:
    embeddings = detector.model.rows(row("red", "circle"))
    embeddings[0, 0] = np.nan
    with pytest.raises(CannotJudgeError, match="NaN") as caught:
        detector.score(embeddings)
    assert caught.value.cause == "detector_error"


def test_the_version_hangs_on_model_words_and_precision(detector: ClipDetector) -> None:
    again = ClipDetector(detector.model, load_preset("demo-shapes"))
    other_words = ClipDetector(detector.model, SHADE)
    low = ClipDetector.load(TINY.model_copy(update={"precision": "bf16"}), SHADE)
    assert again.version == detector.version
    assert len({detector.version, other_words.version, low.version}) == 3
    red = row("red", "circle")
    assert low.judge(red)[0]["clip.shade"] == pytest.approx(other_words.judge(red)[0]["clip.shade"], abs=0.02)


def test_threads_are_set() -> None:
    before = torch.get_num_threads()
    try:
        ClipDetector.load(TINY, SHADE, threads=1)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_without_concepts_it_does_not_start(detector: ClipDetector) -> None:
    with pytest.raises(CannotStartError, match="no concept"):
        ClipDetector(detector.model, {})


def prompt(words: int) -> Mapping[str, Concept]:
    return {"long": Concept(prompts=(" ".join(["red"] * words),), against=("a pattern",))}


def test_a_prompt_may_fill_the_models_context_and_not_one_token_more(detector: ClipDetector) -> None:
    assert ClipDetector(detector.model, prompt(46)).symbols == {"clip.long"}  # 48 tokens with start and end
    with pytest.raises(CannotStartError, match="49 tokens long, but fediward-tiny reads only 48"):
        ClipDetector(detector.model, prompt(47))


def state(tmp_path: Path, **changes: torch.Tensor) -> Path:
    file = tmp_path / "weights.safetensors"
    save_file(load_file(tiny.STATE_FILE) | changes, file)
    return file


def test_a_local_checkpoint_is_loaded(tmp_path: Path, detector: ClipDetector) -> None:
    file = state(tmp_path)
    found = ClipDetector.load(TINY.model_copy(update={"pretrained": str(file)}), load_preset("demo-shapes"))
    red = row("red", "circle")
    assert found.judge(red) == detector.judge(red)


def truncated(tmp_path: Path) -> Path:
    file = tmp_path / "truncated.safetensors"
    file.write_bytes(tiny.STATE_FILE.read_bytes()[:100_000])
    return file


def text_file(tmp_path: Path) -> Path:
    file = tmp_path / "page.pt"
    file.write_text("<!doctype html>not found")
    return file


def pickled_code(tmp_path: Path) -> Path:
    file = tmp_path / "code.pt"
    torch.save({"state_dict": {"visual": sys.exit}}, file)
    return file


def with_nan(tmp_path: Path) -> Path:
    return state(tmp_path, text_projection=torch.full((32, 64), torch.nan))


def with_too_large_a_scale(tmp_path: Path) -> Path:
    return state(tmp_path, logit_scale=torch.tensor(1000.0))


def another_architecture(tmp_path: Path) -> Path:
    return state(tmp_path, text_projection=torch.zeros(32, 32))


def missing_layer(tmp_path: Path) -> Path:
    file = tmp_path / "missing.safetensors"
    save_file({n: v for n, v in load_file(tiny.STATE_FILE).items() if "layer3" not in n}, file)
    return file


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (truncated, "truncated"),
        (text_file, "cannot use the weights"),
        (pickled_code, "weights_only"),
        (with_nan, "text_projection"),
        (with_too_large_a_scale, "NaN"),
        (another_architecture, "size mismatch"),
        (missing_layer, "Missing key"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_bad_checkpoint_does_not_start(tmp_path: Path, make: Callable[[Path], Path], said: str) -> None:
    file = make(tmp_path)
    with pytest.raises(CannotStartError) as caught:
        ClipDetector.load(TINY.model_copy(update={"pretrained": str(file)}), SHADE)
    message = str(caught.value)
    assert said in message
    assert str(file) in message
    assert "models verify" in message
    assert len(message) < 700


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": "ViT-L-14", "pretrained": "openai"}, "fediward models pull ViT-L-14 openai"),
        ({"model": "ViT-L-14-", "pretrained": "openai"}, "did you mean 'ViT-L-14'"),
        ({"model": "ViT-L-14", "pretrained": "openia"}, "did you mean 'openai'"),
        ({"model": "ViT-L-14", "pretrained": "/nowhere/weights.pt"}, "no checkpoint file /nowhere/weights.pt"),
        ({"model": "fediward-tiny", "pretrained": "openai"}, "demo-shapes"),
        ({"model": "local-dir:/nowhere", "pretrained": ""}, "no checkpoint in the folder '/nowhere'"),
        ({"model": "hf-hub:nobody/nothing", "pretrained": ""}, "fediward models pull hf-hub:nobody/nothing"),
        ({"device": "gpu"}, "'gpu' is none that torch knows"),
        ({"device": "meta"}, "'meta' is not supported"),
    ],
    ids=str,
)
def test_what_cannot_be_had_is_said(
    changes: dict[str, str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(CannotStartError) as caught:
        ClipDetector.load(TINY.model_copy(update=changes), SHADE)
    assert said in str(caught.value)


@pytest.mark.parametrize("device", ["cuda", "cuda:99"])
def test_cuda_that_is_not_there_is_refused(device: str) -> None:
    if device == "cuda" and torch.cuda.is_available():
        assert ClipDetector.load(TINY.model_copy(update={"device": device}), SHADE).model.precision == "fp16"
        return
    with pytest.raises(CannotStartError, match="CUDA"):
        ClipDetector.load(TINY.model_copy(update={"device": device}), SHADE)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_on_cuda_two_threads_get_the_scores_of_the_cpu(detector: ClipDetector, precision: str) -> None:
    cuda = ClipDetector.load(
        TINY.model_copy(update={"device": "cuda", "precision": precision}), load_preset("demo-shapes")
    )
    assert cuda.depth == 2
    one, other = (
        np.concatenate([row(colour, "circle", seed) for seed in range(cuda.batch + 1)]) for colour in ("red", "blue")
    )
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(cuda.judge, [one, other] * 10))
    for scores, expected in zip(found, [detector.judge(one), detector.judge(other)] * 10, strict=True):
        for ours, theirs in zip(scores, expected, strict=True):
            assert ours == pytest.approx(theirs, abs=0.05)


def test_importing_it_brings_no_torch_and_without_torch_it_says_what_to_install() -> None:
    code = """
import sys
from classifier.detectors.clip import ClipDetector
from classifier import CannotStartError
from classifier.settings import ClipSettings
assert "torch" not in sys.modules and "open_clip" not in sys.modules
sys.modules["open_clip"] = None
try:
    ClipDetector.load(ClipSettings(), {})
except CannotStartError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "fediward[clip]" in done.stdout
