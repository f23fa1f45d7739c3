import hashlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.parts import LEAST, NEAR, Needs, Parts, PartsFile

FILE = bytes(range(256)) * 4000
SIZE = len(FILE)


def known(*ranges: tuple[int, int]) -> Parts:
    return Parts.of(SIZE, [(offset, FILE[offset : offset + length]) for offset, length in ranges])


@given(st.lists(st.tuples(st.integers(0, SIZE - 1), st.integers(0, 5000)), max_size=12))
def test_pieces_are_put_together_whatever_their_order(ranges: list[tuple[int, int]]) -> None:
    parts = known(*ranges)
    covered = {at for offset, length in ranges for at in (offset, min(SIZE, offset + length) - 1) if length}
    assert all(FILE[offset : offset + len(data)] == data for offset, data in parts.pieces)
    assert all(any(offset <= at < offset + len(data) for offset, data in parts.pieces) for at in covered)
    ends = [(offset, offset + len(data)) for offset, data in parts.pieces]
    assert all(end < start for (_, end), (start, _) in itertools.pairwise(ends))


@pytest.mark.parametrize(("offset", "length"), [(-1, 2), (SIZE - 1, 2), (SIZE, 1)])
def test_what_lies_outside_the_file_is_refused(offset: int, length: int) -> None:
    with pytest.raises(ValueError, match="do not lie in a file"):
        Parts.of(SIZE, [(offset, bytes(length))])
    assert Parts.of(SIZE, [(SIZE - 1, b"x")]).known == 1


def test_its_digest_names_the_pieces_and_can_be_no_files() -> None:
    first, other = known((0, 100)).digest, known((0, 101)).digest
    assert len(first) == len(other) == 64
    assert first != other
    assert known((0, 60), (60, 40)).digest == first
    assert Parts.of(SIZE + 1, [(0, FILE[:100])]).digest != first
    for digest in (first, other):
        assert set(digest) - set(hashlib.sha256(b"").hexdigest() + "0123456789abcdef")


def test_it_reads_as_far_as_it_is_known_and_notes_the_hole() -> None:
    file = PartsFile(known((0, 10), (1000, 10)))
    assert (file.read(4), file.read(100), file.tell()) == (FILE[:4], FILE[4:10], 10)
    assert file.needs() is None
    assert file.read(100) == b""
    assert file.needs() == Needs(((10, 990 + LEAST - 990),))
    assert file.seek(-30, 2) == SIZE - 30
    assert file.read(1) == b""
    needs = file.needs()
    assert needs
    assert needs.ranges[-1] == (SIZE - 30, 30)
    assert file.seek(1005) == 1005
    assert file.read(100) == FILE[1005:1010]
    assert file.seek(2, 1) == 1012


def test_past_the_end_is_no_hole() -> None:
    file = PartsFile(known((0, SIZE)))
    file.seek(SIZE)
    assert file.read(10) == b""
    file.seek(SIZE + 100)
    assert file.read(10) == b""
    assert file.needs() is None
    assert not file.want(SIZE - 1, 100)


def test_as_much_again_is_asked_for_as_was_read() -> None:
    file = PartsFile(known((0, 2 * LEAST)))
    file.seek(2 * LEAST)
    file.read(10)
    assert file.needs() == Needs(((2 * LEAST, min(2 * LEAST, SIZE - 2 * LEAST)),))


@pytest.mark.parametrize(("gap", "count"), [(0, 1), (NEAR, 1), (NEAR + 1, 2)])
def test_ranges_that_are_near_are_one(gap: int, count: int) -> None:
    file = PartsFile(known())
    assert file.want(5000 + gap, 100)
    assert file.want(4000, 1000)
    needs = file.needs()
    assert needs
    assert len(needs.ranges) == count
    assert needs.ranges[0][0] == 4000
    assert sum(needs.ranges[-1]) == 5100 + gap


def test_a_range_inside_another_adds_nothing() -> None:
    file = PartsFile(known())
    file.want(100, 1000)
    file.want(200, 10)
    assert file.needs() == Needs(((100, 1000),))
