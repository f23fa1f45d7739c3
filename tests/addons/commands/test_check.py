import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from addons.cli import main
from addons.commands.check_ import AT_ONCE
from classifier.pdq import pdq_of
from tests.drawing import animation, encode, shape, textured
from tests.filming import film

CONFIG = """\
server: {upstream: http://127.0.0.1:1, listen: 127.0.0.1:2}
classifier:
  clip: {model: fediward-tiny, pretrained: demo-shapes}
  nudity: null
  hashes: [{name: ours, file: list.csv}]
  decode: {processes: 1}
  queue: 4
fetch: {max_bytes: 256KiB}
concepts: demo-shapes
rules:
  - {name: known, when: {hash.ours: 1}, do: drop}
  - {name: forbidden-shape, when: {clip.red_circle: ">0.5"}, do: reject}
  - {name: marked, when: {sensitive: true}, do: record}
on: {unsupported: record, undecodable: drop, too_large: reject}
"""
"""The whole way, with the tiny model."""

LIGHT = """\
server: {upstream: http://127.0.0.1:1, listen: 127.0.0.1:2}
classifier:
  clip: null
  nudity: null
  hashes: [{name: ours, file: list.csv}]
  decode: {processes: 1}
  queue: 4
rules:
  - {name: known, when: {hash.ours: 1}, do: drop}
  - {name: marked, when: {sensitive: true}, do: record}
on: {unsupported: record}
"""
"""Without torch, which takes seconds to load."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("check")
    (folder / "config.yaml").write_text(CONFIG)
    (folder / "light.yaml").write_text(LIGHT)
    (folder / "known.png").write_bytes(encode(textured(1)))
    (folder / "near.jpg").write_bytes(encode(textured(2), "JPEG", quality=60))
    (folder / "circle.png").write_bytes(encode(shape("circle", "red", "white")))
    (folder / "square.gif").write_bytes(animation([shape("square", "blue"), shape("square", "blue", "black")]))
    (folder / "drawing.svg").write_text("<svg/>")
    (folder / "empty.png").write_bytes(b"")
    (folder / "large.png").write_bytes(encode(textured(3)).ljust((256 << 10) + 1, b"\0"))
    (folder / "largest.png").write_bytes(encode(textured(3)).ljust(256 << 10, b"\0"))
    digest = hashlib.sha256((folder / "known.png").read_bytes()).hexdigest()
    pdq, _ = pdq_of(np.asarray(textured(2)))
    (folder / "list.csv").write_text(f"sha256,{digest},here,\npdq,{pdq},there,\n")
    return folder


def check(folder: Path, *words: str, config: str = "light.yaml") -> Result:
    files = [str(folder / word) if "." in word and not word.startswith("-") else word for word in words]
    return CliRunner().invoke(main, ["check", "-c", str(folder / config), *files])


def test_each_outcome(folder: Path) -> None:
    names = [
        "known.png",
        "near.jpg",
        "circle.png",
        "square.gif",
        "drawing.svg",
        "empty.png",
        "large.png",
        "largest.png",
    ]
    done = check(folder, *names, "--json", config="config.yaml")
    assert done.exit_code == 0, done.output
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(Path(line["file"]).name, line["action"], line["rule"], line["cause"]) for line in lines] == [
        ("known.png", "drop", "known", None),
        ("near.jpg", "drop", "known", None),
        ("circle.png", "reject", "forbidden-shape", None),
        ("square.gif", "pass", None, None),
        ("drawing.svg", "record", None, "unsupported"),
        ("empty.png", "drop", None, "undecodable"),
        ("large.png", "reject", None, "too_large"),
        ("largest.png", "pass", None, None),
    ]
    for line in lines:
        assert " ".join(line) == "file sha256 pdq symbols rule cause message allowed frame matches action then ms"
        assert bool(line["message"]) == bool(line["cause"])
        assert line["ms"] > 0 or line["cause"]
        if line["rule"] == "known":
            assert line["symbols"]["hash.ours"] == 1.0
            assert line["matches"]
        else:
            assert "hash.ours" not in line["symbols"]
        if Path(line["file"]).name != "large.png":
            assert line["sha256"] == hashlib.sha256(Path(line["file"]).read_bytes()).hexdigest()
    assert lines[0]["pdq"] is not None
    assert lines[6]["sha256"] is None, "only its beginning was read"


def test_an_allow_list_beats_all(folder: Path) -> None:
    """Rules, other lists, and even what cannot be decoded, for which its digest is enough."""
    files = [folder / name for name in ("known.png", "drawing.svg", "empty.png")]
    digests = "".join(f"{hashlib.sha256(file.read_bytes()).hexdigest()}\n" for file in files)
    (folder / "fine.txt").write_text(digests)
    allowing = "file: list.csv}, {name: fine, file: fine.txt, match: sha256, allow: true}]"
    (folder / "allow.yaml").write_text(LIGHT.replace("file: list.csv}]", allowing))
    done = check(folder, *(file.name for file in files), "near.jpg", "--json", config="allow.yaml")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(line["action"], line["rule"], line["cause"], line["allowed"]) for line in lines] == [
        *3 * [("pass", None, None, "fine")],
        ("drop", "known", None, None),
    ]
    assert lines[0]["symbols"]["hash.ours"] == lines[0]["symbols"]["allow.fine"] == 1.0
    assert "allow list fine" in check(folder, "known.png", config="allow.yaml").stdout


def test_a_turned_picture_where_the_list_asks_for_it(folder: Path) -> None:
    """Through the decoding process, which hashes it mirrored and turned only then."""
    (folder / "turned.png").write_bytes(encode(textured(2).rotate(90, expand=True)))
    (folder / "turns.yaml").write_text(LIGHT.replace("file: list.csv}", "file: list.csv, variants: true}"))
    assert json.loads(check(folder, "turned.png", "--json").stdout)["action"] == "pass"
    assert json.loads(check(folder, "turned.png", "--json", config="turns.yaml").stdout)["rule"] == "known"
    assert "turned 270°" in check(folder, "turned.png", config="turns.yaml").stdout


def test_the_frame_that_decided_is_told(folder: Path) -> None:
    square, dark, circle = shape("square", "blue"), shape("square", "blue", "black"), shape("circle", "red", "white")
    (folder / "late.gif").write_bytes(animation([square, dark, circle]))
    (folder / "film.mp4").write_bytes(film([shape("square", "blue", "white", 256, 192), *3 * [textured(2)]], rate=1))
    assert json.loads(check(folder, "late.gif", "--json", config="config.yaml").stdout)["frame"] == "frame 2"
    assert "rule forbidden-shape, frame 2" in check(folder, "late.gif", config="config.yaml").stdout
    assert json.loads(check(folder, "film.mp4", "--json").stdout)["frame"] == "frame 1 (1.0 s)"


def test_many_files_come_in_order(folder: Path) -> None:
    names = ["known.png", "square.gif"] * AT_ONCE
    done = check(folder, *names, "--json")
    assert [Path(json.loads(line)["file"]).name for line in done.stdout.splitlines()] == names


def test_table(folder: Path) -> None:
    done = check(folder, "known.png", "drawing.svg")
    assert done.exit_code == 0
    for words in ("known.png", "drop", "rule known", "hash.ours 1.00", "(here)", "unsupported: SVG", "record"):
        assert words in done.stdout


def test_what_would_be_held_says_how_that_ends(folder: Path) -> None:
    rule = "  - {name: unsure, when: {hash.ours: 1}, do: hold, then: record}\n"
    (folder / "hold.yaml").write_text(LIGHT.replace("rules:\n", "rules:\n" + rule))
    done = check(folder, "known.png", "square.gif", "--json", config="hold.yaml")
    assert [(line["action"], line["then"]) for line in map(json.loads, done.stdout.splitlines())] == [
        ("hold", "record"),
        ("pass", None),
    ]
    assert "hold, then record" in check(folder, "known.png", config="hold.yaml").stdout


@pytest.mark.parametrize(("marked", "action"), [([], "pass"), (["--sensitive"], "record")])
def test_sensitive(folder: Path, marked: list[str], action: str) -> None:
    done = check(folder, "square.gif", "--json", *marked)
    assert json.loads(done.stdout)["action"] == action


def test_unreadable_files_are_named_and_the_others_judged(folder: Path) -> None:
    done = check(folder, "nowhere.png", "known.png", "--json")
    assert done.exit_code == 1
    assert f"{folder}/nowhere.png: No such file or directory" in done.stderr
    assert [json.loads(line)["action"] for line in done.stdout.splitlines()] == ["drop"]


@pytest.mark.parametrize(
    ("text", "words"),
    [("serve: {}\n", "server"), (LIGHT.replace("list.csv", "broken.csv"), "broken.csv:1: expected kind,hash")],
)
def test_a_configuration_that_cannot_be_used(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    (tmp_path / "broken.csv").write_text("x\n")
    (tmp_path / "x.png").write_bytes(encode(shape()))
    done = check(tmp_path, "x.png", config="config.yaml")
    assert done.exit_code == 2
    assert words in done.stderr


def test_usage() -> None:
    assert CliRunner().invoke(main, ["check"]).exit_code == 2
    assert CliRunner().invoke(main, ["check", "--help"]).exit_code == 0
