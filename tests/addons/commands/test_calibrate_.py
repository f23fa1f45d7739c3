import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from addons.calibration.thresholds import expected
from addons.cli import main
from classifier.presets import shapes

ROOT = Path(__file__).parents[3]

CONFIG = """\
server: {upstream: http://127.0.0.1:1, listen: 127.0.0.1:2}
classifier:
  clip: {model: fediward-tiny, pretrained: demo-shapes}
  nudity: null
concepts: demo-shapes
rules:
  # what is forbidden here
  - {name: red, when: {clip.red_circle: ">0.5"}, do: drop}  # it stays
"""
COUNT = 4000


def draw(folder: Path, numbers: range) -> None:
    for number in numbers:
        picture = shapes.draw_ordinary(size=64, rng=np.random.default_rng(number))
        picture.save(folder / f"{number:05}.png", compress_level=1)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("calibrate")
    (place / "config.yaml").write_text(CONFIG)
    for name, numbers in (("half", range(COUNT // 2)), ("other", range(COUNT // 2, COUNT)), ("few", range(20))):
        (place / name).mkdir()
        draw(place / name, numbers)
    (place / "few" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (place / "few" / "again.png").write_bytes((place / "few" / "00000.png").read_bytes())
    (place / "empty").mkdir()
    return place


def run(place: Path, folder: str, *options: str, out: str | None = None) -> Result:
    where = ["--out", str(place / (out or f"{folder}-out"))]
    return CliRunner().invoke(
        main, ["calibrate", str(place / folder), "-c", str(place / "config.yaml"), *where, *options]
    )


def test_thresholds_of_one_half_hold_for_the_other(place: Path) -> None:
    one, other = (json.loads(run(place, folder, "--rate", "0.01", "--json").stdout) for folder in ("half", "other"))
    assert one["judged"] == other["judged"] == COUNT // 2
    lines = (place / "other-out" / "scores.jsonl").read_text().splitlines()[1:]
    scores = [json.loads(line)["symbols"] for line in lines]
    for found in one["thresholds"]:
        if found["score"] is None:
            assert found["symbol"] == "clip.pattern"  # ordinary pictures are patterns
            continue
        assert found["above"] <= COUNT // 2 * 0.01
        above = sum(symbols[found["symbol"]] > found["score"] for symbols in scores)
        assert above in expected(found["above"], found["files"], len(scores)), found
        assert above / len(scores) <= 3 * 0.01
    assert not any(found["too_few"] for found in one["thresholds"])
    with Image.open(place / "half-out" / "calibration.png") as image:
        image.load()


def test_what_it_says(place: Path) -> None:
    done = run(place, "few")
    assert done.exit_code == 0, done.output
    assert "20 files are far too few for a rate of 0.001" in done.output
    assert "1 undecodable (first: broken.png" in done.output
    assert "1 files are the same as another one" in done.output
    assert "rule red: acts on" in done.output
    assert "--apply would" not in done.output
    assert "--apply would change 1 threshold in" in run(place, "few", "--rate", "0.05").output
    assert (place / "config.yaml").read_text() == CONFIG
    report = json.loads((place / "few-out" / "calibration.json").read_text())
    assert (report["files"], report["judged"], report["same"]) == (22, 20, 1)
    assert report["not_judged"] == {"undecodable": 1}


def test_only_one_symbol(place: Path) -> None:
    done = run(place, "few", "--symbol", "clip.red_circle", "--json")
    assert [found["symbol"] for found in json.loads(done.stdout)["thresholds"]] == ["clip.red_circle"]
    wrong = run(place, "few", "--symbol", "clip.cat")
    assert wrong.exit_code == 2
    assert "no detector gives clip.cat; there are: clip.blue_square" in wrong.output


def test_apply_keeps_the_comments_and_the_file_as_it_was(place: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG)
    config.chmod(0o640)
    words = ["calibrate", str(place / "few"), "-c", str(config), "--out", str(tmp_path / "out"), "--apply"]
    refused = CliRunner().invoke(main, [*words, "--rate", "0.049"])  # of 20 files
    assert refused.exit_code == 1
    assert "nothing was applied: 20 files are far too few" in refused.output
    assert config.read_text() == CONFIG
    done = CliRunner().invoke(main, [*words, "--rate", "0.05"])
    assert done.exit_code == 0, done.output
    text = config.read_text()
    assert text != CONFIG
    assert [line for line in text.splitlines() if line not in CONFIG.splitlines()] == [text.splitlines()[7]]
    assert text.splitlines()[7].endswith("do: drop}  # it stays")
    assert f"{config}:8: rule red: clip.red_circle >0.5 →" in done.output
    assert config.stat().st_mode & 0o777 == 0o640
    backup = tmp_path / "config.yaml.before-calibration"
    assert backup.read_text() == CONFIG
    config.write_text(CONFIG.replace("0.5", "0.75"))
    assert CliRunner().invoke(main, [*words, "--rate", "0.05"]).exit_code == 0
    assert config.read_text() == text
    assert backup.read_text() == CONFIG


def test_nothing_to_judge(place: Path) -> None:
    done = run(place, "empty")
    assert done.exit_code == 1
    assert "the folder is empty" in done.output


def test_scores_of_other_detectors_are_not_mixed_in(place: Path) -> None:
    assert run(place, "few", out="mixed").exit_code == 0
    scores = place / "mixed" / "scores.jsonl"
    scores.write_text(scores.read_text().replace("fediward-tiny", "another"))
    done = run(place, "few", out="mixed")
    assert done.exit_code == 2
    assert "--fresh" in done.output
    assert run(place, "few", "--fresh", out="mixed").exit_code == 0


def test_an_interrupted_run_is_gone_on_with(place: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-c",
        "from addons.cli import main; main()",
        "calibrate",
        str(place / "half"),
        "-c",
        str(place / "config.yaml"),
    ]
    command += ["--out", str(tmp_path)]
    scores = tmp_path / "scores.jsonl"
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as running:
        until = time.monotonic() + 60
        while time.monotonic() < until and (not scores.exists() or scores.read_bytes().count(b"\n") < 20):
            time.sleep(0.02)
        os.kill(running.pid, signal.SIGINT)
        assert running.stderr is not None
        said = running.stderr.read()
        assert running.wait(60) != 0
    assert "the same command goes on from here" in said
    kept = scores.read_bytes()
    done = CliRunner().invoke(main, [*command[3:], "--json"])
    assert done.exit_code == 0, done.output
    assert scores.read_bytes().startswith(kept)
    assert json.loads(done.stdout)["judged"] == COUNT // 2
