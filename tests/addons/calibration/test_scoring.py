import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from addons.calibration.scoring import Scored, Scores, ScoresError, files_below, score
from classifier.engine import Engine
from classifier.settings import ClassifierSettings, DecodeSettings
from tests.drawing import encode, textured

DECODING = ClassifierSettings(clip=None, nudity=None, decode=DecodeSettings(processes=1))
ONE = Scored("a.png", 3, 4, "0" * 64, {"clip.x": 0.5})


def kept(path: Path) -> list[Scored]:
    scores = Scores(path, "v")
    scores.close()
    return list(scores.done.values())


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    engine = Engine.start(DECODING, {})
    yield engine
    await engine.close()


async def all_of(engine: Engine, folder: Path, scores: Scores) -> list[Scored]:
    files = list(files_below(folder))
    return [one async for one in score(engine, files, folder, scores, max_bytes=1 << 20, timeout=30)]


async def test_a_folder_is_scored_once(engine: Engine, tmp_path: Path) -> None:
    folder = tmp_path / "media"
    (folder / "below").mkdir(parents=True)
    (folder / "a.png").write_bytes(encode(textured(1)))
    (folder / "below" / "b.jpg").write_bytes(encode(textured(2), "JPEG"))
    (folder / "text").write_bytes(b"hello")
    (folder / "large").write_bytes(bytes((1 << 20) + 1))
    (folder / ".hidden").write_bytes(b"x")
    (folder / "link.png").symlink_to(folder / "a.png")
    scores = Scores(tmp_path / "scores.jsonl", "v")
    found = await all_of(engine, folder, scores)
    scores.close()
    causes = {one.file: one.cause for one in found}
    assert causes == {"a.png": "", "below/b.jpg": "", "text": "unsupported", "large": "too_large"}
    await engine.close()

    class NeverAsked:
        async def judge(self, data: bytes, *, timeout: float) -> None:
            raise AssertionError("it was scored before")

    again = Scores(tmp_path / "scores.jsonl", "v")
    assert sorted(await all_of(NeverAsked(), folder, again), key=str) == sorted(found, key=str)  # type: ignore[arg-type]  # never asked
    again.close()


async def test_a_file_that_was_changed_is_scored_again(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    file = tmp_path / "media" / "a.png"
    scores = Scores(tmp_path / "scores.jsonl", "v")
    shas: set[str] = set()
    for seed in range(2):
        file.write_bytes(encode(textured(seed)))
        shas.update(one.sha256 for one in await all_of(engine, tmp_path / "media", scores))
    scores.close()
    assert len(shas) == 2


def test_a_line_cut_off_is_written_over(tmp_path: Path) -> None:
    path = tmp_path / "scores.jsonl"
    scores = Scores(path, "v")
    scores.add(ONE)
    scores.close()
    whole = path.read_bytes()
    for end in range(whole.index(b"\n") + 1, len(whole)):
        path.write_bytes(whole[:end])
        cut = Scores(path, "v")
        assert not cut.done
        cut.add(ONE)
        cut.close()
        assert path.read_bytes() == whole
    assert kept(path) == [ONE]


def test_a_passing_trouble_is_no_fact_about_a_file(tmp_path: Path) -> None:
    scores = Scores(tmp_path / "scores.jsonl", "v")
    for cause in ("timeout", "busy", "no_worker", "detector_error", "undecodable"):
        scores.add(Scored(cause, 1, 1, cause=cause))
    scores.close()
    assert [one.cause for one in kept(tmp_path / "scores.jsonl")] == ["undecodable"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hello\n", "no file of scores"),
        ("[1]\n", "no file of scores"),
        ('{"fediward-scores": 2, "version": "v"}\n', "no file of scores"),
        ('{"fediward-scores": 1, "version": "v"}\n{"file": 1}\n', "no file of scores"),
        ('{"fediward-scores": 1, "version": "other"}\n', "scores of other detectors"),
    ],
)
def test_what_is_no_file_of_scores_is_refused_and_left(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "scores.jsonl"
    path.write_text(text)
    with pytest.raises(ScoresError, match=said) as caught:
        Scores(path, "v")
    assert str(path) in str(caught.value)
    assert path.read_text() == text


async def test_a_file_that_goes_away_is_told(engine: Engine, tmp_path: Path) -> None:
    scores = Scores(tmp_path / "scores.jsonl", "v")
    gone = tmp_path / "gone.png"
    (found,) = [one async for one in score(engine, [gone], tmp_path, scores, max_bytes=9, timeout=5)]
    scores.close()
    assert found.cause == "unreadable"
    assert json.loads((tmp_path / "scores.jsonl").read_text().splitlines()[1])["cause"] == "unreadable"
