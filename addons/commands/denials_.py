"""``fediward denials``: list the hosts and actors that rules denied for a while, and lift a denial."""

from pathlib import Path

import click
import msgspec
from rich.table import Table
from rich.text import Text

from addons.commands.defaulting import DefaultGroup
from addons.commands.reading import Trouble, console, ledger_options, ledger_url, open_reader, shown_time
from addons.ledger import LedgerError
from addons.ledger.clean import printable, printable_json
from addons.ledger.database import engine_for, parsed
from addons.ledger.denials import Denials
from addons.ledger.entry import utc_now
from addons.ledger.errors import explained
from addons.policy.hosts import normal_host
from addons.senders.list_files import actor

LIMIT = 100_000
"""Denials listed at most."""


@click.group("denials", cls=DefaultGroup, default="list")
def command() -> None:
    """List the hosts and actors that a rule's `deny` turned away for a while, and lift a denial.

    Without a command it lists. What stands in `senders.deny` is not here: change those files.
    """


@command.command("list")
@ledger_options
@click.option("--limit", type=click.IntRange(1, LIMIT), default=50, show_default=True, help="How many.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_(config: Path, ledger: str | None, limit: int, as_json: bool) -> None:
    """List who is denied now, those that are denied longest first.

    Exit: 0, 1 for trouble with the ledger, 2 for usage or configuration.
    """
    try:
        with open_reader(config, ledger) as reader:
            found = reader.denied(utc_now(), limit)
    except LedgerError as error:
        raise Trouble(str(error)) from error
    if as_json:
        for one in found:
            click.echo(printable_json(msgspec.to_builtins(one)))
        return
    if not found:
        click.echo("nobody is denied for a while", err=True)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("until", no_wrap=True)
    for title, ratio in (("host or actor", 3), ("rule", 1), ("why", 2)):
        table.add_column(title, no_wrap=True, overflow="ellipsis", ratio=ratio)
    for one in found:
        told = (shown_time(one.until), one.value, one.by, one.reason)
        table.add_row(*(Text(printable(value)) for value in told))
    console().print(table)


@command.command()
@click.argument("who", metavar="HOST|ACTOR")
@ledger_options
def lift(who: str, config: Path, ledger: str | None) -> None:
    """Deny a host (its name), or an actor (its URL), no longer. A fediward that is running sees it within seconds.

    Exit: 0, 1 where it was not denied (or trouble with the ledger), 2 for usage or configuration.
    """
    url = ledger_url(config, ledger)
    with open_reader(config, url):
        pass  # it is there, and of this version
    address = parsed(url)
    engine = engine_for(address, synchronous="FULL")
    try:
        denials = Denials(engine)
        is_actor = "://" in who
        value = actor(who) if is_actor else normal_host(who)
        lifted = denials.lift("actor" if is_actor else "host", value or who)
    except Exception as error:
        raise Trouble(str(explained(address, error))) from error
    finally:
        engine.dispose()
    if not lifted:
        raise Trouble(f"{printable(who)} is not denied by a rule; `fediward denials` lists who is")
    click.echo(f"{printable(who)} is denied no longer.")
