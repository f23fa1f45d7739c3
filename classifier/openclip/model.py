"""One open_clip model, loaded and proven to work: pictures and phrases to normalised embeddings."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.inputs import Rows
from classifier.openclip.pixels import Pixels
from classifier.openclip.weights import Weights, find, offline, open_clip, sha256
from classifier.settings import ClipSettings
from classifier.types import CannotStartError

type Embeddings = NDArray[np.float32]
"""``float32 [n, dimensions]``, each row of length 1."""

_BATCH = 64  # rows in one forward pass: bounds memory, and more is no faster
_PARTS_SHOWN = 300  # characters of torch's message on a checkpoint that does not fit; it would list every layer


class OpenClipModel:
    """A model with its tokenizer and preprocessing. Its methods may be called from several threads."""

    def __init__(self, weights: Weights, digest: str, device: str, precision: str, model: Any, tokenizer: Any) -> None:
        import torch

        self.name = weights.model
        self.weights_sha256 = digest
        self.device = device
        self.precision = precision
        self.pixels = Pixels.of(model.visual.preprocess_cfg)
        self.depth = 2 if device.startswith("cuda") else 1
        self.batch = _BATCH
        self.scale = float(model.logit_scale.detach().float().exp())
        self._model = model
        self._tokenizer = tokenizer
        self._dtype = {"fp16": torch.float16, "bf16": torch.bfloat16}.get(precision, torch.float32)
        mean, std = (torch.tensor(values, device=device) for values in (self.pixels.mean, self.pixels.std))
        self._gain = (1 / (255 * std)).view(1, 3, 1, 1)
        self._offset = (-mean / std).view(1, 3, 1, 1)

    @classmethod
    def load(cls, settings: ClipSettings, *, threads: int | None = None) -> "OpenClipModel":
        """Load from this machine's files and try one picture and one phrase.

        ``threads`` sets torch's CPU threads for the whole process. Raises CannotStartError (no extra ``clip``, no
        weights, a bad checkpoint, no such device), saying what to do. Never downloads.
        """
        clip = open_clip()
        import torch

        if threads is not None:
            torch.set_num_threads(threads)
        device = _device(settings.device)
        precision = settings.precision
        if precision == "auto":
            precision = "fp16" if device.startswith("cuda") else "fp32"
        weights = find(settings.model, settings.pretrained)
        digest = sha256(weights.file)
        try:
            with offline():
                built = clip.create_model(
                    weights.model,
                    weights.pretrained,
                    precision=precision,
                    device=device,
                    force_quick_gelu=weights.quick_gelu,
                    force_preprocess_cfg=dict(weights.preprocess),
                    require_pretrained=True,
                ).eval()
                tokenizer = clip.get_tokenizer(weights.model)
        # torch, safetensors, pickle and open_clip each raise their own kinds on a file that is not what it should be.
        except Exception as error:
            raise CannotStartError(_bad(weights, f"{type(error).__name__}: {error}")) from error
        loaded = cls(weights, digest, device, precision, built, tokenizer)
        if (wrong := _spoilt(built) or loaded.try_out()) is not None:
            raise CannotStartError(_bad(weights, wrong))
        return loaded

    @property
    def dimensions(self) -> int:
        """Length of an embedding."""
        return int(self.phrases(["a picture"]).shape[1])

    def rows(self, rows: Rows) -> Embeddings:
        """Embeddings of pictures in the model's own size (see ``pixels``), in order."""
        import torch

        if not len(rows):
            return np.empty((0, self.dimensions), np.float32)
        found = []
        for start in range(0, len(rows), _BATCH):
            pixels = torch.from_numpy(rows[start : start + _BATCH]).to(self.device)
            with torch.inference_mode():
                planes = pixels.permute(0, 3, 1, 2).float().mul_(self._gain).add_(self._offset)
                found.append(_unit(self._model.encode_image(planes.contiguous().to(self._dtype))))
        return np.concatenate(found)

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
            return _unit(self._model.encode_text(tokens.to(self.device)))

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


def _unit(features: Any) -> Embeddings:
    """Rows of length 1, on the CPU, as float32 whatever the model computes in."""
    import torch

    found: Embeddings = torch.nn.functional.normalize(features.float(), dim=-1).cpu().numpy()
    return found


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
