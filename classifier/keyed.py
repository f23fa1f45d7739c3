"""A PNG's transparent colour where it has 16 bits a channel: Pillow compares eight, browsers all of them.

Of two colours that look the same one can so be clear and the other not: a picture that only browsers would show.
"""

import io

import numpy as np
from PIL import Image

_HIGH, _LOW = "RGB;16B", "RGB;16L"
"""Pillow's names for how samples lie; the second takes the upper byte of the other order: the lower one of this."""


def in_full(image: Image.Image, data: bytes, *, frames: int) -> Image.Image:
    """``image`` (not loaded; of the file ``data``), or where its transparent colour has 16 bits, what browsers show.

    Raises SyntaxError for an animation with such a colour, which nobody makes.
    """
    key = image.info.get("transparency")
    grey = image.mode.startswith("I;16") and isinstance(key, int)
    if image.format != "PNG" or not (grey or (isinstance(key, tuple) and _rawmode(image) == _HIGH)):
        return image
    if frames > 1:
        raise SyntaxError("an animation with a transparent colour of 16 bits a channel")
    if grey:
        values = np.asarray(image).astype(np.uint16)
        clear = values == key
        plain = Image.fromarray((values >> 8).astype(np.uint8))
    else:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as lower:
            lower.tile = [tile._replace(args=_LOW) for tile in lower.tile]
            low = np.asarray(lower).astype(np.uint16)
        del image.info["transparency"]
        plain = image.convert("RGB")
        clear = (np.asarray(plain).astype(np.uint16) << 8 | low == np.array(key, np.uint16)).all(axis=2)
    plain.putalpha(Image.fromarray(np.where(clear, np.uint8(0), np.uint8(255))))
    plain.info = {name: value for name, value in image.info.items() if name != "transparency"}
    plain.format = image.format
    return plain


def _rawmode(image: Image.Image) -> object:
    tiles = getattr(image, "tile", None)
    return tiles[0].args if tiles else None
