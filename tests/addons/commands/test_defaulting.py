import click
import pytest
from click.testing import CliRunner

from addons.commands.defaulting import DefaultGroup


@click.group(cls=DefaultGroup, default="list", context_settings={"help_option_names": ["-h", "--help"]})
def group() -> None:
    """All of it."""


@group.command("list")
@click.option("--long", is_flag=True)
def list_(long: bool) -> None:
    """List."""
    click.echo(f"list {long}")


@group.command()
def other() -> None:
    """Do something else."""
    click.echo("other")


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ([], 0, "list False\n"),
        (["--long"], 0, "list True\n"),
        (["list", "--long"], 0, "list True\n"),
        (["other"], 0, "other\n"),
        (["--wrong"], 2, "No such option"),
        (["wrong"], 2, "No such command"),
        (["-h"], 0, "All of it."),
        (["--help"], 0, "All of it."),
    ],
)
def test_what_is_meant(words: list[str], code: int, told: str) -> None:
    result = CliRunner().invoke(group, words)
    assert result.exit_code == code
    assert told in result.output
