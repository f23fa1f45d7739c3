import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from addons.cli import main
from addons.policy.example import example_text

SERVER = "server: {upstream: 'http://127.0.0.1:1', listen: '127.0.0.1:${DOOR_PORT}'}\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.yaml"


def _check(file: Path, *options: str) -> tuple[int, str, str]:
    result = CliRunner(env={"DOOR_PORT": "8540"}).invoke(main, ["config", "check", str(file), *options])
    return result.exit_code, result.stdout, result.stderr


def test_a_valid_file(file: Path) -> None:
    file.write_text(SERVER)
    assert _check(file) == (0, f"{file} is valid\n", "")


def test_a_risky_file_is_valid(file: Path) -> None:
    file.write_text(SERVER + "on: {busy: pass}\n")
    status, out, err = _check(file)
    assert (status, out) == (0, f"{file} is valid, with 1 warning\n")
    assert err == (
        f"{file}:2:12: warning: busy: pass lets by what was not judged, and writes nothing down\n"
        "  on: {busy: pass}\n"
        "             ^\n"
        "\n"
    )


def test_every_problem_of_an_invalid_file(file: Path) -> None:
    file.write_text("serve: {}\nmode: x\n")
    status, out, err = _check(file)
    assert (status, out) == (2, "")
    for message in ("server is missing", 'unknown key "serve"', 'did you mean "server"?', '"x" is not a value of mode'):
        assert message in err
    assert err.endswith(f"{file} cannot be used: 3 problems\n")


def test_a_file_that_is_not_there(file: Path) -> None:
    status, _, err = _check(file)
    assert status == 2
    assert f"{file}:1:1: cannot be read: No such file or directory" in err
    assert err.endswith("1 problem\n")


def test_json(file: Path) -> None:
    file.write_text(SERVER + "mode: observ\n")
    status, out, err = _check(file, "--json")
    assert (status, err) == (2, "")
    assert json.loads(out) == {
        "file": str(file),
        "valid": False,
        "problems": [
            {
                "severity": "error",
                "line": 2,
                "column": 7,
                "message": '"observ" is not a value of mode',
                "expected": "one of enforce, observe",
                "hint": 'did you mean "observe"?',
            }
        ],
    }


def test_json_of_a_risky_file(file: Path) -> None:
    file.write_text(SERVER + "mode: observe\n")
    status, out, _ = _check(file, "--json")
    told = json.loads(out)
    assert (status, told["valid"], [one["severity"] for one in told["problems"]]) == (0, True, ["warning"])


DOORS = "doors: {validate: {listen: x, secret: %s}, pictrs: {api_key: '${DOOR_KEY}', y: z}}\n"


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_no_secret_of_a_door_is_printed(file: Path, options: tuple[str, ...]) -> None:
    for secret in ("hunter2", "hunter2-hunter2-hunter2"):
        file.write_text(SERVER + DOORS % secret)
        result = CliRunner(env={"DOOR_PORT": "8540", "DOOR_KEY": "hunter2 two"}).invoke(
            main, ["config", "check", str(file), *options]
        )
        assert result.exit_code == 2
        assert 'unknown key "y"' in result.output.replace("\\", "")
        assert "hunter2" not in result.output


def test_the_example_is_printed_and_passes_the_check(file: Path) -> None:
    result = CliRunner().invoke(main, ["config", "example"])
    assert (result.exit_code, result.stdout) == (0, example_text())
    file.write_text(result.stdout)
    assert _check(file) == (0, f"{file} is valid\n", "")
