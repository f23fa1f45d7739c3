import io
from collections.abc import Callable

import av
import numpy as np
import pytest
from PIL import Image, ImageOps, UnidentifiedImageError

from addons.demo import videos
from addons.demo.pictures import KINDS, LATE_FRAMES, LISTS, STOPPED, Kind, Listed, draw, hash_list, listed
from classifier.frames import MIN_PDQ_QUALITY
from classifier.pdq import pdq_of

FILMS: tuple[Kind, ...] = ("film", "glimpse")


def has_red(image: Image.Image) -> bool:
    """Whether a tenth of it is of the forbidden shape's red."""
    pixels = np.asarray(image.convert("RGB")).astype(int)
    return bool(((pixels[..., 0] > 180) & (pixels[..., 1] < 70) & (pixels[..., 2] < 70)).mean() > 0.1)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("broken", *FILMS)])
@pytest.mark.parametrize("extension", ["jpg", "png"])
def test_each_picture_can_be_read_and_differs_by_seed(kind: Kind, extension: str) -> None:
    first, media_type = draw(kind, extension, 1)
    with Image.open(io.BytesIO(first)) as image:
        image.load()
        assert image.width == image.height
    assert media_type.startswith("image/")
    assert draw(kind, extension, 1) == (first, media_type)
    assert draw(kind, extension, 2)[0] != first


@pytest.mark.parametrize("kind", FILMS)
def test_a_video_is_the_same_for_a_seed_and_another_for_another(kind: Kind) -> None:
    data, media_type = draw(kind, "mp4", 1)
    assert media_type == "video/mp4"
    assert {draw(kind, "mp4", 1)[0] for _ in range(8)} == {data}
    assert draw(kind, "mp4", 2)[0] != data


@pytest.mark.parametrize("seed", [1, 2])
def test_a_glimpse_is_forbidden_for_one_second_and_a_film_never(seed: int) -> None:
    """Whole frames before and after it are ordinary."""
    with av.open(io.BytesIO(draw("glimpse", "mp4", seed)[0]), "r") as file:
        seconds = [
            frame.time for frame in file.decode(video=0) if has_red(Image.fromarray(frame.to_ndarray(format="rgb24")))
        ]
    assert len(seconds) == videos.RATE
    assert (seconds[0], seconds[-1]) == pytest.approx((1 + seed % 2, 1.9 + seed % 2))
    with av.open(io.BytesIO(draw("film", "mp4", seed)[0]), "r") as file:
        frames = [Image.fromarray(frame.to_ndarray(format="rgb24")) for frame in file.decode(video=0)]
    assert len(frames) == videos.RATE * videos.SECONDS
    assert not any(map(has_red, frames))


def test_behind_an_ordinary_picture_hides_a_forbidden_one() -> None:
    data, _ = draw("hiding", "jpg", 3)
    second = data.index(b"\xff\xd8\xff", 3)
    shown, hidden = (Image.open(io.BytesIO(part)) for part in (data, data[second:]))
    assert not has_red(shown)
    assert has_red(hidden)


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
            red.append(has_red(image))
    assert red == [False] * (LATE_FRAMES - 1) + [True]


@pytest.mark.parametrize("name", LISTS)
def test_a_hash_list_knows_the_copies_of_its_picture_and_no_other(name: Listed) -> None:
    kind, digest, _, _ = hash_list(name).splitlines()[1].split(",")
    assert kind == "pdq"
    assert pdq_of(np.asarray(listed(name)))[1] >= MIN_PDQ_QUALITY

    def distance(kind: Kind, seed: int, turn: Callable[[Image.Image], Image.Image] = lambda image: image) -> int:
        with Image.open(io.BytesIO(draw(kind, "jpg", seed)[0])) as image:
            return (int(pdq_of(np.asarray(turn(image.convert("RGB"))))[0], 16) ^ int(digest, 16)).bit_count()

    assert max(distance(name, seed) for seed in range(0, 90, 15)) <= 20
    assert min(distance("unwanted" if name == "known" else "known", seed) for seed in range(0, 90, 15)) > 60
    assert min(distance("ordinary", seed) for seed in range(10)) > 60
    assert min(distance("mirrored", seed) for seed in range(0, 90, 15)) > 60
    if name == "known":
        assert max(distance("mirrored", seed, ImageOps.mirror) for seed in range(0, 90, 15)) <= 20


def test_what_is_stopped_is_neither_ordinary_nor_a_face() -> None:
    assert set(KINDS) - STOPPED == {"ordinary", "face", "lying", "film"}
