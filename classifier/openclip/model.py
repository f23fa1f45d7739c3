"""One open_clip model, loaded and proven to work: pictures and phrases to normalised embeddings."""

import logging
import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from classifier.inputs import Rows
from classifier.openclip.pixels import Pixels
from classifier.openclip.running import Direct, Embeddings, Encode, Runner
from classifier.openclip.tower import Tower, fits
from classifier.openclip.weights import Weights, find, offline, open_clip, sha256
from classifier.settings import ClipSettings
from classifier.types import CannotStartError

__all__ = ["Embeddings", "OpenClipModel"]

_log = logging.getLogger(__name__)

_SECONDS_CPU, _SECONDS_CUDA = 2.0, 5.0  # spent at the start on finding the best batch
_PARTS_SHOWN = 300  # characters of torch's message on a checkpoint that does not fit; it would list every layer


class OpenClipModel:
    """A model with its tokenizer and preprocessing. Its methods may be called from several threads.

    Words are always embedded in fp32; ``precision`` is that of pictures.
    """

    def __init__(
        self, weights: Weights, digest: str, device: str, precision: str, model: Any, tokenizer: Any, ways: int = 1
    ) -> None:
        """``model``: as open_clip builds it, in fp32 on ``device``; its image tower is taken out of it.

        ``ways``: threads of a CPU that share the rows of a batch.
        """
        self.name = weights.model
        self.weights_sha256 = digest
        self.device = device
        self.pixels = Pixels.of(model.visual.preprocess_cfg)
        self.scale = float(model.logit_scale.detach().float().exp())
        own = fits(model.visual, self.pixels)
        self.precision = _automatic(device, own=own) if precision == "auto" else precision
        self._model = model
        self._tokenizer = tokenizer
        encode = (
            _tower(model, self.pixels, self.precision, device)
            if own
            else _planes(model, self.pixels, self.precision, device)
        )
        self.run: Runner
        """Rows to embeddings on this device."""
        if device.startswith("cuda"):
            from classifier.openclip.cuda import Graphed

            self.run = Graphed(encode, self.pixels.size, device)
        else:
            self.run = Direct(encode, self.pixels.size, device, ways if device.startswith("cpu") else 1)

    @classmethod
    def load(cls, settings: ClipSettings, *, threads: int | None = None) -> "OpenClipModel":
        """Load from this machine's files and try one picture and one phrase.

        ``threads`` sets how many threads of a CPU torch puts on one row; the rows of a batch are shared out over
        ``settings.threads``, or as many as there are cores. Raises CannotStartError (no extra ``clip``, no
        weights, a bad checkpoint, no such device), saying what to do. Never downloads.
        """
        clip = open_clip()
        import torch

        if threads is not None:
            torch.set_num_threads(threads)
        device = _device(settings.device)
        weights = find(settings.model, settings.pretrained)
        digest = sha256(weights.file)
        try:
            with offline():
                built = clip.create_model(
                    weights.model,
                    weights.pretrained,
                    precision="fp32",
                    device=device,
                    force_quick_gelu=weights.quick_gelu,
                    force_preprocess_cfg=dict(weights.preprocess),
                    require_pretrained=True,
                ).eval()
                tokenizer = clip.get_tokenizer(weights.model)
            wrong = _spoilt(built)
            ways = settings.threads or len(os.sched_getaffinity(0))
            loaded = cls(weights, digest, device, settings.precision, built, tokenizer, ways)
        # torch, safetensors, pickle and open_clip each raise their own kinds on a file that is not what it should be.
        except Exception as error:
            raise CannotStartError(_bad(weights, f"{type(error).__name__}: {error}")) from error
        if wrong is None:
            wrong = loaded.try_out()
        if wrong is not None:
            raise CannotStartError(_bad(weights, wrong))
        return loaded

    @property
    def batch(self) -> int:
        """Rows in one forward pass."""
        return self.run.batch

    @property
    def depth(self) -> int:
        """Threads that may ask at once with profit."""
        return self.run.depth

    def measure(self) -> None:
        """Find the batch at which it judges the most rows a second: up to 2 s on a CPU, 5 s on CUDA, and one pass."""
        rates = self.run.measure(_SECONDS_CUDA if self.device.startswith("cuda") else _SECONDS_CPU)
        shown = ", ".join(f"{size}: {rate:.4g}" for size, rate in rates.items())
        where = f"on {self.device} in {self.precision}"
        _log.info("clip: %s %s judges %d rows at a time (rows/s by batch: %s)", self.name, where, self.batch, shown)

    @property
    def dimensions(self) -> int:
        """Length of an embedding."""
        return int(self.phrases(["a picture"]).shape[1])

    def rows(self, rows: Rows) -> Embeddings:
        """Embeddings of pictures in the model's own size (see ``pixels``), in order."""
        return self.run(rows) if len(rows) else np.empty((0, self.dimensions), np.float32)

    def phrases(self, phrases: Sequence[str]) -> Embeddings:
        """Embeddings of phrases, in order. Raises CannotStartError for one that the model would cut off."""
        import torch

        tokens = self._tokenizer(list(phrases))
        room = int(tokens.shape[1])
        if hasattr(self._tokenizer, "encode"):
            for phrase in phrases:
                length = len(self._tokenizer.encode(phrase)) + 2  # start and end of text
                if length > room:
                    raise CannotStartError(
                        f"the prompt {phrase!r} is {length} tokens long, but {self.name} reads only {room}; shorten it"
                    )
        with torch.inference_mode():
            features = self._model.encode_text(tokens.to(self.device))
            found: Embeddings = torch.nn.functional.normalize(features.float(), dim=-1).cpu().numpy()
            return found

    def try_out(self) -> str | None:
        """One picture and one phrase through the model: None if both work, else what is wrong."""
        high, wide = self.pixels.size
        ramp = np.tile(np.linspace(0, 255, wide, dtype=np.uint8)[None, None, :, None], (1, high, 1, 3))
        where = f"on {self.device} in {self.precision}"
        try:
            found = (self.rows(ramp), self.phrases(["a picture"]))
        # Whatever a device or a precision raises that a model cannot run on.
        except Exception as error:
            return f"a trial picture failed {where}: {type(error).__name__}: {error}"
        if not (math.isfinite(self.scale) and all(np.isfinite(part).all() for part in found)):
            return f"a trial picture gave NaN {where}; try precision: fp32"
        return None


