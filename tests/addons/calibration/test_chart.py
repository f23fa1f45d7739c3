from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from addons.calibration.chart import draw
from addons.calibration.thresholds import threshold


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_picture_of_all_concepts(tmp_path: Path, count: int) -> None:
    scores = {f"clip.c{number}": [n / 100 for n in range(100)] for number in range(count)}
    thresholds = [threshold(symbol, some, 0.05) for symbol, some in scores.items()]
    draw(tmp_path / "a.png", scores, thresholds, {"clip.c0": 0.5})
    with Image.open(tmp_path / "a.png") as image:
        assert image.format == "PNG"
        assert image.width > 300
        red, green, _ = np.moveaxis(np.asarray(image.convert("RGB")), 2, 0)
    # The line of a threshold is drawn.
    assert ((red > 150) & (green < 70)).any()
