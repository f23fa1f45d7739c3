"""How a CLIP model wants its pictures, from open_clip's own description of it."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from classifier.inputs import InputSpec

type ResizeMode = Literal["shortest", "longest", "squash"]
type Interpolation = Literal["bicubic", "bilinear"]


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

    def spec(self, *, whole: bool) -> InputSpec:
        """How frames are to be prepared: ``whole``: so that all of a frame is seen; else as open_clip does it."""
        if whole:
            # Squashing is what some models are trained on; the others are shown no picture further from its shape.
            fit: Literal["pad", "squash"] = "pad" if self.resize_mode == "longest" else "squash"
            stretch = 1.42 if self.resize_mode == "shortest" else 2.0
            return InputSpec(self.size, fit, self.interpolation, self.fill, stretch)
        fits: dict[ResizeMode, Literal["pad", "squash", "centre"]]
        fits = {"shortest": "centre", "longest": "pad", "squash": "squash"}
        return InputSpec(self.size, fits[self.resize_mode], self.interpolation, self.fill, math.inf)
