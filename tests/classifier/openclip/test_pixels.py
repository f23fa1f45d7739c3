"""Preprocessing against open_clip's own, on textured pictures of odd sizes."""

import math

import numpy as np
import open_clip
import pytest
import torch
from numpy.typing import NDArray
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

from classifier.inputs import InputSpec, rows
from classifier.openclip.pixels import Pixels
from classifier.presets import shapes, tiny

# width, height: odd, tiny, upscaled, wide, tall, extreme, already right
SIZES = [(1023, 767), (333, 501), (37, 53), (1, 1), (64, 64), (1500, 90), (90, 1500), (65, 64), (224, 224)]


def texture(size: tuple[int, int], seed: int = 3) -> Image.Image:
    return shapes.draw_ordinary(size=size, kind="clouds", rng=np.random.default_rng(seed))


def theirs(config: PreprocessCfg, image: Image.Image) -> torch.Tensor:
    done = image_transform_v2(config, is_train=False)(image)
    assert isinstance(done, torch.Tensor)
    return done


def ours(pixels: Pixels, image: Image.Image) -> torch.Tensor:
    (row,) = rows(np.asarray(image), pixels.spec(whole=False))
    batch = torch.from_numpy(row).permute(2, 0, 1).float() / 255
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (pixels.mean, pixels.std))
    return (batch - mean) / std


def of(config: PreprocessCfg) -> Pixels:
    return Pixels.of(vars(config))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "config",
    [
        PreprocessCfg(size=64),
        PreprocessCfg(size=224),
        PreprocessCfg(size=(96, 96), interpolation="bilinear"),
        PreprocessCfg(size=64, resize_mode="squash", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
        PreprocessCfg(size=64, resize_mode="longest", fill_color=127),
        PreprocessCfg(size=(64, 96), interpolation="bilinear"),
        PreprocessCfg(size=(96, 64), resize_mode="longest"),
    ],
    ids=lambda c: f"{c.size}-{c.resize_mode}-{c.interpolation}",
)
def test_the_same_pixels_as_open_clip(config: PreprocessCfg, size: tuple[int, int]) -> None:
    image = texture(size)
    expected, found = theirs(config, image), ours(of(config), image)
    assert found.shape == expected.shape
    # Two grey levels of 255, over the smallest standard deviation: rounding of the crop window's edges.
    assert float((found - expected).abs().max()) <= 2.1 / 255 / min(config.std)


def embeddings(model: torch.nn.Module, pixels: list[torch.Tensor]) -> NDArray[np.float32]:
    with torch.inference_mode():
        found = model.encode_image(torch.stack(pixels), normalize=True)  # type: ignore[operator]  # open_clip is untyped
    return np.asarray(found)


@pytest.mark.parametrize(
    ("name", "weights", "sizes"),
    [
        (tiny.MODEL, str(tiny.STATE_FILE), SIZES),
        ("ViT-B-32", None, [(1023, 767), (333, 501), (37, 53), (1500, 90)]),
    ],
)
def test_the_same_embedding_as_open_clip(name: str, weights: str | None, sizes: list[tuple[int, int]]) -> None:
    tiny.register()
    torch.manual_seed(5)
    model, _, preprocess = open_clip.create_model_and_transforms(name, weights)
    model.eval()
    images = [texture(size, seed) for seed, size in enumerate(sizes)]
    expected = embeddings(model, [preprocess(image) for image in images])
    pixels = Pixels.of(model.visual.preprocess_cfg)
    found = embeddings(model, [ours(pixels, image) for image in images])
    assert ((expected * found).sum(1) >= 0.999).all()
    assert (np.abs((expected * expected).sum(1) - 1) < 1e-5).all()


@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("shape", [(1, 20_000), (20_000, 1)])
def test_a_line_of_pixels_costs_no_more_than_what_is_kept(mode: str, shape: tuple[int, int]) -> None:
    # open_clip would blow it up to 64 × 1,280,000 first, or fail where the short side rounds to 0.
    frame = np.full((*shape, 3), 200, np.uint8)
    found = rows(frame, of(PreprocessCfg(size=64, resize_mode=mode)).spec(whole=False))
    assert found.shape == (1, 64, 64, 3)
    assert found[0, 32, 32].tolist() == [200, 200, 200] or mode == "longest"
    assert (found == 200).any()


def test_frames_that_are_views_are_read_right() -> None:
    mirrored = np.asarray(texture((80, 60)))[:, ::-1]
    spec = of(PreprocessCfg(size=32)).spec(whole=False)
    assert (rows(mirrored, spec) == rows(mirrored.copy(), spec)).all()


@pytest.mark.parametrize(
    ("mode", "whole", "own"),
    [("shortest", "squash", "centre"), ("longest", "pad", "pad"), ("squash", "squash", "squash")],
)
def test_each_resize_mode_has_its_fit(mode: str, whole: str, own: str) -> None:
    pixels = of(PreprocessCfg(size=(96, 64), resize_mode=mode, interpolation="bilinear", fill_color=7))
    assert pixels.spec(whole=True).fit == whole
    spec = pixels.spec(whole=False)
    interpolation = "bicubic" if mode == "shortest" else "bilinear"  # as open_clip, where it keeps a shape not square
    assert spec == InputSpec((96, 64), spec.fit, pixels.interpolation, 7, math.inf)
    assert (spec.fit, spec.interpolation) == (own, interpolation)


def test_an_unknown_resize_mode_is_refused() -> None:
    config = vars(PreprocessCfg()) | {"resize_mode": "stretch"}
    with pytest.raises(ValueError, match="stretch"):
        Pixels.of(config)
