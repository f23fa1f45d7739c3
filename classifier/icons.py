"""Takes every picture out of an icon file: which of them is shown is up to the viewer, and the directory may lie."""

import io
from collections.abc import Iterator

from PIL import IcoImagePlugin, Image

MAX_ENTRIES = 32
"""Pictures an icon may have; seven sizes in three depths, which is more than any tool writes, are 21."""


class TooManyError(Exception):
    """The icon has more than MAX_ENTRIES pictures."""


def pictures(data: bytes) -> Iterator[Image.Image]:
    """Every picture of the ICO file ``data``, largest claim first, each in the size that it really has, not loaded.

    An entry that begins past the end of the file is left out: there is nothing to be seen. Raises TooManyError, and
    whatever Pillow raises where a picture cannot be read.
    """
    count = int.from_bytes(data[4:6], "little")
    if count > MAX_ENTRIES:
        raise TooManyError(f"the icon has {count} pictures, more than {MAX_ENTRIES}")
    icon = IcoImagePlugin.IcoFile(io.BytesIO(data))
    for number, entry in enumerate(icon.entry):
        if entry.offset < len(data):
            yield icon.frame(number)
