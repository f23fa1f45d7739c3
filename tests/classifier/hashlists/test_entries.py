import random

import numpy as np
import pytest

from classifier.hashlists.entries import DIGITS, KINDS, Hashes, Kind, Remarks, words_of


def chance_hashes(kind: Kind, count: int) -> list[str]:
    chance = random.Random(count)
    return [f"{chance.getrandbits(4 * DIGITS[kind]):0{DIGITS[kind]}x}" for _ in range(count)]


def hashes_of(kind: Kind, digests: list[str]) -> Hashes:
    places = np.arange(len(digests), dtype=np.uint32)
    return Hashes.of(kind, words_of(kind, digests), places, places)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [0, 1, 2, 1000])
def test_every_hash_is_found_and_told_as_it_was(kind: Kind, count: int) -> None:
    digests = chance_hashes(kind, count)
    hashes = hashes_of(kind, digests)
    assert len(hashes) == count
    for place, digest in enumerate(digests):
        at = hashes.find(digest)
        assert at is not None
        assert (hashes.digest(at), hashes.remarks[at]) == (digest, place)
    for stranger in (*chance_hashes(kind, 1001)[:50], "0" * DIGITS[kind], "f" * DIGITS[kind]):
        assert hashes.find(stranger) is None


@pytest.mark.parametrize("kind", KINDS)
def test_hashes_that_differ_in_their_last_digit_only(kind: Kind) -> None:
    """Made to stand in one place of the order: each is found all the same."""
    digests = [f"{number:0{DIGITS[kind]}x}" for number in range(300)]
    hashes = hashes_of(kind, digests[:256])
    assert [hashes.find(digest) is not None for digest in digests] == [True] * 256 + [False] * 44


def test_what_is_no_hash_is_not_found() -> None:
    assert hashes_of("sha256", chance_hashes("sha256", 3)).find(f"parts:{'a' * 58}") is None


def test_of_a_hash_listed_twice_the_first_line_counts() -> None:
    digests = ["ff" * 16, "00" * 16, "ff" * 16]
    words = words_of("md5", digests)
    hashes = Hashes.of("md5", words, np.array([9, 5, 2], dtype=np.uint32), np.array([0, 1, 2], dtype=np.uint32))
    assert [hashes.digest(place) for place in range(len(hashes))] == ["00" * 16, "ff" * 16]
    assert hashes.remarks.tolist() == [1, 2]


def test_remarks() -> None:
    remarks = Remarks(b"a\n b \nonlysource\xc3\xa9", np.array([6, 6, 18]))
    assert Remarks(b"a\n b ", np.array([5])).at(0) == ("a", "b")
    assert remarks.at(1) == ("", "")
    assert remarks.at(2) == ("onlysourceé", "")


@pytest.mark.parametrize("kind", KINDS)
def test_what_another_has_not(kind: Kind) -> None:
    digests = sorted(chance_hashes(kind, 30))
    ours, theirs = hashes_of(kind, digests[:20]), hashes_of(kind, digests[10:])
    assert [theirs.digest(int(place)) for place in theirs.beyond(ours)] == digests[20:]
    assert theirs.beyond(theirs).tolist() == []
    assert len(theirs.beyond(hashes_of(kind, []))) == 20
