import numpy as np
import pytest

from classifier.frames import MIN_PDQ_QUALITY, Bounds, HashedFrame, frame_of, hashed
from classifier.pdq import flips_of, pdq_of
from tests.drawing import textured


@pytest.mark.parametrize("size", [None, (1024, 768)])
def test_a_frame_is_hashed_as_the_picture_that_it_was_made_from(size: tuple[int, int] | None) -> None:
    full = textured(1, 1024, 768)
    pixels = np.asarray(full.reduce(2))
    frame = frame_of(3, "white", pixels, size)
    assert (frame.index, frame.ground, frame.reading, frame.at) == (3, "white", "", None)
    assert frame.pixels is pixels
    assert (frame.pdq, frame.quality) == pdq_of(pixels, size)
    apart = int(frame.pdq, 16) ^ int(pdq_of(np.asarray(full))[0], 16)
    assert (apart.bit_count() <= 2) is (size is not None)


def test_a_flat_frame_has_no_hash_to_go_by() -> None:
    assert frame_of(0, "", np.full((48, 64, 3), 128, np.uint8)).quality < MIN_PDQ_QUALITY


@pytest.mark.parametrize("flips", [True, False])
def test_flips_of_what_is_only_hashed_are_there_where_they_are_asked_for(flips: bool) -> None:
    pixels = np.asarray(textured(1, 256, 192))
    found = hashed(7, pixels, Bounds(1, 1, 1.0, flips=flips), (512, 384))
    size = (512, 384)
    assert found == HashedFrame(7, *pdq_of(pixels, size), flips_of(pixels, size) if flips else ())


def test_bounds_say_nothing_of_what_frames_are_for() -> None:
    assert Bounds(1, 1, 1.0).wanted is None
