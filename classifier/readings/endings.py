"""Where a picture ends by its own format's account, so that what stands behind it can be looked at."""

import re
from collections.abc import Callable

from classifier.boxes import boxes

_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
"""A JPEG marker; not the stuffed zero, fill bytes and restart markers, which stand within a scan."""
_ALONE = frozenset({0x01, 0xD8})
_EVERY = 4_096
_FIRST = frozenset({b"ftyp", b"JXL "})
_LONGEST_SIGNATURE = 12


class _Clock:
    """Looks at the clock now and then: a hostile file is made of a million empty parts."""

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check
        self._steps = 0

    def step(self) -> None:
        self._steps += 1
        if self._steps % _EVERY == 0:
            self._check()


def end_of(data: bytes, pillow: str, check: Callable[[], None] = lambda: None) -> int | None:
    """Where the picture that ``data`` begins with ends; ``pillow`` is its format.

    None where it does not say (ICO, TIFF, bare JPEG XL), or is cut short. ``check`` is called now and then, and may
    raise.
    """
    clock = _Clock(check)
    match pillow:
        case "JPEG":
            return _jpeg(data, clock)
        case "PNG":
            return _png(data, clock)
        case "GIF":
            return _gif(data, clock)
        case "WEBP":
            size = int.from_bytes(data[4:8], "little")
            return _within(data, 8 + size + size % 2)
        case "BMP":
            return _bmp(data)
        case "AVIF" | "HEIF":
            return iso_end(data)
        case "JXL":
            return iso_end(data) if data[4:8] == b"JXL " else None
    return None


def iso_end(data: bytes) -> int | None:
    """Where the boxes that ``data`` begins with end, or where another such file begins."""
    end = None
    for box in boxes(data):
        if end and box.kind in _FIRST and box.start > _LONGEST_SIGNATURE:
            break
        end = box.end
    return end


def _within(data: bytes, end: int) -> int | None:
    return end if end <= len(data) else None


def _jpeg(data: bytes, clock: _Clock) -> int | None:
    at = 2
    while match := _MARKER.search(data, at):
        clock.step()
        code, at = data[match.end() - 1], match.end()
        if code == 0xD9:
            return at
        if code not in _ALONE:
            at += max(2, int.from_bytes(data[at : at + 2], "big"))
    return None


def _png(data: bytes, clock: _Clock) -> int | None:
    at = 8
    while at + 12 <= len(data):
        clock.step()
        kind = data[at + 4 : at + 8]
        at += 12 + int.from_bytes(data[at : at + 4], "big")
        if kind == b"IEND":
            return _within(data, at)
    return None


def _gif(data: bytes, clock: _Clock) -> int | None:
    at = 13 + _table(data[10:11])
    while at < len(data):
        match data[at]:
            case 0x3B:
                return at + 1
            case 0x2C:
                at += 11 + _table(data[at + 9 : at + 10])
            case 0x21:
                at += 2
            case _:
                return at  # where browsers give up
        while data[at : at + 1] not in (b"", b"\x00"):
            clock.step()
            at += 1 + data[at]
        at += 1
    return None


def _table(flags: bytes) -> int:
    """Bytes of the colour table that follows."""
    return 3 << ((flags[0] & 7) + 1) if flags and flags[0] & 0x80 else 0


def _bmp(data: bytes) -> int | None:
    """By its rows where they are not compressed, as the size in the header need not be true."""
    header = int.from_bytes(data[14:18], "little")
    if header < 40:
        return None
    width = int.from_bytes(data[18:22], "little", signed=True)
    height = abs(int.from_bytes(data[22:26], "little", signed=True))
    depth = int.from_bytes(data[28:30], "little")
    if int.from_bytes(data[30:34], "little") not in (0, 3, 6) or width <= 0:
        return None
    return _within(data, int.from_bytes(data[10:14], "little") + (width * depth + 31) // 32 * 4 * height)
