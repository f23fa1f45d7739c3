"""``fediward holds``: list held deliveries, look at one, and let one go or drop it. No image is shown."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from addons.commands import held
from addons.commands.defaulting import DefaultGroup
from addons.commands.reading import Trouble, console, ledger_options, ledger_url, open_reader, shown_time
from addons.ledger import LedgerError
from addons.ledger.clean import printable, printable_body, printable_json, without_payloads
from addons.ledger.database import parsed
from addons.ledger.entry import utc_now
from addons.ledger.errors import explained
from addons.ledger.held import HoldRecord, HoldState, Outcome
from addons.ledger.holds import Holds, hold_engine

LIMIT = 100_000
"""Holds listed at most."""
BY = "an admin let it go"
DROPPED = "an admin dropped it"


@click.group("holds", cls=DefaultGroup, default="list")
def command() -> None:
    """List held deliveries, look at one, let one go or drop it.

    Without a command it lists. A fediward that is running sees a change within seconds.
    """


@command.command("list")
@ledger_options
@click.option("--all", "over", is_flag=True, help="Those that are over too, as long as `ledger.keep` keeps them.")
@click.option("--limit", type=click.IntRange(1, LIMIT), default=50, show_default=True, help="How many, the newest.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object with all that is known of them.")
def list_(config: Path, ledger: str | None, over: bool, limit: int, as_json: bool) -> None:
    """List what is held, newest last, and how much there is in all.

    Exit: 0, 1 for trouble with the ledger, 2 for usage or configuration.
    """
    try:
        with open_reader(config, ledger) as reader:
            found = reader.holds(limit, over=over)
            totals = reader.hold_totals()
    except LedgerError as error:
        raise Trouble(str(error)) from error
    if as_json:
        click.echo(printable_json({"holds": [held.plain(one) for one in found], "totals": held.plain(totals)}))
        return
    if found:
        console().print(_table(found))
    click.echo(held.totals(totals))


def _table(found: list[HoldRecord]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("id", no_wrap=True, min_width=20)
    for title in ("since", "closes", "state"):
        table.add_column(title, no_wrap=True)
    for title in ("signer", "rule or cause"):
        table.add_column(title, no_wrap=True, overflow="ellipsis", ratio=1)
    for title in ("tries", "size"):
        table.add_column(title, no_wrap=True, justify="right")
    for one in found:
        told = (
            one.id,
            shown_time(one.arrived),
            shown_time(one.closes),
            held.state(one),
            held.signer(one),
            one.rule or one.cause or "order",
            str(one.attempts),
            held.size(one.size),
        )
        table.add_row(*(Text(printable(value)) for value in told))
    return table


@command.command()
@click.argument("id")
@ledger_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object with all that is known of it.")
@click.option("--activity", is_flag=True, help="Print the delivery's body, without embedded files, and nothing else.")
def show(id: str, config: Path, ledger: str | None, as_json: bool, activity: bool) -> None:
    """Show one hold: ID is the first column of `fediward holds`.

    Exit: 0, 1 where there is no such hold (or trouble with the ledger), 2 for usage or configuration.
    """
    if as_json and activity:
        raise click.UsageError("--json and --activity do not go together")
    id = id.strip().lower()
    try:
        with open_reader(config, ledger) as reader:
            record = reader.hold(id)
            request = reader.held_request(id) if activity else None
    except LedgerError as error:
        raise Trouble(str(error)) from error
    if record is None:
        raise Trouble(_unknown(id))
    if activity and request is None:
        raise Trouble(f"hold {printable(id)} is over ({record.outcome}): its body is kept no longer")
    if request is not None:
        click.echo(printable_body(without_payloads(request[1])))
    elif as_json:
        click.echo(printable_json(held.plain(record)))
    else:
        lines = [
            f"Hold {record.id}: {held.state(record)}",
            f"  activity  {record.activity_id or 'without an id'}",
            f"  sent from {record.peer}, by {record.host or 'no host'}",
            *held.story(record),
            f"Why it was held: fediward explain {record.id}",
        ]
        click.echo("\n".join(printable(line) for line in lines))


@command.command()
@click.argument("id")
@ledger_options
@click.option("--yes", "-y", is_flag=True, help="Though nothing judged it: ask nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object; asks nothing.")
def release(id: str, config: Path, ledger: str | None, yes: bool, as_json: bool) -> None:
    """Let a held delivery go to the server as it is, by your word.

    What nothing has judged yet needs --yes (or your yes on a terminal): it may be anything.

    Exit: 0, 1 where there is no such hold or it can no longer be let go (or trouble with the ledger), 2 for usage or
    configuration.
    """
    id = id.strip().lower()
    with _opened(config, ledger) as holds:
        record = _pending(holds, id)
        if record.state == HoldState.REPLAYING:
            raise Trouble(
                f"hold {record.id} is permitted already: it is sent as soon as the server and its turn let it"
            )
        unjudged = record.state == HoldState.JUDGING
        if unjudged and not yes:
            if as_json or not _is_terminal():
                raise Trouble(f"nothing has judged hold {record.id} yet: with --yes it goes to the server all the same")
            click.confirm(f"Nothing has judged hold {record.id} yet. Let it go to the server?", abort=True)
        if not holds.permit(id, None, unjudged=unjudged, detail=BY):
            raise Trouble(f"hold {record.id} was settled meanwhile; see `fediward holds show {record.id}`")
    _told(as_json, record, "released", "goes to the server as it is")


@command.command()
@click.argument("id")
@ledger_options
@click.option("--yes", "-y", is_flag=True, help="Ask nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object; asks nothing.")
def drop(id: str, config: Path, ledger: str | None, yes: bool, as_json: bool) -> None:
    """Drop a held delivery: it never reaches the server, and its bytes are deleted.

    Exit: 0, 1 where there is no such hold or it is over (or trouble with the ledger), 2 for usage or configuration.
    """
    id = id.strip().lower()
    with _opened(config, ledger) as holds:
        record = _pending(holds, id)
        if not (yes or as_json) and _is_terminal():
            click.confirm(f"Drop hold {record.id}? Its sender was told that it arrived.", abort=True)
        if not holds.end(id, None, Outcome.DROPPED, DROPPED, utc_now()):
            raise Trouble(f"hold {record.id} was settled meanwhile; see `fediward holds show {record.id}`")
    _told(as_json, record, "dropped", "is dropped, and its bytes are deleted")


def _is_terminal() -> bool:
    return sys.stdin.isatty()


@contextmanager
def _opened(config: Path, ledger: str | None) -> Iterator[Holds]:
    """The holds, to be changed, of a ledger that is there and of this version."""
    url = ledger_url(config, ledger)
    with open_reader(config, url):
        pass
    address = parsed(url)
    holds = Holds(hold_engine(address))
    try:
        yield holds
    except (click.ClickException, click.Abort):
        raise
    except Exception as error:
        raise Trouble(str(explained(address, error))) from error
    finally:
        holds.close()


def _pending(holds: Holds, id: str) -> HoldRecord:
    record = holds.get(id)
    if record is None:
        raise Trouble(_unknown(id))
    if record.outcome is not None:
        raise Trouble(f"hold {record.id} is over already ({record.outcome}); see `fediward holds show {record.id}`")
    return record


def _unknown(id: str) -> str:
    return f"the ledger has no hold {printable(id)}; `fediward holds` lists them"


def _told(as_json: bool, record: HoldRecord, what: str, words: str) -> None:
    click.echo(printable_json({"id": record.id, "done": what}) if as_json else f"Hold {record.id} {words}.")
