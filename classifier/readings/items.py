"""The further pictures of HEIF and AVIF: thumbnails, the motion of a photo, and a sequence beside a still picture.

No decoder hands them out by request, so each is made the main one by changing a few bytes in a copy of the file.
"""

from classifier.boxes import Box, find
from classifier.boxes import boxes as walk
from classifier.readings.types import GAIN_MAP, PICTURE, Found, Reading
from classifier.sniff import Kind

MAX_ITEMS = 3
"""Thumbnails that are judged; one more is a mark."""

_MP4 = Kind("video/mp4", video="mov")
_SEQUENCE = (b"pict", b"av01")
"""Handler and coding of AVIF's own sequence (av1-avif 3), beside which there may be its alpha."""
_ALPHA = (b"auxv", b"av01")
_GAIN_MAP = (b"hdrgainmap", b"tmap")


def look(data: bytes, kind: Kind) -> Found:
    """The further pictures of the HEIF or AVIF file ``data``."""
    found = Found()
    meta = find(data, b"meta")
    if meta is None:
        return found
    head = data[meta.start : meta.end]
    if find(data, b"moov") is not None:
        found.readings.append(_other_source(data, kind))
    if motion := find(data, b"mpvd"):
        found.readings.append(Reading("motion", data[motion.body : motion.end], _MP4))
    if any(word in head for word in _GAIN_MAP):
        found.marks.add(GAIN_MAP)
    pitm = find(data, b"pitm", meta.body + 4, meta.end)
    iref = find(data, b"iref", meta.body + 4, meta.end)
    if pitm is None or iref is None:
        return found
    wide = 4 if data[pitm.body] else 2
    for number, (item, places) in enumerate(_thumbnails(data, iref).items()):
        if number >= MAX_ITEMS:
            found.marks.add(PICTURE)
            break
        copy = bytearray(data)
        copy[pitm.body + 4 : pitm.body + 4 + wide] = item.to_bytes(4, "big")[-wide:]
        for place in places:  # else it would stay a thumbnail, which is no main picture
            copy[place + 4 : place + 8] = b"xxxx"
        found.readings.append(Reading("thumbnail", bytes(copy), kind))
    return found


def film(data: bytes, kind: Kind) -> Found:
    """What players of videos show of the picture file ``data``, where that is not its own sequence: a file can be both,
    and what it is said to be decides."""
    moov = find(data, b"moov")
    if moov is None or kind.pillow == "HEIF":  # whose sequence is read as players do
        return Found()
    tracks = [_track(data, box) for box in walk(data, moov.body, moov.end) if box.kind == b"trak"]
    if kind.pillow == "AVIF" and tracks.count(_SEQUENCE) == 1 and {*tracks} <= {_SEQUENCE, _ALPHA}:
        return Found()
    return Found([Reading("video", data, _MP4)])


def _track(data: bytes, box: Box) -> tuple[bytes, bytes]:
    """Its handler and the coding of its samples (ISO/IEC 14496-12 §8.4.3, §8.5.2); empty where it does not say."""
    media = find(data, b"mdia", box.body, box.end)
    handler = find(data, b"hdlr", media.body, media.end) if media else None
    inner = media
    for kind in (b"minf", b"stbl", b"stsd"):
        inner = find(data, kind, inner.body, inner.end) if inner else None
    said = data[handler.body + 8 : handler.body + 12] if handler else b""
    return said, data[inner.body + 12 : inner.body + 16] if inner else b""


def _thumbnails(data: bytes, iref: Box) -> dict[int, list[int]]:
    """The items that are thumbnails, and where it says so (ISO/IEC 14496-12 §8.11.12)."""
    wide = 4 if data[iref.body] else 2
    found: dict[int, list[int]] = {}
    for box in walk(data, iref.body + 4, iref.end):
        if box.kind == b"thmb":
            found.setdefault(int.from_bytes(data[box.body : box.body + wide], "big"), []).append(box.start)
    return found


def _other_source(data: bytes, kind: Kind) -> Reading:
    """A file with both a picture and a sequence: which one is shown hangs on its first brand, or on the viewer."""
    if kind.pillow == "HEIF":
        return Reading("sequence", data, _MP4)
    if data[8:12] == b"avis":
        return Reading("still picture", data[:8] + b"avif" + data[12:], kind)
    return Reading("sequence", data[:8] + b"avis" + data[12:], kind)
