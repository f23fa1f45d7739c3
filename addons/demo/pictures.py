"""Draws what the demo's remote host serves: shapes, patterns, a face, a known picture and videos, by a seed."""

import io
from typing import Literal, get_args

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from addons.demo import videos
from classifier.pdq import pdq_of
from classifier.presets import shapes

type Kind = Literal[
    "ordinary",
    "forbidden",
    "late",
    "broken",
    "lying",
    "hiding",
    "face",
    "known",
    "mirrored",
    "unwanted",
    "film",
    "glimpse",
]

KINDS: tuple[Kind, ...] = get_args(Kind.__value__)
SIZE = 320
LATE_FRAMES = 6
"""Frames of an animation whose last one is forbidden."""
STOPPED: frozenset[Kind] = frozenset(
    {"forbidden", "late", "broken", "hiding", "known", "mirrored", "unwanted", "glimpse"}
)
"""What the demo's server must never have, whatever the way."""

type Listed = Literal["known", "unwanted"]
LISTS: tuple[Listed, ...] = get_args(Listed.__value__)
_SEEDS: dict[Listed, int] = {"known": 20, "unwanted": 21}


def draw(kind: Kind, extension: str, seed: int) -> tuple[bytes, str]:
    """One picture as bytes, and the media type that the host says it has. Another seed is another picture.

    ``late`` is an animation whose last frame alone is forbidden, ``lying`` a JPEG that calls itself PNG, ``broken`` no
    picture at all, ``hiding`` a JPEG with a forbidden one behind its end, ``face`` a drawn face, ``known`` a smaller,
    recompressed copy of the picture on the list of that name, and ``mirrored`` one that is mirrored besides;
    ``unwanted`` is a copy of the one on the other list. ``film`` is an ordinary video, ``glimpse`` one that is
    forbidden for one second.
    """
    rng = np.random.default_rng(seed)
    if kind == "broken":
        return b"\x89PNG\r\n\x1a\nthis is no picture", "image/png"
    if kind == "late":
        pages = [shapes.draw_ordinary(size=SIZE // 2, rng=rng) for _ in range(LATE_FRAMES - 1)]
        return _animation([*pages, _forbidden(SIZE // 2, rng)]), "image/gif"
    if kind in ("film", "glimpse"):
        frames = videos.ordinary(rng)
        if kind == "glimpse":
            frames = videos.with_one_second_of(_forbidden(videos.SIZE, rng), frames, 1 + seed % 2)
        return videos.mp4(frames), "video/mp4"
    if kind in ("known", "mirrored", "unwanted"):
        side, quality = SIZE + seed % 64, 60 + seed % 30
        copy = listed("unwanted" if kind == "unwanted" else "known").resize((side, side))
        return _encoded(ImageOps.mirror(copy) if kind == "mirrored" else copy, "JPEG", quality), "image/jpeg"
    if kind == "hiding":
        both = shapes.draw_ordinary(size=SIZE, rng=rng), _forbidden(SIZE, rng)
        return b"".join(_encoded(image, "JPEG", 90) for image in both), "image/jpeg"
    if kind == "forbidden":
        image = _forbidden(SIZE, rng)
    elif kind == "face":
        image = _face(SIZE, rng)
    else:
        image = shapes.draw_ordinary(size=SIZE, rng=rng)
    jpeg = extension == "jpg"
    # A name that lies about the type is everyday life in the fediverse: what is judged is the content.
    return _encoded(image, "JPEG" if jpeg or kind == "lying" else "PNG", 90), "image/jpeg" if jpeg else "image/png"


def listed(name: Listed) -> Image.Image:
    """The picture whose PDQ hash stands in the demo's hash list of that name: a pattern, rich enough for PDQ."""
    return shapes.draw_ordinary(size=512, kind="clouds", rng=np.random.default_rng(_SEEDS[name]))


def hash_list(name: Listed) -> str:
    """One of the demo's hash lists as CSV (``kind,hash,source,note``)."""
    digest, _ = pdq_of(np.asarray(listed(name)))
    return f"kind,hash,source,note\npdq,{digest},demo,a pattern that somebody reported\n"


def _forbidden(size: int | tuple[int, int], rng: np.random.Generator) -> Image.Image:
    # On a lively ground the tiny model misses one in fifty, and the demo would tell of that instead of fediward.
    return shapes.draw(*shapes.FORBIDDEN, size=size, background=_light(rng), rng=rng)


def _light(rng: np.random.Generator) -> shapes.Rgb:
    red, green, blue = rng.integers(150, 256, 3)
    return int(red), int(green), int(blue)


def _face(size: int, rng: np.random.Generator) -> Image.Image:
    """A face in ovals and strokes, as NudeNet's class for faces knows them; the ground differs by ``rng``."""
    image = Image.new("RGB", (size, size), _light(rng))
    pen = ImageDraw.Draw(image)

    def oval(x: float, y: float, width: float, height: float, fill: tuple[int, int, int]) -> None:
        pen.ellipse(((x - width) * size, (y - height) * size, (x + width) * size, (y + height) * size), fill=fill)

    hair, skin, shade = (70, 45, 30), (224, 182, 150), (205, 160, 130)
    oval(0.5, 0.95, 0.36, 0.24, (60, 80, 130))
    oval(0.5, 0.40, 0.25, 0.29, hair)
    pen.rectangle((0.26 * size, 0.4 * size, 0.74 * size, 0.75 * size), fill=hair)
    pen.rectangle((0.43 * size, 0.6 * size, 0.57 * size, 0.8 * size), fill=shade)
    oval(0.5, 0.46, 0.2, 0.26, skin)
    stroke = max(1, size // 80)
    for x in (0.42, 0.58):
        oval(x, 0.43, 0.045, 0.022, (250, 250, 250))
        oval(x, 0.43, 0.02, 0.02, (60, 40, 20))
        brow = ((x - 0.055) * size, 0.385 * size, x * size, 0.37 * size, (x + 0.055) * size, 0.385 * size)
        pen.line(brow, fill=hair, width=stroke)
    pen.line((0.5 * size, 0.45 * size, 0.48 * size, 0.54 * size, 0.52 * size, 0.545 * size), fill=shade, width=stroke)
    oval(0.5, 0.61, 0.07, 0.02, (170, 70, 70))
    # Hard edges look drawn to NudeNet, which learnt from photographs.
    return image.filter(ImageFilter.GaussianBlur(size / 100))


def _encoded(image: Image.Image, form: str, quality: int) -> bytes:
    out = io.BytesIO()
    image.save(out, form, quality=quality)
    return out.getvalue()


def _animation(frames: list[Image.Image]) -> bytes:
    out = io.BytesIO()
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:], duration=200, loop=0)
    return out.getvalue()
