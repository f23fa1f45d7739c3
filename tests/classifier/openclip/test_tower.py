"""The vision transformer in our own steps, against open_clip's, with random weights of every shape that it takes."""

import functools
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from torch.nn.functional import cosine_similarity, normalize

from classifier.openclip.pixels import Pixels
from classifier.openclip.tower import Tower, fits
from classifier.presets import tiny

PIXELS = Pixels((56, 56), (0.48, 0.46, 0.41), (0.27, 0.26, 0.28), "bicubic", "shortest")


def vit(**changes: Any) -> open_clip.transformer.VisionTransformer:
    """A small one, every weight of it drawn, biases and norms too: open_clip starts those at 0 and 1."""
    given: dict[str, Any] = {"image_size": 56, "patch_size": 14, "width": 64, "layers": 3, "heads": 2}
    given |= {"mlp_ratio": 4.0, "output_dim": 32} | changes
    torch.manual_seed(1)
    made = open_clip.transformer.VisionTransformer(**given)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return made.eval()


def pictures(count: int, size: tuple[int, int] = (56, 56)) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(2).integers(0, 256, (count, *size, 3), dtype=np.uint8))


def expected(visual: Any, rows: torch.Tensor, pixels: Pixels = PIXELS) -> torch.Tensor:
    """As open_clip's own transform and model do it."""
    planes = rows.permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (pixels.mean, pixels.std))
    return normalize(visual((planes - mean) / std), dim=-1)


QUICK = {"act_layer": open_clip.transformer.QuickGELU}
SHAPES: dict[str, tuple[dict[str, Any], tuple[int, int]]] = {
    "gelu": ({}, (56, 56)),
    "quickgelu": (QUICK, (56, 56)),
    "gelu by tanh": ({"act_layer": functools.partial(torch.nn.GELU, approximate="tanh")}, (56, 56)),
    "patches of 16": ({"image_size": 64, "patch_size": 16}, (64, 64)),
    "not square": ({"image_size": (28, 70)}, (28, 70)),
    "no norm before": ({"no_ln_pre": True}, (56, 56)),
    "norm after the pool": ({"final_ln_after_pool": True}, (56, 56)),
    "one block": ({"layers": 1}, (56, 56)),
}


@pytest.mark.parametrize(("changes", "size"), SHAPES.values(), ids=SHAPES)
@torch.inference_mode()
def test_it_gives_open_clips_embeddings(changes: dict[str, Any], size: tuple[int, int]) -> None:
    visual = vit(**changes)
    pixels = Pixels(size, PIXELS.mean, PIXELS.std, "bicubic", "shortest")
    assert fits(visual, pixels)
    rows = pictures(5, size)
    found = Tower(visual, pixels, torch.float32, "cpu")(rows)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected(visual, rows, pixels), rtol=0, atol=1e-5)


@pytest.mark.parametrize("changes", [{}, QUICK], ids=["gelu", "quickgelu"])
@torch.inference_mode()
def test_half_precision_is_near_it_and_nearer_than_open_clips_own(changes: dict[str, Any]) -> None:
    visual, rows = vit(**changes), pictures(16)
    exact = expected(visual, rows)
    found = Tower(visual, PIXELS, torch.bfloat16, "cpu")(rows)
    planes = rows.permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (PIXELS.mean, PIXELS.std))
    theirs = visual.to(torch.bfloat16)(((planes - mean) / std).bfloat16()).float()
    ours = 1 - cosine_similarity(found, exact)
    assert ours.max() < 1e-4
    assert ours.mean() < (1 - cosine_similarity(theirs, exact)).mean()


@torch.inference_mode()
def test_a_batch_gives_each_row_its_own() -> None:
    tower, rows = Tower(vit(), PIXELS, torch.float32, "cpu"), pictures(7)
    alone = torch.cat([tower(row[None]) for row in rows])
    torch.testing.assert_close(tower(rows), alone, rtol=0, atol=1e-5)


REFUSED: dict[str, dict[str, Any]] = {
    "layer scale": {"ls_init_value": 0.1},
    "pooled by attention": {"attentional_pool": True},
    "pooled by mean": {"pool_type": "avg"},
    "blocks of another kind": {"qk_norm": True},
    "tokens beside the embedding": {"output_tokens": True},
    "another activation": {"act_layer": torch.nn.ReLU},
}


@pytest.mark.parametrize("changes", REFUSED.values(), ids=REFUSED)
def test_what_it_cannot_compute_it_leaves_to_open_clip(changes: dict[str, Any]) -> None:
    assert not fits(vit(**changes), PIXELS)


def test_pictures_of_another_size_and_other_networks_are_left_to_open_clip() -> None:
    assert not fits(vit(), Pixels((70, 70), PIXELS.mean, PIXELS.std, "bicubic", "shortest"))
    tiny.register()
    assert not fits(open_clip.create_model(tiny.MODEL, str(tiny.STATE_FILE)).visual, PIXELS)
