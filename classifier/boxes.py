"""Walks the boxes of an ISO base media file (ISO/IEC 14496-12 §4.2): HEIF, AVIF, JPEG XL and MP4 are made of them."""

from collections.abc import Iterator
from dataclasses import dataclass

MAX_BOXES = 4_096
"""Boxes looked at on one level; files have a dozen."""


@dataclass(frozen=True, slots=True)
class Box:
    """``kind`` is its four letters; it begins at ``start``, its content at ``body``, and it ends before ``end``."""

    kind: bytes
    start: int
    body: int
    end: int


def boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[Box]:
    """The boxes that follow each other from ``start``, as far as they are whole and named in printable letters."""
    end = len(data) if end is None else end
    for _ in range(MAX_BOXES):
        if end - start < 8:
            return
        size, kind, head = int.from_bytes(data[start : start + 4], "big"), data[start + 4 : start + 8], 8
        if size == 1:
            size, head = int.from_bytes(data[start + 8 : start + 16], "big"), 16
        elif size == 0:
            size = end - start
        if size < head or size > end - start or not all(0x20 <= letter < 0x7F or letter == 0xA9 for letter in kind):
            return
        yield Box(kind, start, start + head, start + size)
        start += size


def find(data: bytes, kind: bytes, start: int = 0, end: int | None = None) -> Box | None:
    """The first box of this kind on that level."""
    return next((box for box in boxes(data, start, end) if box.kind == kind), None)
