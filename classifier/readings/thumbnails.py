"""Takes the thumbnail out of EXIF (EXIF 2.32, 4.6.5), and out of TIFF the pictures that are no pages.

File managers and some servers show the one as the picture; viewers of raw photos show the others.
"""

import struct

from classifier.readings.types import PICTURE, Found, Reading
from classifier.sniff import Kind, sniff

_TIFF = Kind("image/tiff", "TIFF")
_OFFSET, _LENGTH, _STRIPS, _INNER = 0x0201, 0x0202, 0x0111, 0x014A
MAX_INNER = 3
"""Inner pictures of a TIFF's first page that are judged."""
_MAX_ENTRIES = 512
_ORDERS = {b"II": "<", b"MM": ">"}
_EXIF = b"Exif\x00\x00"


def thumbnail(exif: bytes) -> Reading | None:
    """The thumbnail in ``exif`` (with its leading ``Exif\\0\\0`` or without), if any can be there."""
    exif = exif.removeprefix(_EXIF)
    order = _ORDERS.get(exif[:2])
    if order is None:
        return None
    try:
        _, second = _directory(exif, _number(exif, 4, order), order)
        tags, _ = _directory(exif, second, order) if second else ({}, 0)
    except struct.error:
        return None
    if _OFFSET in tags:
        start = tags[_OFFSET][1]
        piece = exif[start : start + tags.get(_LENGTH, (1, len(exif)))[1]]
        kind = sniff(piece)
        return Reading("thumbnail", piece, kind, turned=True) if kind.pillow else None
    if _STRIPS in tags:  # plain pixels, described as those of a page are
        return Reading("thumbnail", _page(exif, second, order), _TIFF, turned=True)
    return None


def inner_pictures(data: bytes) -> Found:
    """The pictures within the first page of the TIFF file ``data`` (its SubIFDs)."""
    found = Found()
    order = _ORDERS.get(data[:2])
    if order is None or data[2:4] not in (b"*\x00", b"\x00*"):  # not BigTIFF, whose offsets are longer
        return found
    try:
        tags, _ = _directory(data, _number(data, 4, order), order)
        count, value = tags.get(_INNER, (0, 0))
        places = (
            [value] if count == 1 else [_number(data, value + 4 * number, order) for number in range(min(count, 99))]
        )
    except struct.error:
        return found
    if len(places) > MAX_INNER:
        found.marks.add(PICTURE)
    found.readings += (Reading("inner picture", _page(data, place, order), _TIFF) for place in places[:MAX_INNER])
    return found


def _page(data: bytes, at: int, order: str) -> bytes:
    """The same TIFF with the directory at ``at`` as its first page."""
    return data[:4] + struct.pack(f"{order}L", at) + data[8:]


def _number(data: bytes, at: int, order: str) -> int:
    (found,) = struct.unpack_from(f"{order}L", data, at)
    return int(found)


def _directory(exif: bytes, at: int, order: str) -> tuple[dict[int, tuple[int, int]], int]:
    """By tag, how many values it has and the first (or where they stand); and where the next directory is."""
    (count,) = struct.unpack_from(f"{order}H", exif, at)
    if count > _MAX_ENTRIES:
        return {}, 0
    tags: dict[int, tuple[int, int]] = {}
    for number in range(count):
        tag, kind, values, value = struct.unpack_from(f"{order}HHL4s", exif, at + 2 + 12 * number)
        (first,) = struct.unpack_from(f"{order}{'H' if kind == 3 else 'L'}", value)
        tags[tag] = values, first
    return tags, _number(exif, at + 2 + 12 * count, order)
