"""Finds an open_clip model's weights on this machine, and never on the network unless told to pull them."""

import difflib
import hashlib
import importlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from classifier.presets import tiny
from classifier.types import CannotStartError

HOW_TO_INSTALL = "install fediward with its extra: pip install 'fediward[clip]'"
_PREPROCESS_KEYS = ("mean", "std", "interpolation", "resize_mode")
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Weights:
    """Where one model's weights lie and how open_clip is to build the model around them.

    ``pretrained`` is None where the model's own name says where its weights are (``hf-hub:``, ``local-dir:``).
    """

    model: str
    file: Path
    pretrained: str | None
    preprocess: Mapping[str, Any] = field(default_factory=dict)
    quick_gelu: bool = False


def open_clip() -> Any:
    """The open_clip module, with the tiny model known to it; imported late, since it brings torch.

    Raises CannotStartError without the extra ``clip``.
    """
    try:
        module = importlib.import_module("open_clip")
    except ImportError as error:
        raise CannotStartError(f"the clip detector needs torch and open_clip ({error}); {HOW_TO_INSTALL}") from error
    tiny.register()
    return module


@contextmanager
def offline() -> Iterator[None]:
    """Within it Hugging Face's libraries take files from their cache only: starting up never downloads."""
    from huggingface_hub import constants

    was, environment = constants.HF_HUB_OFFLINE, os.environ.get("HF_HUB_OFFLINE")
    # transformers reads the variable when it is first imported, huggingface_hub its own constant on each request.
    constants.HF_HUB_OFFLINE, os.environ["HF_HUB_OFFLINE"] = True, "1"
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = was
        if environment is None:
            os.environ.pop("HF_HUB_OFFLINE", None)
        else:
            os.environ["HF_HUB_OFFLINE"] = environment


def find(model: str, pretrained: str) -> Weights:
    """The weights of ``model``/``pretrained`` (a tag of open_clip's, or a checkpoint's path) on this machine.

    Raises CannotStartError where open_clip has no such model or tag, or the weights are not here.
    """
    clip = open_clip()
    if model.startswith(("hf-hub:", "local-dir:")):
        return _by_schema(clip, model)
    model = model.replace("/", "-")  # as open_clip itself does
    if model not in clip.list_models():
        raise CannotStartError(f"open_clip has no model {model!r}{_nearest(model, clip.list_models())}")
    tags = [tiny.PRETRAINED] if model == tiny.MODEL else clip.list_pretrained_tags_by_model(model)
    if model == tiny.MODEL and pretrained == tiny.PRETRAINED:
        return Weights(model, tiny.STATE_FILE, str(tiny.STATE_FILE))
    if clip.is_pretrained_cfg(model, pretrained):
        config = clip.get_pretrained_cfg(model, pretrained)
        file = _cached(config)
        if file is None:
            raise CannotStartError(
                f"the weights of {model}/{pretrained} are not on this machine; "
                f"get them with: fediward models pull {model} {pretrained}"
            )
        # Some tags were trained with another activation than the model's plain name gives; open_clip only warns of it.
        return Weights(model, file, str(file), _preprocess([config]), bool(config.get("quick_gelu", False)))
    file = Path(pretrained)
    if file.is_file():
        return Weights(model, file, str(file), _preprocess([clip.get_pretrained_cfg(model, tag) for tag in tags]))
    if os.sep in pretrained or file.suffix:
        raise CannotStartError(f"there is no checkpoint file {pretrained}")
    raise CannotStartError(
        f"open_clip has no weights {pretrained!r} for {model}{_nearest(pretrained, tags)}; "
        f"there are: {', '.join(tags) or 'none (give the path of a checkpoint)'}"
    )


def present(model: str, tag: str) -> Path | None:
    """The file of a pretrained tag, or None where it has not been downloaded."""
    if model == tiny.MODEL:
        return tiny.STATE_FILE
    return _cached(open_clip().get_pretrained_cfg(model, tag))


