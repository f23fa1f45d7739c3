"""What a decoding process that was taken over could say, and what becomes of it."""

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from classifier.answers import NonsenseError, pack, prepare_packed, unpack
from classifier.frames import MAX_ROWS, Bounds, HashedFrame, Prepared, PreparedFrame, Undecoded
from classifier.inputs import InputSpec
from classifier.parts import Needs
from tests.drawing import encode, textured

INPUTS = {"clip": InputSpec((4, 6), "squash"), "nudity": InputSpec((2, 2), "corner", interpolation="linear")}
FRAME = PreparedFrame(0, "", "0f" * 32, 100, {"clip": (0, 2), "nudity": (0, 1)}, 1.5, "thumbnail")
GOOD = Prepared(
    "image/jpeg",
    640,
    480,
    3,
    (FRAME, replace(FRAME, index=2, rows={"clip": (2, 3), "nudity": (1, 2)})),
    hashes=(HashedFrame(1, "ab" * 32, 60),),
    marks=("file.archive",),
    rows={
        "clip": np.arange(3 * 4 * 6 * 3, dtype=np.uint8).reshape(3, 4, 6, 3),
        "nudity": np.full((2, 2, 2, 3), 9, np.uint8),
    },
)


def through(result: Prepared | Undecoded | Needs) -> Prepared | Undecoded | Needs:
    head, tiles = pack(result)
    return unpack(head, np.frombuffer(b"".join(map(bytes, tiles)), np.uint8), INPUTS)


def test_all_of_it_comes_through() -> None:
    found = through(GOOD)
    assert isinstance(found, Prepared)
    assert replace(found, rows={}) == replace(GOOD, rows={})
    for name, rows in GOOD.rows.items():
        np.testing.assert_array_equal(found.rows[name], rows)


def test_a_real_file() -> None:
    head, tiles = prepare_packed(encode(textured(1)), Bounds(1 << 20, 8, 5), INPUTS)
    found = unpack(head, np.concatenate([one.reshape(-1) for one in tiles]), INPUTS)
    assert isinstance(found, Prepared)
    assert (found.media_type, found.width, found.height) == ("image/png", 256, 192)


def test_why_there_are_no_frames() -> None:
    assert through(Undecoded("unsupported", "no", "image/jxl")) == Undecoded("unsupported", "no", "image/jxl")


@pytest.mark.parametrize("ranges", [((0, 1),), ((0, (1 << 50) - 1),) * 1000])
def test_what_is_still_needed(ranges: tuple[tuple[int, int], ...]) -> None:
    assert through(Needs(ranges)) == Needs(ranges)


@pytest.mark.parametrize("ranges", [(), ((0, 0),), ((-1, 5),), ((1 << 50, 1),), ((0, 1 << 50),), ((0, 1),) * 1001])
def test_what_nobody_needs(ranges: tuple[tuple[int, int], ...]) -> None:
    with pytest.raises(NonsenseError):
        through(Needs(ranges))


def test_what_libraries_quote_is_made_fit_for_a_log() -> None:
    found = through(Undecoded("undecodable", "a\r\nb\x1b[31m" + 1000 * "x"))
    assert isinstance(found, Undecoded)
    assert found.message.startswith("a??b?[31mxx")
    assert len(found.message) == 500


