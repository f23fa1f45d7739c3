"""Looks behind a picture's end for what else a file holds: further pictures, a video, an archive, a document."""

import struct
from collections.abc import Callable

from classifier.readings.endings import end_of, iso_end
from classifier.readings.types import ARCHIVE, DOCUMENT, PICTURE, TRAILING, VIDEO, Found, Reading
from classifier.sniff import Kind, sniff

MAX_TRAILING = 3
"""Pictures behind the first that are judged."""
MAX_TRIES = 64
"""Places looked at that begin like something; in random bytes there are a handful."""

_JPEG, _FTYP, _JXL = b"\xff\xd8\xff", b"ftyp", b"JXL \r\n\x87\n"
_PICTURES = (_JPEG, b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"RIFF", _FTYP, _JXL)
_VIDEOS = (b"\x1aE\xdf\xa3",)
_ARCHIVES = (b"PK\x03\x04", b"Rar!\x1a\x07", b"7z\xbc\xaf\x27\x1c", b"MSCF\0\0\0\0")
_DOCUMENTS = (b"%PDF-", b"<html", b"<HTML", b"<!DOCTYPE html", b"<!doctype html", b"<script", b"<svg")
_BEFORE = {_FTYP: 4, _JXL: 4}
"""Bytes of a file that stand before what it is known by."""
_NOTHING = b"\x00\xff \t\r\n"

_ZIP_END = struct.Struct("<4s4H2LH")
_GAIN_MAP = (b"hdrgm:", b"urn:iso:std:iso:ts:21496", b"hdrgainmap")
_GAIN_HEAD = 64 << 10
_HEAD = 1 << 20
_MAX_SEGMENTS = 1_024
_FRAMES = frozenset(bytes((code,)) for code in range(0xC0, 0xD0)) - {b"\xc4", b"\xc8", b"\xcc"}


def look(data: bytes, kind: Kind, check: Callable[[], None]) -> Found:
    """What stands behind the picture that ``data`` begins with; an archive or PDF also where it overlaps it."""
    found = Found()
    if _ends_as_zip(data):
        found.marks.add(ARCHIVE)
    if b"%PDF-" in data[:1024]:  # readers of PDF look so far
        found.marks.add(DOCUMENT)
    assert kind.pillow is not None
    end = end_of(data, kind.pillow, check)
    if end is not None and end < len(data):
        multiple = kind.pillow == "JPEG" and b"MPF\x00" in data[:end]
        _behind(data, end, found, check, multiple=multiple)
    return found


def _behind(data: bytes, end: int, found: Found, check: Callable[[], None], *, multiple: bool) -> None:
    search = _Search(data)
    known = at = end
    pictures = tries = 0
    while hit := search.after(at):
        start, magic = hit
        at = start + 1
        tries += 1
        if magic in _ARCHIVES or magic in _DOCUMENTS:
            # All that follows is in it: nobody shows its parts as pictures.
            found.marks.add(ARCHIVE if magic in _ARCHIVES else DOCUMENT)
            return
        kind = sniff(data[start : start + _HEAD])
        if tries > MAX_TRIES or (pictures >= MAX_TRAILING and kind.pillow):
            found.marks.add(PICTURE)
            return
        if not (kind.pillow or kind.video) or (magic == _JPEG and not _begins_a_jpeg(data, start)):
            continue
        if data[known:start].strip(_NOTHING):
            found.marks.add(TRAILING)
        piece = data[start:]
        if kind.pillow:
            pictures += 1
            piece = piece[: end_of(piece, kind.pillow, check)]
            found.readings.append(_picture(piece, kind, multiple=multiple))
        elif any(reading.kind.video for reading in found.readings):
            found.marks.add(VIDEO)
            return
        else:
            piece = piece[: iso_end(piece) if magic == _FTYP else None]
            found.readings.append(Reading("motion", piece, kind))
        known = at = start + len(piece)
    if data[known:].strip(_NOTHING):
        found.marks.add(TRAILING)


def _picture(data: bytes, kind: Kind, *, multiple: bool) -> Reading:
    gain = kind.pillow == "JPEG" and any(word in data[:_GAIN_HEAD] for word in _GAIN_MAP)
    name = "gain map" if gain else "second picture" if multiple else f"trailing {str(kind.pillow).lower()}"
    return Reading(name, data, kind, gain=gain, turned=multiple)


class _Search:
    """Where something begins in ``data``; each magic is looked for once over the whole length, however many hits."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._places: dict[bytes, int] = dict.fromkeys((*_PICTURES, *_VIDEOS, *_ARCHIVES, *_DOCUMENTS), -1)

    def after(self, at: int) -> tuple[int, bytes] | None:
        """The first place from ``at`` on (which never goes back), and what it is known by."""
        for magic, place in self._places.items():
            if place < at:
                before = _BEFORE.get(magic, 0)
                place = self._data.find(magic, at + before)
                self._places[magic] = place - before if place >= 0 else len(self._data)
        magic = min(self._places, key=lambda magic: self._places[magic])
        place = self._places[magic]
        return (place, magic) if place < len(self._data) else None


def _begins_a_jpeg(data: bytes, at: int) -> bool:
    """Whether segments lead from ``at`` to a frame's header: a JPEG's three bytes stand in any few megabytes."""
    at += 2
    for _ in range(_MAX_SEGMENTS):
        if data[at : at + 1] != b"\xff":
            return False
        code = data[at + 1 : at + 2]
        if code in _FRAMES:
            return True
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big") if code != b"\xff" else 1
    return False


def _ends_as_zip(data: bytes) -> bool:
    """Whether a ZIP's directory ends in the last bytes, where unpackers look (APPNOTE 4.3.16)."""
    at = data.rfind(b"PK\x05\x06", max(0, len(data) - 65_557))
    if at < 0 or at + _ZIP_END.size > len(data):
        return False
    *_, entries, size, offset, comment = _ZIP_END.unpack_from(data, at)
    return bool(entries and size and size + offset <= at and at + _ZIP_END.size + comment <= len(data))
