"""Makes HEIF and AVIF pictures that are a grid of tiles (ISO/IEC 23008-12 §6.6.2.3): few bytes, and many pixels."""

import struct

from classifier.boxes import boxes
from tests.drawing import encode, textured


def grid(format: str, side: int, rows: int, columns: int, tiles: int) -> bytes:
    """A grid that shows ``tiles`` items in turn, which are all the same bytes: one drawn square of ``side`` pixels."""
    whole = encode(textured(1, side, side), format)
    top = _inner(whole)
    meta = _inner(top["meta"], 4)
    properties = _inner(meta["iprp"])
    kind = b"av01" if format == "AVIF" else b"hvc1"
    last = tiles + 1
    count = len(list(boxes(properties["ipco"])))
    shape = struct.pack(">BBBBII", 0, 1, rows - 1, columns - 1, columns * side, rows * side)
    items = b"".join(_item(number, kind, hidden=True) for number in range(1, last)) + _item(last, b"grid", hidden=False)
    references = b"".join(struct.pack(">H", 1 + number % tiles) for number in range(rows * columns))
    # The one item's list of properties for all tiles, and for the grid a size of its own.
    owned = b"".join(struct.pack(">H", number) + properties["ipma"][10:] for number in range(1, last))
    size = _box("ispe", struct.pack(">III", 0, columns * side, rows * side))

    def head(at: int) -> bytes:
        places = b"".join(struct.pack(">HHHHII", number, 0, 0, 1, at, len(top["mdat"])) for number in range(1, last))
        inner = (
            _box("hdlr", meta["hdlr"]),
            _box("pitm", struct.pack(">IH", 0, last)),
            _box(
                "iloc",
                struct.pack(">IHH", 1 << 24, 0x4400, last)
                + places
                + struct.pack(">6H", last, 1, 0, 1, 0, 0)
                + struct.pack(">HH", 0, len(shape)),
            ),
            _box("iinf", struct.pack(">IH", 0, last) + items),
            _box("iref", struct.pack(">I", 0) + _box("dimg", struct.pack(">HH", last, rows * columns) + references)),
            _box(
                "iprp",
                _box("ipco", properties["ipco"] + size)
                + _box("ipma", struct.pack(">II", 0, last) + owned + struct.pack(">HBB", last, 1, count + 1)),
            ),
            _box("idat", shape),
        )
        return _box("ftyp", top["ftyp"]) + _box("meta", struct.pack(">I", 0) + b"".join(inner))

    return head(len(head(0)) + 8) + _box("mdat", top["mdat"])


def _item(number: int, kind: bytes, *, hidden: bool) -> bytes:
    return _box("infe", struct.pack(">IHH4sB", 2 << 24 | hidden, number, 0, kind, 0))


def _inner(data: bytes, start: int = 0) -> dict[str, bytes]:
    return {box.kind.decode(): data[box.body : box.end] for box in boxes(data, start)}


def _box(kind: str, body: bytes) -> bytes:
    return struct.pack(">I", 8 + len(body)) + kind.encode() + body
