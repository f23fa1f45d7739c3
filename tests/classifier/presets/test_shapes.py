"""The drawings: right size, right colour, whole within the middle square, the same for the same seed."""

import numpy as np
import pytest

from classifier.presets import shapes


def seeded(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    ("size", "expected"),
    [(64, (64, 64)), (1024, (1024, 1024)), ((300, 100), (300, 100)), ((1, 1), (1, 1)), ((97, 211), (97, 211))],
)
def test_the_size_is_the_one_asked_for(size: int | tuple[int, int], expected: tuple[int, int]) -> None:
    assert shapes.draw("red", "circle", size=size, rng=seeded(1)).size == expected
    for kind in shapes.ORDINARY:
        drawn = shapes.draw_ordinary(size=size, kind=kind, rng=seeded(1))
        assert (drawn.size, drawn.mode) == (expected, "RGB")


@pytest.mark.parametrize(("colour", "shape"), shapes.CLASSES)
@pytest.mark.parametrize("size", [(120, 120), (240, 120), (120, 240)])
def test_the_shape_lies_whole_in_the_middle_square(
    colour: shapes.Colour, shape: shapes.Shape, size: tuple[int, int]
) -> None:
    for seed in range(5):
        drawn = np.asarray(shapes.draw(colour, shape, size=size, background=(0, 0, 0), rng=seeded(seed)), int)
        rows, columns = np.nonzero(drawn.sum(2) > 60)
        assert abs(rows - (size[1] - 1) / 2).max() <= 61
        assert abs(columns - (size[0] - 1) / 2).max() <= 61
        middle = np.median(drawn[rows, columns], axis=0)
        assert np.abs(middle - shapes.COLOURS[colour]).max() <= 15
        # The largest circle fills 55 % of the square, the smallest star 3 %.
        assert 0.02 <= len(rows) / 120**2 <= 0.6


def test_the_same_seed_draws_the_same() -> None:
    first, again, other = (shapes.draw("blue", "star", rng=seeded(seed)).tobytes() for seed in (1, 1, 2))
    assert first == again != other
    assert shapes.draw("blue", "star").tobytes() == shapes.draw("blue", "star").tobytes()
    ordinary = [shapes.draw_ordinary(rng=seeded(seed)).tobytes() for seed in (1, 1, 2)]
    assert ordinary[0] == ordinary[1] != ordinary[2]
    assert shapes.draw_ordinary().tobytes() == shapes.draw_ordinary().tobytes()


@pytest.mark.parametrize("kind", shapes.BACKGROUNDS)
def test_a_ground_never_hides_the_shape(kind: shapes.Background) -> None:
    for seed in range(10):
        drawn = np.asarray(shapes.draw("red", "square", size=100, background=kind, rng=seeded(seed)), int)
        corner = np.median(drawn[:4, :4].reshape(-1, 3), axis=0)
        assert np.linalg.norm(corner - shapes.COLOURS["red"]) > 40


def test_captions_name_colour_and_shape() -> None:
    assert shapes.caption("red", "circle") == "a red circle"
    assert len({shapes.caption(*drawn) for drawn in shapes.CLASSES}) == 30
    assert shapes.FORBIDDEN in shapes.CLASSES
