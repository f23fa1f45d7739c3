"""What leaves a decoding process: places of tiles, their bound, and the drift against a plain full-size preparation."""

import io
from collections.abc import Iterator

import numpy as np
import open_clip
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from classifier.decode import prepare
from classifier.detectors.nudity import INPUT
from classifier.frames import MAX_ROWS, Bounds, Decoded, Prepared, Undecoded, frame_of
from classifier.inputs import MOST, InputSpec, Rows
from classifier.openclip.pixels import Pixels
from classifier.preparing import prepare_file, prepared
from classifier.presets import shapes, tiny
from tests.drawing import animation, encode, textured

BOUNDS = Bounds(pixels=64_000_000, frames=8, seconds=20.0)
INPUTS = {"clip": InputSpec((224, 224), "squash"), "nudity": INPUT}


@pytest.fixture(autouse=True, scope="module")
def _prepared() -> Iterator[None]:
    """What a decoding process does at its start."""
    import warnings

    with warnings.catch_warnings():
        prepare()
        yield


def done(data: bytes, inputs: dict[str, InputSpec] = INPUTS) -> Prepared:
    result = prepare_file(data, BOUNDS, inputs)
    assert isinstance(result, Prepared), result
    return result


def strips(count: int) -> Decoded:
    """A file of so many long frames."""
    frames = tuple(frame_of(n, "", np.full((20, 2000, 3), n % 256, np.uint8)) for n in range(count))
    return Decoded("image/gif", 2000, 20, count, frames)


@pytest.mark.parametrize(
    ("count", "each"), [(1, MOST), (6, MOST), (7, 13), (24, 4), (48, 2), (49, 1), (MAX_ROWS, 1), (MAX_ROWS + 1, 1)]
)
def test_tiles_of_a_file_are_bounded(count: int, each: int) -> None:
    """At the bound (6 × 16), past it, and past where there are no fewer: never a frame without a tile."""
    result = prepared(strips(count), INPUTS)
    for name, spec in INPUTS.items():
        tiles = result.rows[name]
        assert tiles.shape == (count * each, *spec.size, 3)
        assert len(tiles) <= max(MAX_ROWS, count)
        assert tiles.nbytes <= max(MAX_ROWS, count) * 3 * spec.size[0] * spec.size[1]
        assert [frame.rows[name] for frame in result.frames] == [(n * each, (n + 1) * each) for n in range(count)]
        for number, frame in enumerate(result.frames):
            start, stop = frame.rows[name]
            assert tiles[start:stop].max() == number % 256


def test_eight_frames_of_three_views_of_a_strip() -> None:
    images = []
    for number in range(9):
        image = textured(number, 1600, 40).convert("RGBA")
        image.putalpha(textured(number + 50, 1600, 40).convert("L"))
        images.append(image)
    result = done(animation(images, "PNG"))
    assert [(frame.index, frame.ground) for frame in result.frames[:3]] == [(0, "white"), (0, "black"), (0, "bare")]
    assert len(result.frames) == 24
    assert {name: len(tiles) for name, tiles in result.rows.items()} == {"clip": MAX_ROWS, "nudity": MAX_ROWS}


@pytest.mark.parametrize("size", [(1, 1), (1, 20_000), (20_000, 1), (3, 5000), (1024, 768), (8000, 8000)])
@pytest.mark.parametrize("format", ["PNG", "JPEG"])
def test_any_shape(size: tuple[int, int], format: str) -> None:
    result = done(encode(Image.new("RGB", size, (90, 90, 90)), format))
    assert (result.width, result.height) == size
    assert all(1 <= len(tiles) <= MOST for tiles in result.rows.values())
    assert (np.abs(result.rows["clip"].astype(int) - 90) <= 1).all()


def test_no_detector_no_tiles_but_a_hash() -> None:
    result = done(encode(textured(1), "PNG"), {})
    assert (result.rows, result.frames[0].rows) == ({}, {})
    assert result.frames[0].quality == 100


def test_what_cannot_be_decoded_stays_so() -> None:
    assert isinstance(prepare_file(b"", BOUNDS, INPUTS), Undecoded)


def test_the_hash_is_the_same_whatever_the_detectors_take() -> None:
    data = encode(textured(3, 1024, 768), "JPEG", quality=90)
    hashes = {
        done(data, {"one": InputSpec((side, side), "squash")} if side else {}).frames[0].pdq
        for side in (0, 16, 64, 600)
    }
    bits = [int(text, 16) for text in hashes]
    assert max((one ^ other).bit_count() for one in bits for other in bits) <= 6


def drawn(kind: str, size: tuple[int, int]) -> Image.Image:
    rng = np.random.default_rng(7)
    if kind == "grainy":
        levels = np.asarray(shapes.draw_ordinary(size=size, kind="clouds", rng=rng), np.int16)
        return Image.fromarray((levels + rng.integers(-30, 31, (size[1], size[0], 1))).clip(0, 255).astype(np.uint8))
    if kind == "circle":
        return shapes.draw("red", "circle", size=size, rng=rng)
    return shapes.draw_ordinary(size=size, kind=kind, rng=rng)  # type: ignore[arg-type]


PICTURES = [
    (kind, size, format)
    for kind in ("clouds", "grainy", "circle", "several", "checks", "stripes")
    for size, format in (((1024, 768), "JPEG"), ((2000, 1500), "JPEG"), ((901, 677), "JPEG"), ((1023, 767), "PNG"))
]


@pytest.mark.parametrize(("name", "weights"), [(tiny.MODEL, str(tiny.STATE_FILE)), ("ViT-B-32", None)])
def test_the_embedding_is_that_of_the_full_picture(name: str, weights: str | None) -> None:
    """Against plainly opened files and open_clip's own preparation. The ViT-B-32 has random weights."""
    tiny.register()
    torch.manual_seed(5)
    model, _, preprocess = open_clip.create_model_and_transforms(name, weights)
    model.eval()
    pixels = Pixels.of(model.visual.preprocess_cfg)
    inputs = {"clip": pixels.spec(whole=False)}
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (pixels.mean, pixels.std))

    def embedded(tensors: list[torch.Tensor]) -> NDArray[np.float32]:
        with torch.inference_mode():
            return np.asarray(model.encode_image(torch.stack(tensors), normalize=True))

    def tensor(tiles: Rows) -> torch.Tensor:
        assert len(tiles) == 1
        return (torch.from_numpy(tiles[0]).permute(2, 0, 1).float() / 255 - mean) / std

    files = [encode(drawn(kind, size), format, quality=85) for kind, size, format in PICTURES]
    plain = embedded([preprocess(Image.open(io.BytesIO(data)).convert("RGB")) for data in files])
    ours = embedded([tensor(done(data, inputs).rows["clip"]) for data in files])
    for picture, cosine in zip(PICTURES, (plain * ours).sum(axis=1), strict=True):
        assert cosine >= 0.999, picture
    # Other pictures are far away, so that the bound above says something.
    assert float(np.median(plain @ plain.T)) < 0.97
