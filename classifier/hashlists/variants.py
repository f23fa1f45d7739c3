"""The PDQ hashes of a picture's rotated and mirrored variants, from its own and those of its three flips.

Turning a picture over its diagonal turns its hash over its diagonal, to the bit; its flips have to be hashed by
themselves (:func:`classifier.pdq.flips_of`). Turns are clockwise: how the picture asked about lies to the listed one.
"""

from collections.abc import Iterator, Sequence

import numpy as np

VARIANTS = 8
FLIPS = ("mirrored", "upside down", "turned 180°")
_TURNED = ("turned and mirrored", "turned 90°", "turned 270°", "turned, mirrored and upside down")


def variants(pdq: str, flips: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Hash and name of each variant: first the picture as it is (named ""), then ``flips``, then all turned.

    Without ``flips`` those two of the eight that the bits alone tell: as it is, and turned and mirrored.
    """
    upright = [pdq, *flips]
    yield from zip(upright, ("", *FLIPS), strict=False)
    yield from zip(map(_transposed, upright), _TURNED, strict=False)


def _transposed(pdq: str) -> str:
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(pdq), dtype=np.uint8))
    return np.packbits(bits.reshape(16, 16).T).tobytes().hex()