def _spoilt(model: Any) -> str | None:
    """What is not finite among the weights: NaN in a checkpoint must not judge."""
    import torch

    state = model.state_dict()
    names = [n for n, v in state.items() if v.is_floating_point() and not bool(torch.isfinite(v).all())]
    return f"{len(names)} of its tensors hold NaN or infinity, e.g. {names[0]}" if names else None


def _type(precision: str) -> Any:
    import torch

    return {"fp16": torch.float16, "bf16": torch.bfloat16}.get(precision, torch.float32)


def _tower(model: Any, pixels: Pixels, precision: str, device: str) -> Encode:
    """Our own computation of the image tower, which is let go of: words do not need it."""
    import torch

    tower = Tower(model.visual, pixels, _type(precision), device)
    model.visual = torch.nn.Identity()
    return tower


def _planes(model: Any, pixels: Pixels, precision: str, device: str) -> Encode:
    """The image tower as open_clip computes it, in the layout in which convolutions are fast and rows come anyway."""
    import torch

    dtype = _type(precision)
    model.visual.to(dtype=dtype, memory_format=torch.channels_last)
    mean, std = (torch.tensor(values, device=device) for values in (pixels.mean, pixels.std))
    gain, offset = (1 / (255 * std)).view(1, 3, 1, 1), (-mean / std).view(1, 3, 1, 1)

    def encode(rows: Any) -> Any:
        planes = rows.permute(0, 3, 1, 2).float().mul_(gain).add_(offset).to(dtype)
        return torch.nn.functional.normalize(model.encode_image(planes).float(), dim=-1)

    return encode


def _automatic(device: str, *, own: bool) -> str:
    """The precision that is fastest with hardly another score (cosine ≥ 0.9999 with fp32)."""
    import torch

    if not device.startswith("cpu"):
        return "fp16"
    # Measured on AVX512_BF16: ViT-B-32 in 0.47 of the time. Without such products bf16 is slower than fp32.
    quick = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bf16" if own and quick else "fp32"


def _device(wanted: str) -> str:
    """The device to compute on. Raises CannotStartError where it is not there."""
    import torch

    if wanted == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(wanted)
    except RuntimeError as error:
        raise CannotStartError(
            f"device: {wanted!r} is none that torch knows; use auto, cpu, cuda, cuda:N or mps"
        ) from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise CannotStartError(
            f"device: {wanted} was asked for, but torch {torch.__version__} finds no CUDA here; check the driver with "
            "nvidia-smi and that torch is a CUDA build, or set device: auto"
        )
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise CannotStartError(
            f"device: {wanted} was asked for, but there are {torch.cuda.device_count()} CUDA devices"
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise CannotStartError("device: mps was asked for, but torch finds none here; set device: auto")
    if device.type not in ("cpu", "cuda", "mps"):
        raise CannotStartError(f"device: {wanted!r} is not supported; use auto, cpu, cuda, cuda:N or mps")
    return wanted


def _bad(weights: Weights, why: str) -> str:
    why = why if len(why) <= _PARTS_SHOWN else why[:_PARTS_SHOWN] + "…"
    return (
        f"cannot use the weights {weights.file} as {weights.model}: {why} "
        "(a truncated or foreign file? `fediward models verify` tests one)"
    )
