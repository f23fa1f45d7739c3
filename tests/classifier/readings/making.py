"""Makes files with more than one reading, and says what a frame shows."""

import io
import struct
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from PIL import Image

from classifier.boxes import boxes, find
from classifier.decode import decode
from classifier.flatten import Pixels
from classifier.frames import Bounds, Decoded
from tests.drawing import animation, encode, shape, textured

BOUNDS = Bounds(pixels=4_000_000, frames=8, seconds=20.0)
CIRCLE = shape("circle", "red", "white", 160, 120)
PHOTO = textured(1, 640, 480)


def decoded(data: bytes, bounds: Bounds = BOUNDS) -> Decoded:
    result = decode(data, bounds)
    assert isinstance(result, Decoded), result
    return result


def readings(data: bytes, bounds: Bounds = BOUNDS) -> list[str]:
    """The readings of the frames, in order; "" is the file's own."""
    return [frame.reading for frame in decoded(data, bounds).frames]


def circles(result: Decoded) -> list[str]:
    """The readings in which the red circle is to be seen."""
    return [frame.reading for frame in result.frames if shows_circle(frame.pixels)]


def shows_circle(pixels: Pixels) -> bool:
    """Whether its middle is red and its corner is not."""
    height, width, _ = pixels.shape
    red, green, blue = pixels[height // 2, width // 2].astype(int)
    return bool(red > green + 80 and red > blue + 80 and pixels[1, 1].min() > 150)


def directory(entries: Mapping[int, tuple[int, int, bytes]], following: int, order: str = ">") -> bytes:
    """A TIFF directory of (type, count, value or offset) by tag."""
    body = b"".join(
        struct.pack(f"{order}HHL", tag, *one[:2]) + one[2].ljust(4, b"\0") for tag, one in sorted(entries.items())
    )
    return struct.pack(f"{order}H", len(entries)) + body + struct.pack(f"{order}L", following)


def exif_with(
    thumbnail: bytes, *, offset: int | None = None, orientation: int = 1, following: int | None = None
) -> bytes:
    """EXIF with that thumbnail. ``offset``: where it says it stands, ``following``: where its second directory is."""
    first = directory({0x0112: (3, 1, struct.pack(">H", orientation))}, 26 if following is None else following)
    start = 26 + 2 + 3 * 12 + 4
    second = directory(
        {
            0x0103: (3, 1, struct.pack(">H", 6)),
            0x0201: (4, 1, struct.pack(">L", start if offset is None else offset)),
            0x0202: (4, 1, struct.pack(">L", len(thumbnail))),
        },
        26,  # to itself: a loop
    )
    return b"Exif\x00\x00MM\x00*\x00\x00\x00\x08" + first + second + thumbnail


def exif_with_rows(image: Image.Image) -> bytes:
    """EXIF with a thumbnail of plain pixels, as TIFF has them."""
    first = directory({0x0112: (3, 1, struct.pack(">H", 1))}, 26)
    entries = 9
    start = 26 + 2 + entries * 12 + 4
    pixels = image.tobytes()
    second = directory(
        {
            0x0100: (3, 1, struct.pack(">H", image.width)),
            0x0101: (3, 1, struct.pack(">H", image.height)),
            0x0102: (3, 3, struct.pack(">L", start)),
            0x0103: (3, 1, struct.pack(">H", 1)),
            0x0106: (3, 1, struct.pack(">H", 2)),
            0x0111: (4, 1, struct.pack(">L", start + 6)),
            0x0115: (3, 1, struct.pack(">H", 3)),
            0x0116: (3, 1, struct.pack(">H", image.height)),
            0x0117: (4, 1, struct.pack(">L", len(pixels))),
        },
        0,
    )
    return b"Exif\x00\x00MM\x00*\x00\x00\x00\x08" + first + second + struct.pack(">3H", 8, 8, 8) + pixels


def with_segment(jpeg: bytes, marker: int, body: bytes) -> bytes:
    """The JPEG with one more segment at its start."""
    return jpeg[:2] + bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


def box(kind: bytes, *bodies: bytes) -> bytes:
    body = b"".join(bodies)
    return struct.pack(">L", 8 + len(body)) + kind + body


def zipped(name: str = "a.txt", content: bytes = b"hello") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, content)
    return file.getvalue()


