import importlib
import importlib.metadata
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from addons import cli
from addons.cli import COMMANDS, main


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_lists_every_command_with_its_line(flag: str) -> None:
    said = CliRunner().invoke(main, [flag]).output
    for name, line in COMMANDS.items():
        assert f"  {name}" in said
        assert " ".join(line.split()[:4]) in said


def test_help_imports_nothing_heavy() -> None:
    heavy = ["torch", "mitmproxy", "sqlalchemy", "PIL", "numpy", "pydantic"]
    code = (
        "import sys\nfrom addons.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there_and_says_what_it_does(name: str) -> None:
    command = importlib.import_module(f"addons.commands.{name}_").command
    assert isinstance(command, click.Command)
    ended = CliRunner().invoke(main, [name, "--help"])
    assert ended.exit_code == 0
    assert command.help
    assert command.help.split(".")[0].split()[0] in ended.output


@pytest.mark.parametrize("name", ["nonsense", "../run", "run_"])
def test_what_is_no_command(name: str) -> None:
    ended = CliRunner().invoke(main, [name])
    assert ended.exit_code == 2
    assert f"No such command '{name}'" in ended.output


def test_version() -> None:
    said = CliRunner().invoke(main, ["--version"]).output
    assert said.strip().endswith(importlib.metadata.version("fediward"))


def test_commands_are_in_order() -> None:
    assert cli.LazyGroup("x").list_commands(click.Context(main)) == sorted(COMMANDS)
