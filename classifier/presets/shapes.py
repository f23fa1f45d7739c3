"""Draws the pictures that the tiny model knows: one coloured shape on a ground, and ordinary pictures without one."""

import math
from collections.abc import Callable
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

type Colour = Literal["red", "green", "blue", "yellow", "purple", "cyan"]
type Shape = Literal["circle", "square", "triangle", "star", "cross"]
type Background = Literal["plain", "gradient", "noise", "stripes", "blotches"]
type Ordinary = Literal["plain", "gradient", "noise", "stripes", "blotches", "checks", "rings", "clouds", "several"]
type Rgb = tuple[int, int, int]

COLOURS: dict[Colour, Rgb] = {
    "red": (215, 30, 35),
    "green": (35, 155, 50),
    "blue": (35, 60, 205),
    "yellow": (240, 215, 40),
    "purple": (135, 45, 165),
    "cyan": (50, 205, 220),
}
SHAPES: tuple[Shape, ...] = ("circle", "square", "triangle", "star", "cross")
BACKGROUNDS: tuple[Background, ...] = ("plain", "gradient", "noise", "stripes", "blotches")
ORDINARY: tuple[Ordinary, ...] = (*BACKGROUNDS, "checks", "rings", "clouds", "several")
CLASSES: tuple[tuple[Colour, Shape], ...] = tuple(product(COLOURS, SHAPES))
ORDINARY_CAPTION = "a pattern"
FORBIDDEN: tuple[Colour, Shape] = ("red", "circle")
"""What the demo's policy forbids; no ordinary picture has one in it."""

_JITTER = 14  # how far a channel of a named colour may wander, of 255
_TURN = math.pi / 9  # a shape leans at most this far to either side
_CLEAR_OF_SHAPE = 95.0  # least RGB distance of a ground from the shape on it, so that the shape can be seen


def caption(colour: Colour, shape: Shape) -> str:
    """The class's caption: what the tiny model was trained to say of such a drawing."""
    return f"a {colour} {shape}"


def draw(
    colour: Colour,
    shape: Shape,
    *,
    size: int | tuple[int, int] = 256,
    background: Background | Rgb | None = None,
    rng: np.random.Generator | None = None,
) -> Image.Image:
    """One drawing, RGB: the shape lies whole within the middle square, which is all that CLIP's centre crop sees.

    ``size`` is pixels, one side or (width, height); ``background`` a kind, an exact colour, or None for any kind.
    ``rng`` gives place, scale, turn and tint; without one the drawing is always the same.
    """
    rng = np.random.default_rng(0) if rng is None else rng
    width, height = (size, size) if isinstance(size, int) else size
    fill = _tint(COLOURS[colour], rng)
    if isinstance(background, tuple):
        image = Image.new("RGB", (width, height), background)
    else:
        kind = background if background is not None else BACKGROUNDS[rng.integers(len(BACKGROUNDS))]
        first, second = (_ground_colour(rng, avoid=fill) for _ in range(2))
        image = _GROUNDS[kind](width, height, first, second, rng)
    side = min(width, height)
    radius = side * rng.uniform(0.2, 0.42)
    room = side / 2 - radius
    centre = (width / 2 + rng.uniform(-room, room), height / 2 + rng.uniform(-room, room))
    _paint(image, shape, centre, radius, fill, rng)
    return image