def pull(model: str, pretrained: str | None) -> Path:
    """Download weights, and the tokenizer where it is not open_clip's own, by open_clip's own means; shows progress.

    Raises CannotStartError where there are none of that name, or they cannot be had.
    """
    clip = open_clip()
    name = model.replace("/", "-") if not model.startswith("hf-hub:") else model
    if name.startswith("hf-hub:"):
        download = clip.pretrained.download_pretrained_from_hf
        wanted: Any = name.removeprefix("hf-hub:")
    elif name == tiny.MODEL and pretrained == tiny.PRETRAINED:
        return tiny.STATE_FILE
    elif pretrained is None or not clip.is_pretrained_cfg(name, pretrained):
        tags = clip.list_pretrained_tags_by_model(name)
        if not tags:
            raise CannotStartError(f"open_clip has no weights for {model!r}{_nearest(name, clip.list_models())}")
        said = f"open_clip has no weights {pretrained!r} for {model}" if pretrained else f"say which weights of {model}"
        raise CannotStartError(f"{said}; there are: {', '.join(tags)}")
    else:
        download, wanted = clip.download_pretrained, clip.get_pretrained_cfg(name, pretrained)
    try:
        file = Path(download(wanted))
        # Some models' words are split by a tokenizer of its own, which is a download too.
        clip.get_tokenizer(name)
    # Network, disk and Hugging Face's own errors, and ImportError for a tokenizer that needs another library.
    except Exception as error:
        raise CannotStartError(
            f"cannot download {model}{f'/{pretrained}' if pretrained else ''}: {error} "
            "(is this machine online? behind a proxy, set HTTPS_PROXY; or copy a checkpoint here and give its path)"
        ) from error
    return file


def sha256(file: Path) -> str:
    """SHA-256 of a file as hex digits, read in chunks.

    Raises CannotStartError where it cannot be read, or where Hugging Face's cache says that it should have another.
    """
    digest = hashlib.sha256()
    try:
        with file.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise CannotStartError(f"cannot read the weights {file}: {error.strerror}") from error
    found = digest.hexdigest()
    # Large files in that cache are links to blobs which are named by their SHA-256.
    blob = file.resolve()
    named_by_hash = blob.parent.name == "blobs" and len(blob.name) == 64
    if named_by_hash and blob.name != found:
        raise CannotStartError(
            f"the weights {file} are damaged (their SHA-256 is {found}); delete {blob} and pull again"
        )
    return found


def _by_schema(clip: Any, model: str) -> Weights:
    """Weights of a model whose name says where it is."""
    schema, place = model.split(":", 1)
    if schema == "local-dir":
        file = clip.factory._find_checkpoint_in_dir(Path(place)) if Path(place).is_dir() else None
        if file is None:
            raise CannotStartError(f"there is no checkpoint in the folder {place!r} (model: {model})")
    else:
        try:
            with offline():
                file = clip.pretrained.download_pretrained_from_hf(place)
        except Exception as error:
            raise CannotStartError(
                f"the weights of {model} are not on this machine; get them with: fediward models pull {model}"
            ) from error
    return Weights(model, Path(file), None)


def _cached(config: Mapping[str, Any]) -> Path | None:
    """A pretrained tag's file in the caches that open_clip uses, without a request."""
    from open_clip.pretrained import download_pretrained

    if not config.get("hf_hub"):
        name = str(config.get("url", "")).rsplit("/", 1)[-1]
        file = Path("~/.cache/clip").expanduser() / name
        return file if name and file.is_file() else None
    try:
        with offline():
            return Path(download_pretrained(config))
    except (OSError, RuntimeError):
        return None


def _preprocess(configs: list[Mapping[str, Any]]) -> dict[str, Any]:
    """What all these tags say alike of preprocessing: a local checkpoint is prepared for as its model's tags are."""
    if not configs:
        return {}
    first = configs[0]
    return {
        key: first[key] for key in _PREPROCESS_KEYS if key in first and all(c.get(key) == first[key] for c in configs)
    }


def _nearest(word: str, words: list[str]) -> str:
    near = difflib.get_close_matches(word, words, 1)
    return f"; did you mean {near[0]!r}?" if near else ""