def film(image: Image.Image, frames: int = 8) -> bytes:
    """A short MP4 that shows the picture."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(8))
        stream.width, stream.height, stream.pix_fmt = image.width, image.height, "yuv420p"
        stream.bit_rate = 4_000_000
        frame = av.VideoFrame.from_ndarray(np.asarray(image), "rgb24")
        for number in range(frames):
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file.getvalue()


def heif_with_thumbnail(main: Image.Image, thumbnail: Image.Image, format: str = "HEIF", more: int = 0) -> bytes:
    """A file with both as items, whose second is called the first one's thumbnail, and so are ``more``, not there.

    Made by hand of two files of one item, as neither writer makes thumbnails of another picture.
    """
    parts = [_item(encode(image, format, quality=90)) for image in (main, thumbnail)]
    first_count = len(parts[0].associations)
    associations = b""
    for number, part in enumerate(parts, 1):
        indexes = bytes(flag | (index + (first_count if number == 2 else 0)) for flag, index in part.associations)
        associations += struct.pack(">HB", number, len(indexes)) + indexes
    infos = b"".join(box(b"infe", b"\2\0\0\0", struct.pack(">HH", n, 0), parts[0].kind, b"\0") for n in (1, 2))
    properties = b"".join(part.properties for part in parts)
    fixed = (
        box(b"hdlr", bytes(8), b"pict", bytes(13)),
        box(b"pitm", bytes(4), struct.pack(">H", 1)),
        box(b"iinf", bytes(4), struct.pack(">H", 2), infos),
        box(b"iref", bytes(4), *(box(b"thmb", struct.pack(">HHH", 2 + n, 1, 1)) for n in (0, 0, *range(1, 1 + more)))),
        box(b"iprp", box(b"ipco", properties), box(b"ipma", bytes(4), struct.pack(">L", 2), associations)),
    )
    head = encode(main, format)
    head = head[: struct.unpack_from(">L", head)[0]]

    def meta(start: int) -> bytes:
        places = b""
        for number, part in enumerate(parts, 1):
            places += struct.pack(">HHHLL", number, 0, 1, start, len(part.data))
            start += len(part.data)
        return box(b"meta", bytes(4), *fixed, box(b"iloc", bytes(4), b"\x44\x00", struct.pack(">H", 2), places))

    start = len(head) + len(meta(0)) + 8
    return head + meta(start) + box(b"mdat", *(part.data for part in parts))


def avif_with_both(still: Image.Image, sequence: Sequence[Image.Image]) -> bytes:
    """An AVIF sequence beside whose frames another picture of the same size stands as the still one."""
    moving, single = animation(sequence, "AVIF"), _item(encode(still, "AVIF"))
    at, sizes = _place_at(moving)
    assert sizes == b"\x44\x00"
    moved = moving[:at] + struct.pack(">LL", len(moving) + 8, len(single.data)) + moving[at + 8 :]
    return moved + box(b"mdat", single.data)


def with_gain_map(heif: bytes) -> bytes:
    """The file with the name of Apple's gain maps among its items."""
    meta = find(heif, b"meta")
    assert meta is not None
    more = box(b"free", b"urn:com:apple:photo:2020:aux:hdrgainmap\x00")
    at, sizes = _place_at(heif)
    assert sizes == b"\x44\x00"
    (offset,) = struct.unpack_from(">L", heif, at)
    moved = heif[:at] + struct.pack(">L", offset + len(more)) + heif[at + 4 :]
    size = struct.pack(">L", meta.end - meta.start + len(more))
    return moved[: meta.start] + size + moved[meta.start + 4 : meta.end] + more + moved[meta.end :]


@dataclass(frozen=True)
class _Item:
    """Of a file of one item: its property boxes, which of them it has (flag, index from 1), its type and data."""

    properties: bytes
    associations: list[tuple[int, int]]
    kind: bytes
    data: bytes


def _item(data: bytes) -> _Item:
    start, end = _inner(data, b"meta", 0, len(data))
    start += 4
    iprp = _inner(data, b"iprp", start, end)
    ipco, ipma = _inner(data, b"ipco", *iprp), _inner(data, b"ipma", *iprp)
    count = data[ipma[0] + 10]
    associations = [(byte & 0x80, byte & 0x7F) for byte in data[ipma[0] + 11 : ipma[0] + 11 + count]]
    infos = _inner(data, b"iinf", start, end)
    info, _ = _inner(data, b"infe", infos[0] + 6, infos[1])
    at, _ = _place_at(data)
    offset, length = struct.unpack_from(">LL", data, at)
    if data[_inner(data, b"iloc", start, end)[0] + 5] >> 4:
        offset += struct.unpack_from(">L", data, at - 6)[0]
    return _Item(data[slice(*ipco)], associations, data[info + 8 : info + 12], data[offset : offset + length])


def _inner(data: bytes, kind: bytes, start: int, end: int) -> tuple[int, int]:
    found = find(data, kind, start, end)
    assert found is not None, kind
    return found.body, found.end


def _place_at(data: bytes) -> tuple[int, bytes]:
    """Where the first item's offset and length stand, and how wide the fields are."""
    start, end = _inner(data, b"meta", 0, len(data))
    iloc, _ = _inner(data, b"iloc", start + 4, end)
    wide = 2 if data[iloc] else 0
    return iloc + 8 + 4 + wide + (data[iloc + 5] >> 4) + 2, bytes(data[iloc + 4 : iloc + 6]).replace(
        b"\x44\x40", b"\x44\x00"
    )


def with_video(picture: bytes, video: bytes) -> bytes:
    """A file of boxes that is both: ``video``, an MP4, has its boxes behind the picture's, and is found there."""
    parts = {one.kind: one for one in boxes(video)}
    media, head = (bytearray(video[parts[kind].start : parts[kind].end]) for kind in (b"mdat", b"moov"))
    at = head.index(b"stco") + 8
    for place in range(at + 4, at + 4 + 4 * int.from_bytes(head[at : at + 4], "big"), 4):
        offset = int.from_bytes(head[place : place + 4], "big") - parts[b"mdat"].start + len(picture)
        head[place : place + 4] = offset.to_bytes(4, "big")
    return picture + bytes(media + head)