def draw_ordinary(
    *, size: int | tuple[int, int] = 256, kind: Ordinary | None = None, rng: np.random.Generator | None = None
) -> Image.Image:
    """A picture that nothing forbids, RGB: a texture, or several shapes at once, never a red circle among them."""
    rng = np.random.default_rng(0) if rng is None else rng
    width, height = (size, size) if isinstance(size, int) else size
    kind = kind if kind is not None else ORDINARY[rng.integers(len(ORDINARY))]
    first, second = _any_colour(rng), _any_colour(rng)
    if kind != "several":
        return _GROUNDS[kind](width, height, first, second, rng)
    ground = BACKGROUNDS[rng.integers(len(BACKGROUNDS))]
    image = _GROUNDS[ground](width, height, first, second, rng)
    allowed = [a for a in CLASSES if a != FORBIDDEN]
    # A grid of cells keeps the shapes apart: two on one spot would be one shape to anyone who looks.
    cells = [(x, y) for x in (0.25, 0.75) for y in (0.25, 0.75)]
    side = min(width, height)
    for cell in rng.permutation(len(cells))[: rng.integers(2, len(cells) + 1)]:
        colour, shape = allowed[rng.integers(len(allowed))]
        x, y = cells[cell]
        centre = (width / 2 + (x - 0.5) * side, height / 2 + (y - 0.5) * side)
        _paint(image, shape, centre, side * rng.uniform(0.12, 0.22), _tint(COLOURS[colour], rng), rng)
    return image


def _paint(
    image: Image.Image,
    shape: Shape,
    centre: tuple[float, float],
    radius: float,
    fill: Rgb,
    rng: np.random.Generator,
) -> None:
    """Draw one shape with smooth edges: drawn on a mask four times as large, then reduced."""
    span = max(2, math.ceil(radius * 2) + 2)
    scale = 4 if span <= 300 else 2
    mask = Image.new("L", (span * scale, span * scale), 0)
    pen = ImageDraw.Draw(mask)
    middle, reach = span * scale / 2, radius * scale
    if shape == "circle":
        pen.ellipse((middle - reach, middle - reach, middle + reach, middle + reach), fill=255)
    else:
        pen.polygon(_outline(shape, middle, reach, rng.uniform(-_TURN, _TURN)), fill=255)
    mask = mask.reduce(scale)
    corner = (round(centre[0] - span / 2), round(centre[1] - span / 2))
    image.paste(Image.new("RGB", mask.size, fill), corner, mask)


def _outline(shape: Shape, middle: float, reach: float, turn: float) -> list[tuple[float, float]]:
    """Corners of a polygon whose farthest corner is ``reach`` from the middle, turned by ``turn`` radians.

    Unturned, triangle and star point up, and squares and crosses stand straight.
    """
    if shape == "cross":
        arm = 0.30
        long = math.sqrt(1 - arm * arm)
        quarter = [(long, -arm), (long, arm), (arm, arm)]
        polar = [(math.hypot(x, y), math.atan2(y, x) + math.pi / 2 * step) for step in range(4) for x, y in quarter]
    else:
        corners = {"square": 4, "triangle": 3, "star": 10}[shape]
        first = math.pi / 4 if shape == "square" else -math.pi / 2
        polar = [
            (0.42 if shape == "star" and n % 2 else 1.0, first + 2 * math.pi * n / corners) for n in range(corners)
        ]
    return [
        (middle + reach * far * math.cos(angle + turn), middle + reach * far * math.sin(angle + turn))
        for far, angle in polar
    ]


def _tint(colour: Rgb, rng: np.random.Generator) -> Rgb:
    red, green, blue = np.clip(np.array(colour) + rng.integers(-_JITTER, _JITTER + 1, 3), 0, 255)
    return int(red), int(green), int(blue)


def _any_colour(rng: np.random.Generator) -> Rgb:
    red, green, blue = rng.integers(0, 256, 3)
    return int(red), int(green), int(blue)


def _ground_colour(rng: np.random.Generator, *, avoid: Rgb) -> Rgb:
    """A colour far enough from ``avoid``; half of them greyish, as most grounds of real pictures are."""
    while True:
        colour = np.array(_any_colour(rng), float)
        if rng.random() < 0.5:
            colour = colour.mean() + 0.3 * (colour - colour.mean())
        if np.linalg.norm(colour - np.array(avoid)) >= _CLEAR_OF_SHAPE:
            return int(colour[0]), int(colour[1]), int(colour[2])


