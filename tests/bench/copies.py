"""Altered copies of a picture as re-sharing, thumbnails and people in a hurry make them, each as a file."""

import functools
from collections.abc import Callable, Mapping
from io import BytesIO

import numpy as np
from imagecodecs import jpegxl_encode
from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps
from pillow_heif import from_pillow

from tests.drawing import encode

type Copy = Callable[[Image.Image], bytes]

_TURN = Image.Transpose
_TURNS: Mapping[int, Image.Transpose] = {
    2: _TURN.FLIP_LEFT_RIGHT,
    3: _TURN.ROTATE_180,
    4: _TURN.FLIP_TOP_BOTTOM,
    5: _TURN.TRANSPOSE,
    6: _TURN.ROTATE_90,
    7: _TURN.TRANSVERSE,
    8: _TURN.ROTATE_270,
}
"""How a picture lies in a file that says this EXIF orientation (EXIF 2.32, tag 0x0112)."""
_ORIENTATION = 0x0112


def stored(image: Image.Image) -> bytes:
    """The picture without any loss: what the pixels of a copy are, is then all that differs."""
    return encode(image, "PNG", compress_level=0)


def resized(image: Image.Image, share: float) -> Image.Image:
    """Both sides times ``share``."""
    return image.resize((round(image.width * share), round(image.height * share)), Image.Resampling.LANCZOS)


def cropped(image: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    """Without these shares of its width and height."""
    wide, high = image.size
    return image.crop((round(wide * left), round(high * top), wide - round(wide * right), high - round(high * bottom)))


def with_gamma(image: Image.Image, gamma: float) -> Image.Image:
    """Each level to the power of ``1 / gamma``: above 1 the picture gets lighter."""
    return image.point([round(255 * (level / 255) ** (1 / gamma)) for level in range(256)] * len(image.getbands()))


def with_text(image: Image.Image, share: float) -> Image.Image:
    """A line of half transparent white letters along the bottom, ``share`` of the picture's height."""
    over = Image.new("RGBA", image.size)
    font = ImageFont.load_default(max(4, image.height * share))
    place = image.width / 2, image.height * (0.98 - share / 2)
    ImageDraw.Draw(over).text(place, "drawn by nobody", (255, 255, 255, 160), font, anchor="mm")
    return Image.alpha_composite(image.convert("RGBA"), over).convert("RGB")


def with_logo(image: Image.Image, share: float) -> Image.Image:
    """An opaque square with a ring in it in the bottom right corner, ``share`` of the picture's area."""
    side = round((share * image.width * image.height) ** 0.5)
    right, bottom = image.size
    copy = image.copy()
    draw = ImageDraw.Draw(copy)
    draw.rectangle((right - side, bottom - side, right - 1, bottom - 1), fill=(20, 30, 60))
    inset = side * 0.2
    ring = right - side + inset, bottom - side + inset, right - inset, bottom - inset
    draw.ellipse(ring, outline=(240, 240, 240), width=max(1, side // 8))
    return copy


def bordered(image: Image.Image, share: float, colour: str = "black") -> Image.Image:
    """A frame around it, ``share`` of the shorter side wide."""
    return ImageOps.expand(image, round(min(image.size) * share), colour)


def turned_by_exif(image: Image.Image, orientation: int) -> bytes:
    """The picture lies turned in its file, which says how: every viewer shows it upright."""
    exif = Image.Exif()
    exif[_ORIENTATION] = orientation
    return encode(image.transpose(_TURNS[orientation]), "PNG", compress_level=0, exif=exif)


def _re_shared(image: Image.Image) -> bytes:
    small = with_text(resized(cropped(image, 0.01, 0.01, 0.01, 0.01), 0.5), 0.04)
    return encode(Image.open(BytesIO(encode(small, "JPEG", quality=70))), "WEBP", quality=75)


def _gif(image: Image.Image) -> bytes:
    """Dithered, with colours chosen from a smaller picture, as choosing them takes long."""
    return encode(image.quantize(palette=resized(image, 0.25).quantize(256)), "GIF")


def _heic(image: Image.Image) -> bytes:
    file = BytesIO()
    from_pillow(image).save(file, quality=60)
    return file.getvalue()


def _jxl(image: Image.Image) -> bytes:
    return bytes(jpegxl_encode(np.asarray(image), level=85, effort=3))


def _stored(change: Callable[..., Image.Image], *args: object) -> Copy:
    return lambda image: stored(change(image, *args))


def _percent(share: float) -> str:
    return f"{100 * share:g} %"


THE_FILE = "the file itself"

COPIES: Mapping[str, Copy] = {
    THE_FILE: stored,
    **{f"resize {_percent(share)}": _stored(resized, share) for share in (0.25, 0.5, 2.0)},
    **{
        f"JPEG {quality}": functools.partial(encode, format="JPEG", quality=quality) for quality in (30, 50, 70, 85, 95)
    },
    "PNG": encode,
    "WebP 75": functools.partial(encode, format="WEBP", quality=75),
    "GIF, 256 colours": _gif,
    "AVIF 60": functools.partial(encode, format="AVIF", quality=60, speed=9),
    "HEIC 60": _heic,
    "JPEG XL 85": _jxl,
    **{f"crop {_percent(share)} a side": _stored(cropped, *[share] * 4) for share in (0.01, 0.02, 0.05)},
    "crop 5 % on the left": _stored(cropped, 0.05, 0, 0, 0),
    "crop 5 % at the bottom": _stored(cropped, 0, 0, 0, 0.05),
    **{
        f"blur, radius {radius}": _stored(lambda image, by: image.filter(ImageFilter.GaussianBlur(by)), radius)
        for radius in (1, 2, 4)
    },
    **{f"gamma {gamma}": _stored(with_gamma, gamma) for gamma in (0.6, 0.8, 1.25, 1.6)},
    **{f"watermark, text {_percent(share)}": _stored(with_text, share) for share in (0.02, 0.1)},
    **{f"watermark, logo {_percent(share)}": _stored(with_logo, share) for share in (0.02, 0.1)},
    **{f"border {_percent(share)}": _stored(bordered, share) for share in (0.02, 0.05, 0.1)},
    "greyscale": lambda image: stored(image.convert("L")),
    "mirrored": _stored(Image.Image.transpose, _TURN.FLIP_LEFT_RIGHT),
    "upside down": _stored(Image.Image.transpose, _TURN.FLIP_TOP_BOTTOM),
    "turned 90°": _stored(Image.Image.transpose, _TURN.ROTATE_270),
    "turned 180°": _stored(Image.Image.transpose, _TURN.ROTATE_180),
    "turned 270°": _stored(Image.Image.transpose, _TURN.ROTATE_90),
    **{f"stored turned, EXIF {number}": functools.partial(turned_by_exif, orientation=number) for number in _TURNS},
    "crop 1 %, half size, text 4 %, JPEG 70, WebP 75": _re_shared,
}
"""Name to what makes the copy of an RGB picture. Those that change pixels are stored without loss."""
