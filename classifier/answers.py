"""A prepared file as it leaves its decoding process: plain values and raw pixels, believed only after a check.

The process has opened a hostile file and may be under its control. It can lie about the picture; it cannot send code,
and nothing that the rest of the program would stumble over.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import replace

import msgspec
import numpy as np
from numpy.typing import NDArray

from classifier.frames import MAX_ROWS, Bounds, HashedFrame, Prepared, PreparedFrame, Undecoded
from classifier.inputs import InputSpec, Rows
from classifier.parts import Needs, Parts
from classifier.said import fit

_PREPARED, _UNDECODED, _NEEDS = b"P", b"U", b"N"
_MAX_MESSAGE = 500
_MAX_HASHES = 8_000
"""Two views of each frame that an animation may have, and as much again."""
_MAX_FRAMES = 4_000
"""Views of all frames and covers that any configuration allows, and more; each costs its share of a look-up."""
_MAX_NUMBER = 1 << 31
_MAX_RANGES = 1_000
_MAX_FILE = 1 << 50
_MEDIA_TYPE = re.compile(r"[a-z]+/[a-z0-9.+-]{1,80}")
_MARK = re.compile(r"file\.[a-z0-9_-]{1,40}")
_READING = re.compile(r"[a-z0-9 -]{0,40}")
_PDQ = re.compile(r"[0-9a-f]{64}")


class NonsenseError(Exception):
    """A decoding process gave what none of ours gives; the message says what."""


def get_ready() -> None:
    """Once in each process, before it is shut in: what is imported later would count against a file's memory.

    It is all imported here, so that the libraries which read hostile files are in no other process.
    """
    import cv2

    from classifier import preparing  # noqa: F401
    from classifier.decode import prepare

    cv2.setNumThreads(1)
    prepare()


def prepare_packed(data: bytes | Parts, bounds: Bounds, inputs: Mapping[str, InputSpec]) -> tuple[bytes, list[Rows]]:
    """Runs in the decoding process: what ``prepare_file`` gives, packed."""
    from classifier.preparing import prepare_file

    return pack(prepare_file(data, bounds, inputs))


def pack(result: Prepared | Undecoded | Needs) -> tuple[bytes, list[Rows]]:
    """The values, and the tiles that go beside them, in the order of ``Prepared.rows``."""
    if isinstance(result, Undecoded):
        return _UNDECODED + msgspec.msgpack.encode(result), []
    if isinstance(result, Needs):
        return _NEEDS + msgspec.msgpack.encode(result), []
    tiles = [np.ascontiguousarray(rows) for rows in result.rows.values()]
    return _PREPARED + msgspec.msgpack.encode(result, enc_hook=lambda rows: rows.shape), tiles


def unpack(head: bytes, body: NDArray[np.uint8], inputs: Mapping[str, InputSpec]) -> Prepared | Undecoded | Needs:
    """The result again, for detectors that want ``inputs``. Raises NonsenseError."""
    try:
        if head[:1] == _UNDECODED:
            return _undecoded(msgspec.msgpack.decode(memoryview(head)[1:], type=Undecoded))
        if head[:1] == _NEEDS:
            return _needs(msgspec.msgpack.decode(memoryview(head)[1:], type=Needs))
        _expect(head[:1] == _PREPARED, "neither frames nor why there are none")
        taker = _Taker(body)
        result = msgspec.msgpack.decode(memoryview(head)[1:], type=Prepared, dec_hook=taker.take)
        _expect(taker.at == len(body), "tiles that it does not describe")
    except msgspec.DecodeError as error:
        raise NonsenseError(f"a decoding process gave nonsense: {error}") from error
    _check(result, inputs)
    return result


class _Taker:
    """Cuts the tiles out of the raw bytes, in the order in which their shapes come by."""

    def __init__(self, body: NDArray[np.uint8]) -> None:
        self._body = body
        self.at = 0

    def take(self, kind: type, shape: object) -> Rows:
        _expect(
            isinstance(shape, list) and len(shape) == 4 and all(type(one) is int and one > 0 for one in shape), "shape"
        )
        assert isinstance(shape, list)
        start, self.at = self.at, self.at + math.prod(shape)
        _expect(self.at <= len(self._body), "fewer tiles than it says")
        return self._body[start : self.at].reshape(shape)


def _undecoded(result: Undecoded) -> Undecoded:
    _expect(not result.media_type or _MEDIA_TYPE.fullmatch(result.media_type), "media type")
    # Libraries quote what they stumbled over; the message goes into logs.
    return replace(result, message=fit(result.message, _MAX_MESSAGE))


def _needs(result: Needs) -> Needs:
    _expect(0 < len(result.ranges) <= _MAX_RANGES, "ranges")
    _expect(all(0 <= offset < _MAX_FILE and 0 < length < _MAX_FILE for offset, length in result.ranges), "range")
    return result


def _check(result: Prepared, inputs: Mapping[str, InputSpec]) -> None:
    _expect(_MEDIA_TYPE.fullmatch(result.media_type), "media type")
    _expect(all(0 < one < _MAX_NUMBER for one in (result.width, result.height, result.count)), "size")
    _expect(len(result.marks) <= 16 and all(_MARK.fullmatch(mark) for mark in result.marks), "marks")
    _expect(len(result.hashes) <= _MAX_HASHES, "hashes")
    for one in result.hashes:
        _check_hash(one)
    _expect(result.rows.keys() == inputs.keys(), "detectors")
    for name, spec in inputs.items():
        _expect(result.rows[name].shape[1:] == (*spec.size, 3), "size of tiles")
        _expect(len(result.rows[name]) <= max(MAX_ROWS, len(result.frames)), "number of tiles")
    _expect(0 < len(result.frames) <= _MAX_FRAMES, "number of frames")
    for frame in result.frames:
        _check_hash(frame)
        _expect(_READING.fullmatch(frame.reading), "reading")
        _expect(frame.at is None or 0 <= frame.at < math.inf, "time")
        _expect(frame.rows.keys() == inputs.keys(), "frame's detectors")
        for name, (start, stop) in frame.rows.items():
            _expect(0 <= start < stop <= len(result.rows[name]), "frame's tiles")


def _check_hash(one: HashedFrame | PreparedFrame) -> None:
    _expect(0 <= one.index < _MAX_NUMBER and _PDQ.fullmatch(one.pdq) and 0 <= one.quality <= 100, "hash")
    _expect(len(one.flips) in (0, 3) and all(_PDQ.fullmatch(flip) for flip in one.flips), "flips")


def _expect(holds: object, what: str) -> None:
    if not holds:
        raise NonsenseError(f"a decoding process gave nonsense: {what}")
