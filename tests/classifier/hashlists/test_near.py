import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifier.hashlists.entries import Words
from classifier.hashlists.near import INDEXED_FROM, INDEXED_TO, NearIndex

type Pairs = list[tuple[int, int, int]]


def chance_words(count: int, seed: int) -> Words:
    return np.random.default_rng(seed).integers(0, 2**64, size=(count, 4), dtype=np.uint64)


def changed(word: Words, places: list[int]) -> Words:
    """The hash (``uint64 [4]``) with these bits flipped."""
    word = word.copy()
    for place in places:
        word[place // 64] ^= np.uint64(1 << place % 64)
    return word


def by_force(words: Words, asked: Words, distance: int) -> Pairs:
    """Every pair by counting bits one by one."""
    whole = [int.from_bytes(word.tobytes()) for word in words]
    return [
        (query, place, apart)
        for query, one in enumerate(asked)
        for place, other in enumerate(whole)
        if (apart := (int.from_bytes(one.tobytes()) ^ other).bit_count()) <= distance
    ]


def found(index: NearIndex, asked: Words) -> Pairs:
    near = index.search(asked)
    assert list(near.asked) == sorted(near.asked)
    return sorted(zip(near.asked.tolist(), near.listed.tolist(), near.distance.tolist(), strict=True))


SMALL = [0, 1, 2, 1000]
LARGE = chance_words(INDEXED_FROM, 1)
INDEXES = {distance: NearIndex(LARGE, distance) for distance in (0, 1, 15, 16, 17, 31, 32, INDEXED_TO)}


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(SMALL), st.integers(0, 64), st.integers(0, 2**32), st.data())
def test_short_lists(count: int, distance: int, seed: int, data: st.DataObject) -> None:
    words = chance_words(count, seed)
    asked = [chance_words(1, seed + 1)[0]]
    for base in words[:3]:
        apart = data.draw(st.sampled_from([0, 30, 31, 32, distance, distance + 1]))
        asked.append(changed(base, data.draw(st.permutations(range(256)))[:apart]))
    assert found(NearIndex(words, distance), np.array(asked)) == by_force(words, np.array(asked), distance)


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(sorted(INDEXES)),
    st.integers(0, INDEXED_FROM - 1),
    st.integers(-1, 1),
    st.integers(0, 2**32),
    st.booleans(),
)
def test_long_lists(distance: int, place: int, more: int, seed: int, bunched: bool) -> None:
    """At the distance, one nearer and one farther; the bits that differ strewn, or bunched in few chunks."""
    chance = random.Random(seed)
    apart = max(0, distance + more)
    start = chance.randrange(256)
    bits = [(start + bit) % 256 for bit in range(apart)] if bunched else chance.sample(range(256), apart)
    asked = np.array([changed(LARGE[place], bits)])
    assert found(INDEXES[distance], asked) == by_force(LARGE, asked, distance)


@pytest.mark.parametrize("distance", [31, INDEXED_TO])
def test_evenly_spread_bits_are_the_hardest_for_an_index(distance: int) -> None:
    """Each chunk differs by as many bits as its neighbour: no chunk is nearer than the pigeonhole promises."""
    asked = np.array(
        [changed(LARGE[place], [16 * (bit % 16) + bit // 16 for bit in range(distance)]) for place in range(50)]
    )
    pairs = found(INDEXES[distance], asked)
    assert [(query, place, apart) for query, place, apart in pairs if query == place] == [
        (place, place, distance) for place in range(50)
    ]


@pytest.mark.parametrize("asked", [0, 1, 63, 64, 65, 130])
def test_many_at_once(asked: int) -> None:
    words = LARGE[np.arange(asked) * 7]
    assert found(INDEXES[31], words) == [(query, 7 * query, 0) for query in range(asked)]


def test_lists_that_crowd_their_buckets_are_scanned() -> None:
    """A list may be made to have all its hashes in a few buckets: nothing is missed, and memory is bounded."""
    words = np.zeros((INDEXED_FROM, 4), dtype=np.uint64)
    words[:, 3] = np.arange(INDEXED_FROM)
    index = NearIndex(words, 31)
    near = index.search(np.stack([words[5], LARGE[0], words[INDEXED_FROM - 1]]))
    assert np.bincount(near.asked, minlength=3).tolist() == [INDEXED_FROM, 0, INDEXED_FROM]


def test_the_opposite_hash_is_farthest() -> None:
    """256 bits do not count as none."""
    for words in (LARGE[:1], LARGE):
        assert found(NearIndex(words, 31), ~LARGE[:1]) == []


@pytest.mark.parametrize(
    ("count", "distance", "indexed"),
    [
        (INDEXED_FROM - 1, 31, False),
        (INDEXED_FROM, 31, True),
        (INDEXED_FROM, INDEXED_TO, True),
        (INDEXED_FROM, INDEXED_TO + 1, False),
    ],
)
def test_an_index_only_where_it_pays(count: int, distance: int, indexed: bool) -> None:
    assert (NearIndex(LARGE[:count], distance).memory > 0) == indexed
