"""What the commands share that read the ledger or show judgements: options, opening it, words for times and frames."""

import os
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console

from addons.commands.options import config_option
from addons.ledger import Entry, LedgerError, Reader
from classifier import JudgedFrame

PIPE_WIDTH = 240
"""Columns of a table that goes into a pipe or file."""


class Trouble(click.ClickException):
    """The ledger cannot be read, or has no such decision: exit code 1."""

    exit_code = 1


def ledger_options[**P, R](command: Callable[P, R]) -> Callable[P, R]:
    """The options ``-c/--config`` and ``--ledger``."""
    for option in (
        click.option(
            "--ledger",
            metavar="URL",
            help="Read this ledger (sqlite:///FILE or postgresql://…) without a configuration.",
        ),
        config_option("The configuration that names the ledger.", "config"),
    ):
        command = option(command)
    return command


def open_reader(config: Path, ledger: str | None) -> Reader:
    """The ledger that the options name. Raises click's errors: 1 for the ledger, 2 for the configuration."""
    try:
        return Reader.open(ledger_url(config, ledger))
    except LedgerError as error:
        raise Trouble(str(error)) from error


def ledger_url(path: Path, ledger: str | None) -> str:
    """The address that ``--ledger`` gives, or else the configuration at ``path``. Raises click's UsageError."""
    if ledger is not None:
        return ledger
    from addons.policy.config import load  # late, so that --ledger works without any of it
    from addons.policy.problems import ConfigError

    if not path.is_file():
        raise click.UsageError(
            f"there is no {path}; name the configuration with -c FILE, or the ledger with --ledger URL"
        )
    try:
        return load(path, env=os.environ).ledger.url
    except ConfigError as error:
        raise click.UsageError(str(error)) from error


def console() -> Console:
    """Where tables go: as wide as the terminal, or wide enough to lose nothing in a pipe."""
    return Console(width=None if sys.stdout.isatty() else PIPE_WIDTH, highlight=False, emoji=False)


def shown_time(at: datetime) -> str:
    """``2026-01-31 23:59:59Z``."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"


def shown_frame(index: int, frames: Sequence[JudgedFrame]) -> str:
    """``frame 12 (3.2 s, trailing video)``: the frame of that index, and where it stood, if that is known."""
    frame = next((frame for frame in frames if frame.index == index), None)
    at = "" if frame is None or frame.at is None else f"{frame.at:.1f} s"
    told = ", ".join(word for word in (at, frame.reading if frame else "") if word)
    return f"frame {index} ({told})" if told else f"frame {index}"


def allowed_by(name: str) -> str:
    """Who let something by: an allow list, whose name begins with a letter, or an admin who undid a decision."""
    return f'the allow list "{name}"' if name[:1].isalpha() else f"an admin (who undid decision {name})"


def plain(entry: Entry) -> dict[str, Any]:
    """An entry as JSON's types, without the body (which `explain --activity` prints)."""
    values: dict[str, Any] = msgspec.to_builtins(entry)
    del values["body"]
    return values
