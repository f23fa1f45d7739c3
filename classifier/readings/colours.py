"""Shows a picture as browsers do that heed its colour profile or gamma, where that is another picture than without."""

import functools
import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from classifier.flatten import Pixels

type Recolour = Callable[[Image.Image], Image.Image]

BRIGHTNESS = 64
"""Levels of brightness that a pixel may be apart: ProPhoto, the widest profile in use, gets to 60 on pure colours."""
COLOUR = 170
"""Levels of any one channel; ProPhoto gets to 159, Adobe RGB to 128, Display P3 to 96."""
SHARE = 0.005
"""Share of pixels that may be further apart."""
CONTRAST = 2.0
"""And how many times as much brightness may vary: profiles in use get to 1.3, one that uncovers a picture to any."""
GAMMA = 1 / 2.2
"""What browsers take a PNG's samples for that say nothing, or sRGB."""

_SIDE = 128
_NOISE = 4.0
_LUMA = np.array((0.299, 0.587, 0.114))
_MODES = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK"}
_LINEAR, _PQ, _HLG = 8, 16, 18
_WHITE = 203.0
"""Candela a square metre of a white page, against which PQ is shown (ITU-R BT.2408)."""


def prepare() -> None:
    """Load what it takes; called once in each process."""
    _transform(_srgb().tobytes(), "RGB")


def recolouring(image: Image.Image, data: bytes) -> Recolour | None:
    """What browsers do to the colours of ``image`` (not loaded; of the file ``data``), if they do anything.

    A profile outweighs a PNG's gamma, and a PNG's code points (cICP) outweigh both; of code points only the transfer is
    heeded.
    """
    transfer = _transfer(image, data)
    if transfer in (_LINEAR, _PQ, _HLG):
        return functools.partial(_through, _curve(transfer))
    profile = image.info.get("icc_profile")
    if isinstance(profile, bytes) and profile:
        mode = _MODES.get(profile[16:20])
        return functools.partial(_managed, profile, mode) if mode else None
    gamma = image.info.get("gamma")
    if image.format == "PNG" and isinstance(gamma, float) and gamma > 0 and "srgb" not in image.info:
        exponent = GAMMA / gamma
        if not 0.8 < exponent < 1.25:
            return functools.partial(_through, _table(np.linspace(0.0, 1.0, 256) ** exponent))
    return None


def recoloured(image: Image.Image, recolour: Recolour) -> Image.Image | None:
    """The loaded ``image`` with its colours as browsers show them; None where that is the same to an eye.

    Judged on some of its own pixels: a profile may leave all colours alone but those few in which a picture is hidden.
    """
    image = _plain(image)
    some = image.resize((min(_SIDE, image.width), min(_SIDE, image.height)), Image.Resampling.NEAREST)
    try:
        shown = recolour(some)
    except Exception:  # a profile that lcms does not take, browsers do not either
        return None
    if not _differ(_rgb(some), _rgb(shown)):
        return None
    return recolour(image)


def _differ(one: Pixels, other: Pixels) -> bool:
    apart = one.astype(np.int16) - other.astype(np.int16)
    far = (np.abs(apart).max(axis=2) > COLOUR) | (np.abs(apart @ _LUMA) > BRIGHTNESS)
    return bool(far.mean() > SHARE or (other @ _LUMA).std() > CONTRAST * (one @ _LUMA).std() + _NOISE)


def _rgb(image: Image.Image) -> Pixels:
    return np.asarray(image.convert("RGBA").convert("RGB"), dtype=np.uint8)


def _plain(image: Image.Image) -> Image.Image:
    """In a mode that has a profile of its own: L, RGB or CMYK, and those with alpha."""
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray((np.asarray(image) / 256).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        return image if image.mode in ("LA", "RGBA") else image.convert("RGBA")
    return image if image.mode in ("L", "RGB", "CMYK") else image.convert("L" if image.mode == "1" else "RGB")


def _apart(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Colours, and alpha."""
    if image.mode not in ("LA", "RGBA"):
        return image, None
    return image.convert(image.mode[:-1]), image.getchannel("A")


def _together(image: Image.Image, alpha: Image.Image | None) -> Image.Image:
    if alpha is not None:
        image.putalpha(alpha)
    return image


def _managed(profile: bytes, mode: str, image: Image.Image) -> Image.Image:
    colours, alpha = _apart(image)
    if (mode == "CMYK") != (colours.mode == "CMYK"):
        raise ValueError("a profile for other samples than these")
    found = ImageCms.applyTransform(colours.convert(mode), _transform(profile, mode))
    assert found is not None
    return _together(found, alpha)


@functools.lru_cache(16)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform:
    opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    return ImageCms.buildTransform(opened, _srgb(), mode, "RGB", ImageCms.Intent.PERCEPTUAL)


@functools.cache
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def _through(table: list[int], image: Image.Image) -> Image.Image:
    colours, alpha = _apart(image)
    return _together(colours.point(table * len(colours.getbands())), alpha)


def _table(values: NDArray[np.float64]) -> list[int]:
    return [int(value) for value in (values.clip(0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)]


def _curve(transfer: int) -> list[int]:
    """Samples of that transfer (ITU-T H.273, table 3) to those of an ordinary screen."""
    values = np.linspace(0.0, 1.0, 256)
    if transfer == _PQ:
        root = values ** (1 / 78.84375)
        values = (np.maximum(root - 0.8359375, 0.0) / (18.8515625 - 18.6875 * root)) ** (1 / 0.1593017578125)
        values *= 10_000.0 / _WHITE
    elif transfer == _HLG:
        high = (np.exp((values - 0.55991073) / 0.17883277) + 0.28466892) / 12
        values = np.where(values <= 0.5, values**2 / 3, high) * (1000.0 / _WHITE)
    return _table(values**GAMMA)


def _transfer(image: Image.Image, data: bytes) -> int:
    """The transfer in the file's code points; 0: it has none."""
    if image.format == "PNG":
        at = data.find(b"\x00\x00\x00\x04cICP", 0, 64 << 10)
        return data[at + 9] if at >= 0 else 0
    if image.format in ("AVIF", "HEIF") and not image.info.get("icc_profile"):
        at = data.find(b"colrnclx", 0, 64 << 10)
        return int.from_bytes(data[at + 10 : at + 12], "big") if at >= 0 else 0
    return 0
