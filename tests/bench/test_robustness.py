"""What the bench counts: distances, shares, and that its tables go where a file has them."""

import argparse
from pathlib import Path

from rich.progress import Progress

from classifier.types import JudgedFrame, Judgement
from tests.bench.copies import COPIES
from tests.bench.robustness import KINDS, Bench, bits_apart, picture
from tests.bench.robustness_counts import Found, change, share_of, spread
from tests.bench.robustness_tables import BEGIN, END, write

ZERO, THREE, FULL = "0" * 64, "0" * 63 + "7", "f" * 64


def judgement(*frames: JudgedFrame) -> Judgement:
    return Judgement("ab" * 32, "image/png", 1, 1, frames, "test")


def test_pictures_are_those_of_their_number_and_seed() -> None:
    for number in range(len(KINDS)):
        kind, image = picture(number, 4)
        assert kind == KINDS[number]
        assert image == picture(number, 4)[1]
        assert image != picture(number, 5)[1]
        assert image != picture(number + len(KINDS), 4)[1]


def test_the_nearest_frame_counts_and_flips_only_where_asked() -> None:
    frames = JudgedFrame(0, {}, FULL), JudgedFrame(1, {}, THREE, flips=(ZERO, FULL, FULL))
    assert bits_apart(judgement(*frames), ZERO, turned=False) == 3
    assert bits_apart(judgement(*frames), ZERO, turned=True) == 0
    assert bits_apart(judgement(JudgedFrame(0, {})), ZERO, turned=True) is None


def test_shares_and_spreads() -> None:
    assert share_of([True, False, False, True]) == 0.5
    assert share_of([]) is None
    assert spread(list(range(101))) == [50.0, 99.0]
    assert spread([]) is None
    assert change({"clip.a": [0.1, 0.3], "clip.b": [0.2], "nudity.c": [1.0]}, "clip.") == [0.2, 0.298]
    assert change({}, "clip.") is None


def test_tables_replace_only_what_lies_between_the_marks(tmp_path: Path) -> None:
    file = tmp_path / "robustness.md"
    file.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    found = Found()
    found.copies["PNG"].matched.extend([True, False, False])
    figures = found.figures() | {"seed": 1, "nudity_pictures": 0}
    write(file, figures, "how it was made")
    text = file.read_text()
    assert text.startswith(f"before\n{BEGIN}\nhow it was made\n\n")
    assert text.endswith(f"{END}\nafter\n")
    assert "old" not in text
    assert "| PNG | – | 33.3 % |" in text
    assert all(f"\n| {name} | " in text for name in COPIES)
    write(file, figures, "how it was made")
    assert file.read_text() == text


async def test_the_real_engine_over_two_pictures() -> None:
    """The first is a texture, which PDQ can hash; the third, a red circle, is not among them."""
    bench = Bench(argparse.Namespace(count=2, others=1, nudity=1, seed=4), Progress(disable=True))
    await bench.run()
    found = bench.found.figures()
    assert (found["pictures"], found["listed"], found["others"]) == (2, 2, 1)
    copies = found["copies"]
    assert [name for name, one in copies.items() if one["by_digest"]] == ["the file itself"]
    assert all(one["recall"] == 1 for name, one in copies.items() if "EXIF" in name)
    assert (copies["mirrored"]["recall"], copies["mirrored"]["recall_variants"]) == (0, 1)
    assert copies["stored turned, EXIF 6"]["clip"] == copies["stored turned, EXIF 6"]["nudity"] == [0, 0]
    assert copies["greyscale"]["clip"] > [0, 0]
