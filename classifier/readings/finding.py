"""Finds every further reading of a picture file, whatever its format."""

from collections.abc import Callable

from classifier.readings import items, trailing
from classifier.readings.thumbnails import inner_pictures, thumbnail
from classifier.readings.types import Found
from classifier.sniff import Kind


def find(data: bytes, kind: Kind, exif: bytes, check: Callable[[], None]) -> Found:
    """The further pictures of the file ``data`` of that ``kind``, and its marks. ``exif``: its EXIF, if any.

    ``check`` is called now and then, and may raise to end it.
    """
    found = Found()
    if small := thumbnail(exif):
        found.readings.append(small)
    others = [trailing.look(data, kind, check)]
    if kind.pillow in ("AVIF", "HEIF"):
        others.append(items.look(data, kind))
    elif kind.pillow == "TIFF":
        others.append(inner_pictures(data))
    if kind.pillow in ("AVIF", "HEIF", "JXL"):
        others.append(items.film(data, kind))
    for other in others:
        found.readings += other.readings
        found.marks |= other.marks
    return found