def _mix(share: NDArray[np.float64], first: Rgb, second: Rgb) -> Image.Image:
    """Blend two colours by a map ``[height, width]`` of 0…1."""
    part = share[..., None]
    return Image.fromarray((np.array(first) * (1 - part) + np.array(second) * part).astype(np.uint8))


def _axis(width: int, height: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Each pixel's place along a random direction, in units of the shorter side."""
    angle, side = rng.uniform(0, 2 * math.pi), min(width, height)
    rows, columns = np.ogrid[:height, :width]
    along: NDArray[np.float64] = (columns * math.cos(angle) + rows * math.sin(angle)) / side
    return along


def _plain(width: int, height: int, first: Rgb, second: Rgb, rng: np.random.Generator) -> Image.Image:
    return Image.new("RGB", (width, height), first)


def _gradient(width: int, height: int, first: Rgb, second: Rgb, rng: np.random.Generator) -> Image.Image:
    along = _axis(width, height, rng)
    return _mix((along - along.min()) / max(float(np.ptp(along)), 1e-9), first, second)


def _noise(width: int, height: int, first: Rgb, second: Rgb, rng: np.random.Generator) -> Image.Image:
    grain = rng.normal(0, rng.uniform(4, 18), (height, width, 3))
    return Image.fromarray(np.clip(np.array(first) + grain, 0, 255).astype(np.uint8))


def _stripes(width: int, height: int, first: Rgb, second: Rgb, rng: np.random.Generator) -> Image.Image:
    waves = np.sin(_axis(width, height, rng) * 2 * math.pi * rng.uniform(2, 9))
    return _mix(np.clip(waves * 4 + 0.5, 0, 1) * rng.uniform(0.25, 1), first, second)


def _blotches(width: int, height: int, first: Rgb, second: Rgb, rng: np.random.Generator) -> Image.Image:
    cells = int(rng.integers(3, 9))
    small = Image.fromarray(rng.integers(0, 256, (cells, cells), dtype=np.uint8))
    return _mix(np.asarray(small.resize((width, height), Image.Resampling.BICUBIC), float) / 255, first, second)


def _checks(width: int, height: int, first: Rgb, second: Rgb, rng: np.random.Generator) -> Image.Image:
    cell = max(1, int(min(width, height) * rng.uniform(0.06, 0.25)))
    rows, columns = np.ogrid[:height, :width]
    image = _mix(((rows // cell + columns // cell) % 2).astype(float), first, second)
    return image.filter(ImageFilter.GaussianBlur(rng.uniform(0, cell / 6)))


def _rings(width: int, height: int, first: Rgb, second: Rgb, rng: np.random.Generator) -> Image.Image:
    rows, columns = np.ogrid[:height, :width]
    far = np.hypot(rows - height * rng.uniform(0, 1), columns - width * rng.uniform(0, 1)) / min(width, height)
    return _mix(np.sin(far * 2 * math.pi * rng.uniform(3, 8)) * 0.5 + 0.5, first, second)


def _clouds(width: int, height: int, first: Rgb, second: Rgb, rng: np.random.Generator) -> Image.Image:
    """Noise of many grains in every channel: nearest to a photograph of what can be drawn without one."""
    total = np.zeros((height, width, 3))
    for cells in (2, 4, 8, 16, 32):
        small = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        total += np.asarray(small.resize((width, height), Image.Resampling.BICUBIC), float) / math.sqrt(cells)
    low, high = total.min(), total.max()
    return Image.fromarray(((total - low) / max(float(high - low), 1e-9) * 255).astype(np.uint8))


_GROUNDS: dict[str, Callable[[int, int, Rgb, Rgb, np.random.Generator], Image.Image]] = {
    "plain": _plain,
    "gradient": _gradient,
    "noise": _noise,
    "stripes": _stripes,
    "blotches": _blotches,
    "checks": _checks,
    "rings": _rings,
    "clouds": _clouds,
}
