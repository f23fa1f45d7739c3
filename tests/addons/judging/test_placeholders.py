import hashlib
import io
import itertools
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from addons.judging import placeholders
from addons.judging.placeholders import CACHED, LEAST, SIDE, USUAL, placeholder
from classifier import Judgement, media_type_of
from classifier.engine import Engine
from classifier.presets import load, tiny
from classifier.settings import ClassifierSettings, ClipSettings, DecodeSettings

URLS = [f"https://remote.example/{name}" for name in ("a.png", "b.png", "a.png?1", "ä", "")]
PICTURES = [
    "image/jpeg",
    "image/png",
    "image/gif",
    "image/webp",
    "image/avif",
    "image/heic",
    "image/jxl",
    "image/bmp",
    "image/tiff",
    "image/x-icon",
]
VIDEOS = ["video/mp4", "video/webm", "video/quicktime", "video/x-matroska"]


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def size_of(width: int | None, height: int | None, media_type: str = "image/png") -> tuple[int, int]:
    data, _ = placeholder(media_type, width, height, "a")
    return opened(data).size


@pytest.fixture(scope="module")
def engine() -> Engine:
    """The demo's clip detector and concepts; the parts that decode run for real."""
    settings = ClassifierSettings(
        nudity=None,
        clip=ClipSettings(model=tiny.MODEL, pretrained=tiny.PRETRAINED),
        decode=DecodeSettings(processes=1),
    )
    return Engine.start(settings, load("demo-shapes"))


async def test_every_format_is_what_it_says_and_harmless(engine: Engine) -> None:
    try:
        for media_type in PICTURES + VIDEOS:
            data, told = placeholder(media_type, 400, 300, URLS[0])
            assert (told, media_type_of(data)) == (media_type, media_type)
            assert len(data) < 1 << 20
            judgement: Judgement = await engine.judge(data, timeout=60)
            assert judgement.media_type == media_type
            assert judgement.worst()["clip.red_circle"] < 0.5, media_type
            expected = (256, 192) if media_type == "image/x-icon" else (400, 300)
            assert (judgement.width, judgement.height) == expected, media_type
    finally:
        await engine.close()


@pytest.mark.parametrize("media_type", PICTURES + VIDEOS)
def test_the_same_url_gives_the_same_bytes_and_each_its_own(media_type: str) -> None:
    files = [placeholder(media_type, 200, 200, url)[0] for url in URLS]
    assert files == [placeholder(media_type, 200, 200, url)[0] for url in URLS]
    assert len(set(files)) == len(URLS)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("IMAGE/JPEG; charset=binary", "image/jpeg"),
        ("image/jpg", "image/jpeg"),
        ("image/heif", "image/heic"),
        ("image/apng", "image/png"),
        ("image/vnd.microsoft.icon", "image/x-icon"),
        ("video/ogg", "video/mp4"),
        ("image/svg+xml", "image/png"),
        ("text/html", "image/png"),
        ("", "image/png"),
    ],
)
def test_a_type_that_is_not_written_gives_one_near_it(asked: str, told: str) -> None:
    data, media_type = placeholder(asked, 64, 64, "a")
    assert (media_type, media_type_of(data)) == (told, told)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((SIDE, SIDE), (SIDE, SIDE)),
        ((SIDE + 1, SIDE + 1), (SIDE, SIDE)),
        ((1920, 1080), (512, 288)),
        ((100, 101), (100, 100)),  # even, for videos
        ((LEAST, LEAST), (LEAST, LEAST)),
        ((LEAST - 1, 1), (LEAST, LEAST)),
        ((1_000_000, 1), (SIDE, LEAST)),
        ((1, 10**30), (LEAST, SIDE)),
        ((0, 5), USUAL),
        ((-3, 5), USUAL),
        ((None, None), USUAL),
    ],
)
def test_sizes(size: tuple[int | None, int | None], expected: tuple[int, int]) -> None:
    assert size_of(*size) == expected


@pytest.mark.parametrize("side", [64, 512])
@pytest.mark.parametrize("quality", [40, 80])
@pytest.mark.parametrize("format", ["JPEG", "WEBP"])
def test_they_differ_also_when_scaled_and_compressed_anew(format: str, quality: int, side: int) -> None:
    """As pict-rs may keep them: by the SHA-256 of what it makes of them, and as thumbnails."""
    seen, pixels = set(), []
    for number in range(20):
        image = opened(placeholder("image/png", side, side, f"https://remote.example/{number}")[0])
        small = image.resize((side // 2, side // 2), Image.Resampling.LANCZOS)
        file = io.BytesIO()
        small.save(file, format, quality=quality)
        seen.add(hashlib.sha256(file.getvalue()).hexdigest())
        pixels.append(np.asarray(opened(file.getvalue()), np.int16))
    assert len(seen) == 20
    # Not by noise: in many places, by more than compression changes anything.
    for one, other in itertools.pairwise(pixels):
        assert ((np.abs(one - other).max(axis=2) >= 12).sum()) >= side * side // 400


def test_a_seed_of_any_text_and_length() -> None:
    files = {placeholder("image/png", 64, 64, seed)[0] for seed in ("\udc80", "\x00", "x" * 100_000, "data:,")}
    assert len(files) == 4


def test_a_library_without_the_encoder_gives_png(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(image: object) -> object:
        raise RuntimeError("no encoder")

    monkeypatch.setattr(pillow_heif, "from_pillow", broken)
    data, told = placeholder("image/heic", 64, 64, "a")
    assert (told, media_type_of(data)) == ("image/png", "image/png")


def test_the_drawings_that_are_remembered_are_bounded_and_never_changed() -> None:
    first = placeholder("image/png", 64, 64, "a")
    for side in range(LEAST, LEAST + 4 * CACHED, 2):
        placeholder("image/png", side, side, "b")
    assert placeholders._drawn.cache_info().currsize == CACHED
    assert placeholder("image/png", 64, 64, "a") == first


def test_in_several_threads() -> None:
    made: dict[int, bytes] = {}

    def make(number: int) -> None:
        made[number] = placeholder(PICTURES[number % len(PICTURES)], 128, 128, "a")[0]

    threads = [threading.Thread(target=make, args=(number,)) for number in range(2 * len(PICTURES))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(made[number] == made[number + len(PICTURES)] for number in range(len(PICTURES)))


def test_what_decodes_is_not_loaded_before_it_is_needed() -> None:
    code = (
        "import sys; from addons.judging.placeholders import placeholder; placeholder('image/jpeg', 64, 64, 'a');"
        "print(sorted({'av', 'pillow_heif', 'imagecodecs', 'torch'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[3]
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert found.stdout == "[]\n"
