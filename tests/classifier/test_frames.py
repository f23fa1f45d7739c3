import numpy as np
import pytest

from classifier.decode import Bounds as Offered
from classifier.frames import MIN_PDQ_QUALITY, Bounds, frame_of
from classifier.pdq import pdq_of
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


def test_bounds_say_nothing_of_what_frames_are_for() -> None:
    assert Bounds is Offered
    assert Bounds(1, 1, 1.0).wanted is None
