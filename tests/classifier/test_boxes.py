import struct

import pytest

from classifier.boxes import MAX_BOXES, Box, boxes, find

ONE = struct.pack(">L4s", 12, b"free") + b"abcd"
LONG = struct.pack(">L4sQ", 1, b"mdat", 18) + b"xy"


def test_boxes_follow_each_other() -> None:
    assert list(boxes(ONE + LONG + ONE)) == [Box(b"free", 0, 8, 12), Box(b"mdat", 12, 28, 30), Box(b"free", 30, 38, 42)]


def test_the_last_may_go_to_the_end() -> None:
    assert list(boxes(ONE + struct.pack(">L4s", 0, b"mdat") + b"xyz")) == [
        Box(b"free", 0, 8, 12),
        Box(b"mdat", 12, 20, 23),
    ]


@pytest.mark.parametrize(
    "rest",
    [
        b"",
        b"\0\0\0\x08fre",
        struct.pack(">L4s", 9, b"free"),
        struct.pack(">L4s", 7, b"free") + bytes(9),
        struct.pack(">L4sQ", 1, b"free", 15),
        struct.pack(">L4sQ", 1, b"free", 1 << 63),
        struct.pack(">L4s", 1, b"free"),
        struct.pack(">L4s", 8, b"fr\x00e"),
        struct.pack(">L4s", 8, b"fre\xff"),
    ],
)
def test_they_end_where_one_is_broken(rest: bytes) -> None:
    assert list(boxes(ONE + rest)) == [Box(b"free", 0, 8, 12)]


def test_within_a_box() -> None:
    outer = struct.pack(">L4s", 20, b"meta") + ONE
    assert find(outer + ONE, b"free", 8, 20) == Box(b"free", 8, 16, 20)
    assert find(outer, b"free") is None
    assert list(boxes(outer + ONE, 8, 19)) == []


def test_boxes_at_the_bound_and_one_past() -> None:
    assert len(list(boxes(ONE * MAX_BOXES))) == MAX_BOXES
    assert len(list(boxes(ONE * (MAX_BOXES + 1)))) == MAX_BOXES
