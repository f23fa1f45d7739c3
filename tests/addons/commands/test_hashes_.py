import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from addons.cli import main
from classifier.pdq import pdq_of
from tests.drawing import encode, shape, textured

CONFIG = """\
server: {upstream: http://127.0.0.1:1, listen: 127.0.0.1:2}
classifier:
  clip: null
  nudity: null
  hashes: [{name: ours, file: ours.csv}, {name: fine, file: fine.txt, match: sha256, allow: true}]
  decode: {processes: 1}
rules: known-hashes
"""
SHA = "ab" * 32
PICTURE = encode(textured(1))
DIGEST = hashlib.sha256(PICTURE).hexdigest()
PDQ = pdq_of(np.asarray(textured(1)))[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "ours.csv").write_text("")
    (tmp_path / "fine.txt").write_text("")
    (tmp_path / "a.png").write_bytes(PICTURE)
    (tmp_path / "near.jpg").write_bytes(encode(textured(1), "JPEG", quality=60))
    (tmp_path / "other.png").write_bytes(encode(textured(2)))
    (tmp_path / "flat.png").write_bytes(encode(shape(ground="white", colour="white")))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    return tmp_path


def run(folder: Path, word: str, *words: str) -> Result:
    """Items that are files of ``folder`` are named by their paths."""
    files = {file.name for file in folder.iterdir()}
    placed = [str(folder / one) if one in files else one for one in words]
    return CliRunner().invoke(main, ["hashes", word, "-c", str(folder / "config.yaml"), *placed])


def ours(folder: Path) -> str:
    return (folder / "ours.csv").read_text()


def test_add_an_image_and_find_its_likeness(folder: Path) -> None:
    done = run(folder, "add", "-l", "ours", "a.png", "--source", "drawn", "--note", "one")
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (0, "ours: 2 added, 0 it had already")
    assert ours(folder) == f"kind,hash,source,note\nsha256,{DIGEST},drawn,one\npdq,{PDQ},drawn,one\n"
    assert run(folder, "add", "-l", "ours", "a.png").stdout.splitlines()[-1] == "ours: 0 added, 2 it had already"
    done = run(folder, "test", "near.jpg", "--json")
    assert done.exit_code == 0
    (match,) = json.loads(done.stdout)["on"]
    assert (match["list"], match["kind"], match["entry"], match["source"], match["note"]) == (
        "ours",
        "pdq",
        PDQ,
        "drawn",
        "one",
    )
    assert 0 < match["distance"] <= 31
    done = run(folder, "test", "near.jpg", "other.png")
    assert done.exit_code == 1
    assert "near.jpg: on a list" in done.stdout
    assert "other.png: on no list" in done.stdout


def test_an_allow_list_gets_the_very_file(folder: Path) -> None:
    done = run(folder, "add", "-l", "fine", "a.png", "--json")
    assert json.loads(done.stdout) == {"list": "fine", "added": 1, "hashes": [{"kind": "sha256", "hash": DIGEST}]}
    assert (folder / "fine.txt").read_text() == f"{DIGEST}\n"
    run(folder, "add", "-l", "ours", "a.png")
    told = json.loads(run(folder, "test", "a.png", "--json").stdout)
    assert [(one["list"], one["kind"]) for one in told["on"]] == [
        ("ours", "sha256"),
        ("ours", "pdq"),
        ("fine", "sha256"),
    ]


def test_a_mirrored_picture_where_the_list_asks_for_it(folder: Path) -> None:
    (folder / "mirrored.png").write_bytes(encode(textured(1).transpose(Image.Transpose.FLIP_LEFT_RIGHT)))
    run(folder, "add", "-l", "ours", "a.png")
    assert run(folder, "test", "mirrored.png").exit_code == 1
    (folder / "config.yaml").write_text(CONFIG.replace("ours.csv}", "ours.csv, variants: true}"))
    done = run(folder, "test", "mirrored.png", "--json")
    assert done.exit_code == 0
    assert [(one["distance"] <= 2, one["variant"]) for one in json.loads(done.stdout)["on"]] == [(True, "mirrored")]


