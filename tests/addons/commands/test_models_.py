"""``fediward models``: listing, pulling without a network, and verifying the tiny model."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from addons.commands.models_ import TINY_NOTE, command
from classifier.presets import tiny


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is downloaded here, whatever this machine's own cache holds."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command, arguments)


def test_list_names_every_tag_and_says_what_is_here() -> None:
    found = [json.loads(line) for line in run("list", "--json").stdout.splitlines()]
    assert len(found) > 150
    assert found[0] == {
        "model": tiny.MODEL,
        "pretrained": tiny.PRETRAINED,
        "file": str(tiny.STATE_FILE),
        "note": TINY_NOTE,
    }
    assert {"model": "ViT-L-14", "pretrained": "openai", "file": None, "note": ""} in found


def test_list_filters() -> None:
    found = [json.loads(line) for line in run("list", "vit-l-14/OPEN", "--json").stdout.splitlines()]
    assert [(one["model"], one["pretrained"]) for one in found] == [("ViT-L-14", "openai")]


def test_list_as_a_table_marks_the_tiny_model() -> None:
    result = run("list", "tiny")
    assert result.exit_code == 0
    assert "demo only: protects nobody" in result.stdout
    assert " yes " in result.stdout


def test_list_without_a_match_says_so() -> None:
    result = run("list", "no-such-model")
    assert (result.exit_code, "no-such-model" in result.stderr) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ViT-B-32", "openai"], "cannot download ViT-B-32/openai"),
        (["hf-hub:nobody/nothing"], "cannot download hf-hub:nobody/nothing"),
        (["ViT-B-32", "openia"], "there are: openai, "),
        (["ViT-B-32"], "there are: openai, "),
        (["ViT-B-33", "openai"], "did you mean 'ViT-B-32'"),
    ],
    ids=str,
)
def test_pull_fails_in_words(arguments: list[str], said: str) -> None:
    result = run("pull", *arguments)
    assert result.exit_code == 1
    assert said in result.stderr


def test_pull_offline_as_a_person_runs_it(tmp_path: Path) -> None:
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    code = "from addons.commands.models_ import command; command()"
    done = subprocess.run(
        [sys.executable, "-c", code, "pull", "ViT-L-14", "openai"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "cannot download ViT-L-14/openai" in done.stderr
    assert "is this machine online?" in done.stderr
    assert "Traceback" not in done.stderr


def test_pulling_the_tiny_model_is_already_done() -> None:
    result = run("pull", tiny.MODEL, tiny.PRETRAINED)
    assert result.exit_code == 0
    assert str(tiny.STATE_FILE) in result.stdout


def test_verify_loads_and_runs() -> None:
    result = run("verify", tiny.MODEL, tiny.PRETRAINED, "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert found["dimensions"] == 64
    assert found["size"] == [64, 64]
    assert len(found["sha256"]) == 64
    assert found["ms"] > 0
    shown = run("verify", tiny.MODEL, tiny.PRETRAINED, "--device", "cpu").stdout
    assert found["sha256"] in shown
    assert TINY_NOTE in shown


def test_verify_takes_the_model_of_a_configuration(tmp_path: Path) -> None:
    weights = tmp_path / "own.safetensors"
    weights.write_bytes(tiny.STATE_FILE.read_bytes())
    file = tmp_path / "fediward.yaml"
    server = "server: {upstream: http://127.0.0.1:8536, listen: 127.0.0.1:8540}\nconcepts: demo-shapes\nrules: []\n"
    file.write_text(server + "classifier: {clip: {model: fediward-tiny, pretrained: own.safetensors}}\n")
    result = run("verify", "-c", str(file), "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout)["pretrained"] == str(weights)
    file.write_text(server + "classifier: {clip: null}\n")
    result = run("verify", "-c", str(file))
    assert (result.exit_code, "clip detector off" in result.stderr) == (2, True)
    file.write_text("server: {}\n")
    result = run("verify", "-c", str(file))
    assert (result.exit_code, "does not hold" in result.stderr) == (2, True)
    result = run("verify", "-c", str(tmp_path / "none.yaml"))
    assert (result.exit_code, "cannot be read" in result.stderr) == (2, True)


@pytest.mark.parametrize("arguments", [[], ["ViT-L-14", "openai", "-c", "x.yaml"]], ids=str)
def test_verify_wants_one_model(arguments: list[str]) -> None:
    assert run("verify", *arguments).exit_code == 2


def test_verify_says_what_is_wrong(tmp_path: Path) -> None:
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(tiny.STATE_FILE.read_bytes()[:1000])
    for arguments, said in (
        ([tiny.MODEL, str(broken)], str(broken)),
        (["ViT-L-14", "openai"], "fediward models pull ViT-L-14 openai"),
        ([tiny.MODEL, tiny.PRETRAINED, "--device", "gpu"], "'gpu'"),
    ):
        result = run("verify", *arguments)
        assert result.exit_code == 1
        assert said in result.stderr