@pytest.mark.parametrize(
    "bad",
    [
        replace(GOOD, media_type="image/png\r\nSet-Cookie: x"),
        replace(GOOD, media_type=""),
        replace(GOOD, width=0),
        replace(GOOD, height=-1),
        replace(GOOD, count=1 << 31),
        replace(GOOD, frames=()),
        replace(GOOD, frames=(FRAME,) * 4001),
        replace(GOOD, marks=("hash.ours",)),
        replace(GOOD, marks=("file.x",) * 17),
        replace(GOOD, frames=(replace(FRAME, flips=("ab" * 32,) * 2),)),
        replace(GOOD, frames=(replace(FRAME, flips=("ab" * 32, "ab" * 32, "ab" * 31)),)),
        replace(GOOD, hashes=(HashedFrame(1, "ab" * 31, 60),)),
        replace(GOOD, hashes=(HashedFrame(1, "ab" * 32, 60, ("ab" * 32,) * 2),)),
        replace(GOOD, hashes=(HashedFrame(1, "ab" * 32, 60, ("ab" * 31,) * 3),)),
        replace(GOOD, hashes=(HashedFrame(1, "ab" * 32, 101),)),
        replace(GOOD, hashes=(HashedFrame(-1, "ab" * 32, 1),)),
        replace(GOOD, hashes=(HashedFrame(1, "ab" * 32, 60),) * 8001),
        replace(GOOD, frames=(replace(FRAME, at=float("inf")),)),
        replace(GOOD, frames=(replace(FRAME, reading="<script>"),)),
        replace(GOOD, frames=(replace(FRAME, pdq="AB" * 32),)),
        replace(GOOD, frames=(replace(FRAME, rows={"clip": (0, 1)}),)),
        replace(GOOD, frames=(replace(FRAME, rows={"clip": (1, 1), "nudity": (0, 1)}),)),
        replace(GOOD, frames=(replace(FRAME, rows={"clip": (0, 4), "nudity": (0, 1)}),)),
        replace(GOOD, frames=(replace(FRAME, rows={"clip": (-1, 2), "nudity": (0, 1)}),)),
        replace(GOOD, rows={"clip": GOOD.rows["clip"]}),
        replace(GOOD, rows={**GOOD.rows, "other": GOOD.rows["clip"]}),
        replace(GOOD, rows={**GOOD.rows, "clip": np.zeros((3, 6, 4, 3), np.uint8)}),
        replace(GOOD, rows={**GOOD.rows, "clip": np.zeros((MAX_ROWS + 1, 4, 6, 3), np.uint8)}),
        replace(GOOD, rows={**GOOD.rows, "clip": np.zeros((3, 4, 6), np.uint8)}),
    ],
)
def test_what_ours_never_say(bad: Prepared) -> None:
    with pytest.raises(NonsenseError):
        through(bad)


def test_bounds_may_be_reached() -> None:
    most = replace(
        GOOD,
        count=(1 << 31) - 1,
        frames=(FRAME,) * 4000,
        marks=("file.x",) * 16,
        hashes=(HashedFrame(1, "ab" * 32, 100),) * 8000,
        rows={**GOOD.rows, "clip": np.zeros((MAX_ROWS, 4, 6, 3), np.uint8)},
    )
    assert isinstance(through(most), Prepared)


def with_shape(shape: Any) -> bytes:
    values = msgspec.msgpack.decode(pack(GOOD)[0][1:])
    values["rows"]["nudity"] = shape
    return b"P" + msgspec.msgpack.encode(values)


@pytest.mark.parametrize(
    ("head", "size"),
    [
        (b"", 240),
        (b"X", 240),
        (b"P", 240),
        (b"Pnonsense", 240),
        (b"P" + msgspec.msgpack.encode({"media_type": "image/png"}), 240),
        (b"U" + msgspec.msgpack.encode({"cause": "busy", "message": ""}), 0),
        (pack(GOOD)[0], 239),
        (pack(GOOD)[0], 241),
        (with_shape([2, 2, 2, 4]), 248),
        (with_shape([-2, 2, -2, 3]), 240),
        (with_shape([1 << 62, 1 << 62, 1 << 62, 3]), 240),
        (with_shape([2.0, 2, 2, 3]), 240),
        (with_shape("2223"), 240),
        (with_shape([2, 2, 2, 3, 1]), 240),
        (with_shape([True, 2, 2, 3]), 228),
    ],
)
def test_nonsense(head: bytes, size: int) -> None:
    with pytest.raises(NonsenseError):
        unpack(head, np.zeros(size, np.uint8), INPUTS)


def test_code_is_not_run() -> None:
    """A pickle that would end this process."""
    with pytest.raises(NonsenseError):
        unpack(b"cos\n_exit\n(I1\ntR.", np.zeros(0, np.uint8), INPUTS)