def test_what_is_near_and_does_not_match_is_told(folder: Path) -> None:
    (folder / "ours.csv").write_text(f"pdq,{'00' * 32},s,\n")
    for bits, status, near in ((31, 0, 0), (32, 1, 1), (63, 1, 1), (64, 1, 0)):
        done = run(folder, "test", f"{(1 << bits) - 1:064x}", "--json")
        told = json.loads(done.stdout)
        assert (done.exit_code, len(told["on"]), len(told["near"])) == (status, 1 - status, near)
    assert "near, no match: ours: pdq" in run(folder, "test", f"{(1 << 40) - 1:064x}").stdout


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([SHA[:32]], f"md5,{SHA[:32]}"),
        ([SHA[:40].upper()], f"sha1,{SHA[:40]}"),
        ([SHA, "--kind", "sha256"], f"sha256,{SHA}"),
        ([SHA, "--kind", "pdq"], f"pdq,{SHA}"),
        (["a.png", "--kind", "md5"], f"md5,{hashlib.md5(PICTURE, usedforsecurity=False).hexdigest()}"),
        (["a.png", "--kind", "pdq"], f"pdq,{PDQ}"),
    ],
)
def test_add_one_kind(folder: Path, words: list[str], line: str) -> None:
    assert run(folder, "add", "-l", "ours", *words).exit_code == 0
    assert ours(folder) == f"kind,hash,source,note\n{line}\n"


def test_pictures_that_have_no_pdq(folder: Path) -> None:
    for name, why in (("flat.png", "too flat"), ("broken.png", "only its SHA-256 is added")):
        done = run(folder, "add", "-l", "ours", name)
        assert done.exit_code == 0
        assert why in done.stderr
        assert done.stdout.splitlines()[-1] == "ours: 1 added, 0 it had already"
        assert run(folder, "add", "-l", "ours", name, "--kind", "pdq").exit_code == 2
    assert "pdq," not in ours(folder)


@pytest.mark.parametrize(
    ("word", "words", "told"),
    [
        ("add", ["a.png"], "say which list: --list ours or fine"),
        ("add", ["-l", "other", "a.png"], "no list is named other: there is ours, fine"),
        ("add", ["-l", "ours", SHA], "may be of two kinds: --kind sha256 or --kind pdq"),
        ("add", ["-l", "ours", SHA[:33]], "no file is there, and it is not a hash of 32 hex digits (md5), 40"),
        ("add", ["-l", "ours", SHA, "--kind", "md5"], "not a hash of 32 hex digits (md5)"),
        ("add", ["-l", "ours", "g" * 32], "it is not a hash"),
        ("add", ["-l", "ours", "a.png", "--source", "s" * 1001], "at most 1000 characters"),
        ("import", ["-l", "ours", "config.yaml"], "config.yaml:1: expected"),
        ("test", ["nowhere.png"], "no file is there"),
        ("test", ["x" * 5000], "no file is there"),
    ],
)
def test_what_cannot_be_done(folder: Path, word: str, words: list[str], told: str) -> None:
    done = run(folder, word, *words)
    assert done.exit_code == 2
    assert told in done.stderr
    assert ours(folder) == ""


def test_a_large_file_is_refused(folder: Path) -> None:
    (folder / "config.yaml").write_text(CONFIG + "fetch: {max_bytes: 64KiB}\n")
    (folder / "large.png").write_bytes(PICTURE.ljust((64 << 10) + 1, b"\0"))
    assert "more than 65536 bytes (fetch.max_bytes)" in run(folder, "test", "large.png").stderr


def test_lists_that_are_missing_or_broken(folder: Path) -> None:
    (folder / "fine.txt").unlink()
    assert run(folder, "add", "-l", "fine", "a.png").exit_code == 0, "it is begun"
    assert (folder / "fine.txt").read_text() == f"{DIGEST}\n"
    (folder / "fine.txt").write_text("\x1b[2J\n")
    for word, words in (("stats", []), ("test", ["a.png"]), ("add", ["-l", "fine", "a.png"])):
        done = run(folder, word, *words)
        assert done.exit_code == 2
        assert "fine.txt:1: " in done.stderr
        assert "\x1b" not in done.stderr


