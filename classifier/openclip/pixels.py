"""Frames to a CLIP model's input pixels, equal to open_clip's own preprocessing but computing only what is kept."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from classifier.types import Frame

type ResizeMode = Literal["shortest", "longest", "squash"]
type Interpolation = Literal["bicubic", "bilinear"]


@dataclass(frozen=True, slots=True)
class _Plan:
    """The picture is resized to ``resized`` and the ``window`` at ``corner`` kept; all are (width, height)."""

    resized: tuple[int, int]
    corner: tuple[int, int]
    window: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Pixels:
    """How a model wants its pictures (open_clip: transform.py:PreprocessCfg). ``size`` is (height, width)."""

    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: Interpolation
    resize_mode: ResizeMode
    fill: int = 0

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Pixels":
        """From the ``preprocess_cfg`` that open_clip hangs on a model's image tower.

        Raises ValueError on a resize mode that open_clip does not have.
        """
        size = config["size"]
        mode = config["resize_mode"]
        if mode not in get_args(ResizeMode.__value__):
            raise ValueError(f"resize mode {mode!r} is not one of open_clip's")
        square = isinstance(size, int)
        # As open_clip does: anything but bilinear is bicubic, and a non-square "shortest" is always bicubic.
        keeps = mode == "shortest" and not square and size[0] != size[1]
        bilinear = config["interpolation"] == "bilinear" and not keeps
        return cls(
            size=(size, size) if square else (int(size[0]), int(size[1])),
            mean=tuple(float(value) for value in config["mean"]),
            std=tuple(float(value) for value in config["std"]),
            interpolation="bilinear" if bilinear else "bicubic",
            resize_mode=mode,
            fill=int(config.get("fill_color", 0)),
        )

    def describe(self) -> dict[str, Any]:
        """Plain values, for a version string."""
        return asdict(self)

    def batch(self, frames: Sequence[Frame]) -> NDArray[np.uint8]:
        """Resize and crop: frames of any sizes to ``uint8 [n, height, width, 3]``, not yet normalised."""
        height, width = self.size
        pixels = np.empty((len(frames), height, width, 3), np.uint8)
        for n, frame in enumerate(frames):
            self._place(frame, pixels[n])
        return pixels

    def _place(self, frame: Frame, out: NDArray[np.uint8]) -> None:
        height, width, _ = frame.shape
        plan = self._plan(width, height)
        # Where the window lies in the frame, in its own pixels: Pillow then never computes what is cropped away.
        scale_x, scale_y = width / plan.resized[0], height / plan.resized[1]
        left, top = plan.corner
        box = (
            left * scale_x,
            top * scale_y,
            min(width, (left + plan.window[0]) * scale_x),
            min(height, (top + plan.window[1]) * scale_y),
        )
        filter_ = Image.Resampling.BILINEAR if self.interpolation == "bilinear" else Image.Resampling.BICUBIC
        kept = np.asarray(Image.fromarray(np.ascontiguousarray(frame)).resize(plan.window, filter_, box))
        if kept.shape == out.shape:
            out[:] = kept
            return
        out[:] = self.fill
        y, x = (out.shape[0] - kept.shape[0]) // 2, (out.shape[1] - kept.shape[1]) // 2
        out[y : y + kept.shape[0], x : x + kept.shape[1]] = kept

    def _plan(self, width: int, height: int) -> _Plan:
        """open_clip transform.py:image_transform and torchvision's Resize and CenterCrop, rounding as they do."""
        high, wide = self.size
        if self.resize_mode == "squash":
            return _Plan((wide, high), (0, 0), (wide, high))
        if self.resize_mode == "shortest" and high == wide:
            short = min(width, height)
            resized = (int(wide * width / short), int(high * height / short))
        else:
            by_height, by_width = height / high, width / wide
            longest = self.resize_mode == "longest"
            ratio = max(by_height, by_width) if longest else min(by_height, by_width)
            resized = (max(1, round(width / ratio)), max(1, round(height / ratio)))
        window = (min(wide, resized[0]), min(high, resized[1]))
        corner = (round((resized[0] - window[0]) / 2), round((resized[1] - window[1]) / 2))
        return _Plan(resized, corner, window)
