"""``fediward drill``: makes one cause happen, and looks whether the policy is carried out. No picture is shown."""

import asyncio
import json
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.table import Table
from rich.text import Text

from addons.commands.reading import console
from addons.ledger.clean import printable

if TYPE_CHECKING:  # imported late below: it brings mitmproxy, which takes a second
    from addons.drill.outcome import Drilled
    from addons.policy.config import Config
    from addons.policy.words import Cause


@click.command("drill")
@click.argument("cause", required=False)
@click.option(
    "-c",
    "--config",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Whose policy is tried; without it the example's.",
)
@click.option("--yes", is_flag=True, help="Live: in this configuration's ledger and with its alarms, observing only.")
@click.option("--list", "listing", is_flag=True, help="List the causes, and how each is made to happen.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object with all that is known of it.")
def command(cause: str | None, path: Path | None, yes: bool, listing: bool, as_json: bool) -> None:
    """Make CAUSE happen in a little fediverse on this machine, and see what the sender, the server and the ledger got.

    The policy is that of a configuration, its rules too; the detectors are not loaded. Nothing goes to the real server,
    and nothing leaves this machine but, with --yes, a test of the alarms. Without --yes the ledger is a temporary one.

    Exit: 0 if what happened is what the policy says, 1 if not (or it could not be tried), 2 for usage or configuration.
    """
    if listing:
        _list(as_json)
        return
    config, chosen = _chosen(cause, path, yes)
    drilled = asyncio.run(_drill(config, chosen, yes))
    _show(drilled, as_json)
    sys.exit(0 if drilled.right else 1)


def _list(as_json: bool) -> None:
    from addons.drill.telling import listed

    if as_json:
        click.echo(json.dumps(dict(listed())))
        return
    _table(listed())


def _chosen(cause: str | None, path: Path | None, yes: bool) -> "tuple[Config, Cause]":
    from addons.drill.causes import DRILLS
    from addons.policy.config import load
    from addons.policy.example import example_path
    from addons.policy.problems import ConfigError
    from addons.policy.words import Cause

    if cause is None:
        raise click.UsageError("which CAUSE? `fediward drill --list` lists them")
    if cause not in list(Cause):
        known = ", ".join(Cause)
        raise click.UsageError(f"{printable(cause)} is no cause; these are: {known}")
    chosen = Cause(cause)
    if yes and path is None:
        raise click.UsageError("--yes is live, for which it needs the configuration: -c FILE")
    if yes and not DRILLS[chosen].live:
        raise click.UsageError(
            f"{chosen} cannot be drilled live: it would have to stop your ledger, or to hold something, which nobody "
            "does who observes. Leave out --yes: then it is tried with a temporary ledger."
        )
    try:
        return load(path or example_path(), env=os.environ), chosen
    except ConfigError as error:
        raise click.UsageError(str(error)) from error


async def _drill(config: "Config", cause: "Cause", live: bool) -> "Drilled":
    import httpx

    from addons.drill.run import drill
    from addons.ledger import LedgerError
    from classifier import CannotStartError

    # What is broken on purpose complains, as it should; nobody need read it twice.
    logging.basicConfig(level=logging.CRITICAL)
    try:
        return await drill(config, cause, live=live)
    except (CannotStartError, LedgerError, OSError, httpx.HTTPError) as error:
        raise click.ClickException(f"the drill could not be held: {str(error) or type(error).__name__}") from error


def _show(drilled: "Drilled", as_json: bool) -> None:
    from addons.drill.telling import mode, plain, rows

    if as_json:
        click.echo(json.dumps(plain(drilled)))
        return
    _table(rows(drilled))
    click.echo(mode(drilled))
    click.echo("That is what the policy says." if drilled.right else "That is NOT what the policy says: see above.")


def _table(told: list[tuple[str, str]]) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column()
    for name, value in told:
        table.add_row(Text(name), Text(printable(value)))
    console().print(table)