def test_no_configuration_and_none_with_a_list(folder: Path) -> None:
    (folder / "config.yaml").write_text(CONFIG.replace("  hashes: ", "#").replace("known-hashes", "[]"))
    assert "names no list: add one under classifier.hashes" in run(folder, "stats").stderr
    (folder / "config.yaml").unlink()
    assert run(folder, "stats").exit_code == 2


def test_remove(folder: Path) -> None:
    run(folder, "add", "-l", "ours", "a.png", SHA[:32])
    (folder / "ours.csv").write_text(f"# {SHA[:32]}\n{ours(folder)}")
    assert json.loads(run(folder, "remove", "-l", "ours", SHA[:32], "--json").stdout) == {
        "list": "ours",
        "removed": [SHA[:32]],
    }
    assert ours(folder) == f"# {SHA[:32]}\nkind,hash,source,note\nsha256,{DIGEST}\npdq,{PDQ}\n"
    done = run(folder, "remove", "-l", "ours", "a.png", "other.png")
    assert (done.exit_code, done.stdout) == (1, "ours: 2 removed\n")
    assert "other.png: not on the list ours" in done.stderr
    assert ours(folder) == f"# {SHA[:32]}\nkind,hash,source,note\n"


def test_import(folder: Path) -> None:
    (folder / "theirs.jsonl").write_text(f'{{"kind": "pdq", "hash": "{PDQ}", "note": "n"}}\n' * 2 + "\n")
    done = run(folder, "import", "-l", "ours", "theirs.jsonl", "--source", "a friend")
    assert (done.exit_code, done.stdout) == (0, "ours: 1 added, 0 it had already\n")
    assert ours(folder) == f"kind,hash,source,note\npdq,{PDQ},a friend,n\n"
    (folder / "bare.txt").write_text(f"{PDQ}\n{SHA}\nnothing\n")
    assert run(folder, "import", "-l", "ours", "bare.txt", "--match", "pdq").exit_code == 2
    done = run(folder, "import", "-l", "ours", "bare.txt", "--match", "pdq", "--skip-wrong", "--json")
    told = json.loads(done.stdout)
    assert (told["found"], told["added"], len(told["wrong"])) == (2, 1, 1)
    assert "bare.txt:3: " in done.stderr


def test_stats(folder: Path) -> None:
    (folder / "ours.csv").write_text(f"pdq,{PDQ},a\npdq,{SHA},a\nmd5,{SHA[:32]},b\x1b[2J\n")
    told = [json.loads(line) for line in run(folder, "stats", "--json").stdout.splitlines()]
    assert [(one["list"], one["allow"], one["entries"]) for one in told] == [
        ("ours", False, {"md5": 1, "pdq": 2}),
        ("fine", True, {}),
    ]
    assert told[0]["sources"]["a"] == 2
    assert told[0]["file_bytes"] == (folder / "ours.csv").stat().st_size
    assert told[0]["memory_bytes"] > 0
    shown = run(folder, "stats").stdout
    assert "ours: 1 md5, 2 pdq;" in shown
    assert "fine (allow): empty;" in shown
    assert "  2 from a\n" in shown
    assert "\x1b" not in shown


def test_a_hash_of_two_kinds_is_tried_as_both(folder: Path) -> None:
    (folder / "ours.csv").write_text(f"sha256,{SHA}\npdq,{SHA}\n")
    told = json.loads(run(folder, "test", SHA, "--json").stdout)
    assert [one["kind"] for one in told["on"]] == ["sha256", "pdq"]
    told = json.loads(run(folder, "test", SHA, "--kind", "pdq", "--json").stdout)
    assert [one["kind"] for one in told["on"]] == ["pdq"]
