"""Finding weights in open_clip's cache, with files that only look like weights: nothing here is loaded or fetched."""

import hashlib
import os
from pathlib import Path

import pytest
from huggingface_hub import constants

from classifier import CannotStartError
from classifier.openclip import weights

CONTENT = b"only looks like weights"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    return tmp_path


def put(cache: Path, repository: str, name: str = "open_clip_model.safetensors", blob: str | None = None) -> Path:
    """A file as Hugging Face's cache holds it: a link to a blob that is named by its SHA-256."""
    place = cache / f"models--{repository.replace('/', '--')}"
    revision = "a" * 40
    snapshot = place / "snapshots" / revision
    for folder in (place / "refs", place / "blobs", snapshot):
        folder.mkdir(parents=True, exist_ok=True)
    (place / "refs" / "main").write_text(revision)
    kept = place / "blobs" / (blob or hashlib.sha256(CONTENT).hexdigest())
    kept.write_bytes(CONTENT)
    (snapshot / name).symlink_to(kept)
    return snapshot / name


def test_a_tag_is_found_in_the_cache_with_how_it_was_trained(cache: Path) -> None:
    assert weights.present("ViT-L-14", "openai") is None
    file = put(cache, "timm/vit_large_patch14_clip_224.openai")
    assert weights.present("ViT-L-14", "openai") == file
    found = weights.find("ViT-L-14", "openai")
    assert found.file == file
    # The plain name's activation is GELU; these weights were trained with QuickGELU and score wrongly without it.
    assert found.quick_gelu
    assert found.preprocess["resize_mode"] == "shortest"
    assert weights.find("ViT/L-14", "openai") == found


def test_a_tag_without_quick_gelu_does_not_get_it(cache: Path) -> None:
    put(cache, "laion/CLIP-ViT-L-14-laion2B-s32B-b82K")
    assert not weights.find("ViT-L-14", "laion2b_s32b_b82k").quick_gelu


def test_a_model_of_a_hub_is_found(cache: Path) -> None:
    file = put(cache, "someone/model")
    found = weights.find("hf-hub:someone/model", "")
    assert (found.file, found.pretrained) == (file, None)


def test_a_local_checkpoint_is_prepared_for_as_its_models_tags_are(tmp_path: Path) -> None:
    file = tmp_path / "weights.pt"
    file.write_bytes(CONTENT)
    siglip = weights.find("ViT-B-16-SigLIP", str(file))
    assert siglip.preprocess == {
        "mean": (0.5, 0.5, 0.5),
        "std": (0.5, 0.5, 0.5),
        "interpolation": "bicubic",
        "resize_mode": "squash",
    }
    assert weights.find("fediward-tiny", str(file)).preprocess == {}


def test_a_folder_is_found(tmp_path: Path) -> None:
    file = tmp_path / "open_clip_model.safetensors"
    file.write_bytes(CONTENT)
    assert weights.find(f"local-dir:{tmp_path}", "").file == file


def test_the_sha256_is_the_files(tmp_path: Path) -> None:
    file = tmp_path / "weights.pt"
    content = os.urandom((1 << 20) + 1)  # one byte more than a chunk
    file.write_bytes(content)
    assert weights.sha256(file) == hashlib.sha256(content).hexdigest()


def test_a_damaged_download_is_told_by_its_name(cache: Path) -> None:
    good = put(cache, "timm/good")
    assert weights.sha256(good) == hashlib.sha256(CONTENT).hexdigest()
    damaged = put(cache, "timm/damaged", blob="0" * 64)
    with pytest.raises(CannotStartError, match=r"damaged.*pull again"):
        weights.sha256(damaged)


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(CannotStartError, match="cannot read the weights"):
        weights.sha256(tmp_path)


@pytest.mark.parametrize("before", [None, "0", "1"])
def test_offline_leaves_everything_as_it_was(monkeypatch: pytest.MonkeyPatch, cache: Path, before: str | None) -> None:
    if before is not None:
        monkeypatch.setenv("HF_HUB_OFFLINE", before)
    within: list[tuple[bool, str]] = []

    def fail() -> None:
        with weights.offline():
            within.append((constants.HF_HUB_OFFLINE, os.environ["HF_HUB_OFFLINE"]))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert within == [(True, "1")]
    assert not constants.HF_HUB_OFFLINE
    assert os.environ.get("HF_HUB_OFFLINE") == before
