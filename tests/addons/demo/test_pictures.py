import io

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from addons.demo.pictures import KINDS, LATE_FRAMES, Kind, draw, hash_list, known
from classifier.frames import MIN_PDQ_QUALITY
from classifier.pdq import pdq_of


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "broken"])
@pytest.mark.parametrize("extension", ["jpg", "png"])
def test_each_picture_can_be_read_and_differs_by_seed(kind: Kind, extension: str) -> None:
    first, media_type = draw(kind, extension, 1)
    with Image.open(io.BytesIO(first)) as image:
        image.load()
        assert image.width == image.height
    assert media_type.startswith("image/")
    assert draw(kind, extension, 1) == (first, media_type)
    assert draw(kind, extension, 2)[0] != first


def test_a_broken_picture_is_none() -> None:
    data, media_type = draw("broken", "png", 1)
    assert media_type == "image/png"
    with pytest.raises(UnidentifiedImageError):
        Image.open(io.BytesIO(data))


def test_a_lying_picture_is_not_what_it_says() -> None:
    data, media_type = draw("lying", "png", 1)
    assert media_type == "image/png"
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "JPEG"


def test_of_a_late_animation_only_the_last_frame_has_red_in_it() -> None:
    red = []
    with Image.open(io.BytesIO(draw("late", "gif", 4)[0])) as image:
        for frame in range(getattr(image, "n_frames", 1)):
            image.seek(frame)
            pixels = np.asarray(image.convert("RGB")).astype(int)
            red.append(bool(((pixels[..., 0] > 180) & (pixels[..., 1] < 70) & (pixels[..., 2] < 70)).mean() > 0.1))
    assert red == [False] * (LATE_FRAMES - 1) + [True]


def test_the_hash_list_knows_the_copies_of_the_known_picture_and_no_other() -> None:
    kind, listed, _, _ = hash_list().splitlines()[1].split(",")
    assert kind == "pdq"
    assert pdq_of(np.asarray(known()))[1] >= MIN_PDQ_QUALITY

    def distance(kind: Kind, seed: int) -> int:
        with Image.open(io.BytesIO(draw(kind, "jpg", seed)[0])) as image:
            return (int(pdq_of(np.asarray(image.convert("RGB")))[0], 16) ^ int(listed, 16)).bit_count()

    assert max(distance("known", seed) for seed in range(0, 90, 9)) <= 20
    assert min(distance("ordinary", seed) for seed in range(20)) > 60
