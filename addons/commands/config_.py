"""``fediward config check`` and ``fediward config example``: is a configuration right, and what one looks like."""

import json
import os
import sys
from pathlib import Path

import click

from addons.policy.problems import ConfigError, Problem, masked

INVALID = 2


@click.group(name="config")
def command() -> None:
    """Check a configuration file, or print the commented example."""


@command.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def check(file: Path, as_json: bool) -> None:
    """Say everything that is wrong with FILE, and what is risky.

    Exit status: 0 valid, 2 not.
    """
    # Late: pydantic takes a while, and `config example` does not need it.
    from addons.policy.config import load

    try:
        found, valid = load(file, env=os.environ).warnings, True
    except ConfigError as error:
        found, valid = error.problems, False
    if as_json:
        click.echo(json.dumps({"file": str(file), "valid": valid, "problems": [_as_json(one) for one in found]}))
    else:
        for problem in found:
            click.echo(f"{problem}\n", err=True)
        click.echo(_summary(file, found, valid=valid), err=not valid)
    sys.exit(0 if valid else INVALID)


@command.command()
def example() -> None:
    """Print the complete, commented example."""
    from addons.policy.example import example_text

    click.echo(example_text(), nl=False)


def _summary(file: Path, found: tuple[Problem, ...], *, valid: bool) -> str:
    count = f"{len(found)} {'warning' if valid else 'problem'}{'' if len(found) == 1 else 's'}"
    if valid:
        return f"{file} is valid" + (f", with {count}" if found else "")
    return f"{file} cannot be used: {count}"


def _as_json(problem: Problem) -> dict[str, str | int | None]:
    return {
        "severity": "warning" if problem.warning else "error",
        "line": problem.line,
        "column": problem.column,
        "message": masked(problem.message),
        "expected": problem.expected,
        "hint": problem.hint,
    }
