"""PDQ hashes of a picture's rotated and mirrored variants: the three flips by their pixels, the rest from these.

Turning a picture over its diagonal turns its hash over its diagonal, to the bit. Mirroring it changes the sign of every
second coefficient, but PDQ's own sampling is not symmetric: hashes mirrored so (``pdqhash.compute_dihedral`` does it)
are 8 to 55 bits from those of the mirrored picture, the means for drawn textures and noise of 256 to 2048 pixels, and
more where it is small. So the flips are hashed by themselves; of pictures larger than 512 pixels on each side from a
smaller copy, which put them 10 bits away (mean of 27 drawn textures of 9 shapes; at most 18). Turns are clockwise.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

from classifier.flatten import Pixels
from classifier.frames import pdq_of

SIDE = 512
"""Pixels of the shorter side on which a flip is hashed."""
VARIANTS = 8
FLIPS = ("mirrored", "upside down", "turned 180°")
_TURNED = ("turned and mirrored", "turned 90°", "turned 270°", "turned, mirrored and upside down")


def flips_of(pixels: Pixels) -> tuple[str, str, str]:
    """PDQ hashes (64 hex digits) of ``uint8 [height, width, 3]`` mirrored, upside down, and turned by 180°."""
    height, width, _ = pixels.shape
    if min(height, width) > SIDE:
        smaller = SIDE / min(height, width)
        size = round(width * smaller), round(height * smaller)
        pixels = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))
    across, down = pixels[:, ::-1], pixels[::-1]
    mirrored, upside, turned = (pdq_of(np.ascontiguousarray(one))[0] for one in (across, down, across[::-1]))
    return mirrored, upside, turned


def variants(pdq: str, flips: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Hash and name of each variant: first the picture as it is (named ""), then ``flips``, then all turned."""
    upright = [pdq, *flips]
    yield from zip(upright, ("", *FLIPS), strict=False)
    if flips:
        yield from zip(map(_transposed, upright), _TURNED, strict=False)


def _transposed(pdq: str) -> str:
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(pdq), dtype=np.uint8))
    return np.packbits(bits.reshape(16, 16).T).tobytes().hex()
