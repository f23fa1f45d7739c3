import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from addons.cli import main

IMAGE = "https://m.example/x.jpg"
DOCUMENT = {
    "type": "Create",
    "actor": "https://a.example/u",
    "object": {
        "type": "Note",
        "content": '<a href="https://b.example/">[x]</a>',
        "sensitive": True,
        "attachment": [{"type": "Image", "url": IMAGE}],
    },
}
EXPECTED = {
    "media": [{"url": IMAGE, "kind": "image", "path": "/object/attachment/0/url"}],
    "links": [{"url": "https://b.example/", "path": "/object/content"}],
    "fetches": [{"url": "https://a.example/u", "path": "/actor"}],
}


@pytest.fixture
def document(tmp_path: Path) -> Path:
    file = tmp_path / "create [1].json"
    file.write_text(json.dumps(DOCUMENT), encoding="utf-8")
    return file


def test_json_is_one_object_a_line_and_file(document: Path) -> None:
    result = CliRunner().invoke(main, ["inspect", "--json", str(document), str(document)])
    assert result.exit_code == 0
    assert [json.loads(line) for line in result.stdout.splitlines()] == [{"file": str(document), **EXPECTED}] * 2


def test_a_table_otherwise(document: Path) -> None:
    result = CliRunner().invoke(main, ["inspect", str(document)])
    assert result.exit_code == 0
    printed = result.stdout.replace("\n", "")  # a long path is broken over lines
    for piece in (
        str(document),
        IMAGE,
        "image (sensitive)",
        "/object/attachment/0/url",
        "link",
        "fetch",
        "https://b.example/",
    ):
        assert piece in printed


def test_media_that_a_text_only_links_to_are_told_apart_in_the_table_alone(tmp_path: Path) -> None:
    file = tmp_path / "linked.json"
    file.write_text(json.dumps({"sensitive": True, "content": f"see {IMAGE}"}))
    assert "inline (linked) (sensitive)" in CliRunner().invoke(main, ["inspect", str(file)]).stdout
    found = json.loads(CliRunner().invoke(main, ["inspect", "--json", str(file)]).stdout)
    assert found["media"] == [{"url": IMAGE, "kind": "inline", "path": "/content"}]


def test_a_row_of_the_table_is_never_cut(tmp_path: Path) -> None:
    url = f"https://m.example/{'x' * 500}.jpg"
    (tmp_path / "long.json").write_text(json.dumps({"image": url}))
    assert url in CliRunner().invoke(main, ["inspect", str(tmp_path / "long.json")]).stdout


def test_nothing_found_is_said(tmp_path: Path) -> None:
    (tmp_path / "empty.json").write_bytes(b"{}")
    result = CliRunner().invoke(main, ["inspect", str(tmp_path / "empty.json")])
    assert (result.exit_code, "no media, links or fetches" in result.stdout) == (0, True)


def test_standard_input() -> None:
    result = CliRunner().invoke(main, ["inspect", "-", "--json"], input=json.dumps(DOCUMENT))
    assert json.loads(result.stdout) == {"file": "-", **EXPECTED}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"hello", "not JSON"),
        (b'"text"', "a string, not a JSON object"),
        (b"\xff", "not UTF-8"),
        (None, "No such file"),
    ],
)
def test_a_bad_file_is_said_and_the_others_are_printed(
    document: Path, tmp_path: Path, content: bytes | None, said: str
) -> None:
    bad = tmp_path / "bad.json"
    if content is not None:
        bad.write_bytes(content)
    result = CliRunner().invoke(main, ["inspect", "--json", str(bad), str(document)])
    assert result.exit_code == 1
    assert [json.loads(line)["file"] for line in result.stdout.splitlines()] == [str(document)]
    assert result.stderr.startswith(f"{bad}: ")
    assert said in result.stderr


def test_a_folder_is_a_bad_file(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["inspect", str(tmp_path)])
    assert (result.exit_code, "Is a directory" in result.stderr) == (1, True)


def test_past_a_bound_it_says_that_not_all_is_shown(tmp_path: Path) -> None:
    file = tmp_path / "deep.json"
    for depth, code in ((500, 0), (501, 1)):
        file.write_text('{"a":' * (depth - 1) + "{}" + "}" * (depth - 1))
        result = CliRunner().invoke(main, ["inspect", "--json", str(file)])
        assert (result.exit_code, "not shown" in result.stderr) == (code, bool(code))


@pytest.mark.parametrize("arguments", [[], ["--jsn", "x"]])
def test_wrong_usage(arguments: list[str]) -> None:
    assert CliRunner().invoke(main, ["inspect", *arguments]).exit_code == 2


def test_a_terminal_obeys_nothing_in_a_document(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text(json.dumps({"image\x1b[2J": 1, "attachment": {"a\x1b[31m": {"image": IMAGE}}}))
    result = CliRunner().invoke(main, ["inspect", str(file)])
    assert "\x1b" not in result.stdout
    assert IMAGE in result.stdout


def test_a_file_at_the_bound_and_one_byte_past(tmp_path: Path) -> None:
    file = tmp_path / "large.json"
    for size, code in ((16 * 2**20, 0), (16 * 2**20 + 1, 1)):
        file.write_bytes(b"{}".ljust(size))
        result = CliRunner().invoke(main, ["inspect", str(file)])
        assert (result.exit_code, "larger than 16 MiB" in result.stderr) == (code, bool(code))
