"""``fediward log``: list the decisions in the ledger, newest last, as a table or as JSON lines."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from addons.commands.reading import Trouble, console, ledger_options, open_reader, plain, shown_time
from addons.ledger import Entry, LedgerError, Reader, Search
from addons.ledger.clean import printable, printable_json
from addons.ledger.entry import utc_now
from addons.policy.words import Action, Cause

LIMIT = 100_000
"""Decisions listed at most."""
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_STYLES = {
    "drop": "bold red",
    "reject": "red",
    "hold": "yellow",
    "defer": "yellow",
    "strip": "magenta",
    "record": "cyan",
}


class When(click.ParamType[datetime]):
    """A point in time: ``2h`` or ``3d`` ago, or ISO 8601 (UTC where it names no zone)."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """The time in UTC; a usage error for anything else."""
        if isinstance(value, datetime):
            return value
        text = str(value).strip()
        try:
            if ago := re.fullmatch(r"(\d{1,9})([smhdw])", text):
                return utc_now() - timedelta(seconds=int(ago[1]) * _UNITS[ago[2]])
            at = datetime.fromisoformat(text)
            return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail(f"{text!r} is no time: write 30m, 2h, 3d or 2026-01-31T18:00 (UTC)", param, ctx)


@click.command("log")
@ledger_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, with everything that is kept.")
@click.option("--action", type=click.Choice([str(action) for action in Action]), help="Only this action.")
@click.option("--host", help="Only this host of the actor.")
@click.option("--since", type=When(), help="Not before: 30m, 2h, 3d (ago), or a date and time (UTC).")
@click.option("--until", type=When(), help="Before: as --since.")
@click.option("--rule", help="Only where this rule decided.")
@click.option("--cause", type=click.Choice([str(cause) for cause in Cause]), help="Only where this cause decided.")
@click.option("--door", type=click.Choice(["inbox", "fetch", "pictrs", "validate", "upload"]), help="Only this door.")
@click.option("--actor", help="Only this actor's id.")
@click.option("--activity-id", help="Only this activity's id.")
@click.option("--sha256", help="Only with a medium of this SHA-256.")
@click.option("--url", help="Only with a medium of this URL, as it was written in the activity.")
@click.option("--limit", type=click.IntRange(1, LIMIT), default=50, show_default=True, help="How many, the newest.")
@click.option("--counts", is_flag=True, help="Instead: how many deliveries without media, by day, door and action.")
def command(
    config: Path,
    ledger: str | None,
    as_json: bool,
    action: str | None,
    host: str | None,
    since: datetime | None,
    until: datetime | None,
    rule: str | None,
    cause: str | None,
    door: str | None,
    actor: str | None,
    activity_id: str | None,
    sha256: str | None,
    url: str | None,
    limit: int,
    counts: bool,
) -> None:
    """List decisions, newest last.

    Exit: 0, 1 for trouble with the ledger, 2 for usage or configuration.
    """
    search = Search(
        door=door,
        action=action,
        rule=rule,
        cause=cause,
        host=host.lower() if host else None,
        actor=actor,
        activity_id=activity_id,
        sha256=sha256.lower() if sha256 else None,
        url=url,
        since=since,
        until=until,
        limit=limit,
    )
    try:
        with open_reader(config, ledger) as reader:
            if counts:
                _print_counts(reader, limit, as_json)
            else:
                _print(reader.find(search), as_json)
    except LedgerError as error:
        raise Trouble(str(error)) from error


def _print(entries: list[Entry], as_json: bool) -> None:
    if as_json:
        for entry in entries:
            click.echo(printable_json(plain(entry)))
        return
    if not entries:
        click.echo("no such decisions", err=True)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("when", "door", "action"):
        table.add_column(title, no_wrap=True)
    for title, ratio in (("rule or cause", 2), ("host", 2), ("activity", 3)):
        table.add_column(title, no_wrap=True, overflow="ellipsis", ratio=ratio)
    table.add_column("id", no_wrap=True, min_width=20)
    for entry in entries:
        table.add_row(
            shown_time(entry.at),
            _text(entry.door),
            Text(_action(entry), style=_STYLES.get(entry.action, "")),
            _text(entry.rule or entry.cause or _settled(entry)),
            _text(entry.host),
            _text(_short(entry.activity_id)),
            _text(entry.id),
        )
    console().print(table)


def _print_counts(reader: Reader, limit: int, as_json: bool) -> None:
    rows = reader.counts(limit)
    if as_json:
        for row in rows:
            click.echo(
                printable_json({"day": str(row.day), "door": row.door, "action": row.action, "count": row.count})
            )
        return
    table = Table("day", "door", "action", "deliveries without media", box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(str(row.day), _text(row.door), _text(row.action), str(row.count))
    console().print(table)


def _action(entry: Entry) -> str:
    how = "held" if entry.hold else "" if entry.mode == "enforce" else entry.mode
    return printable(f"{entry.action} ({how})" if how else entry.action)


def _settled(entry: Entry) -> str | None:
    """What was settled before, where that decided: an allow list, an admin's allowance, the block set."""
    hit = next((hit for hit in entry.hits if hit.action == entry.action), None)
    if hit is None or not (hit.allowed or hit.blocked):
        return None
    if hit.blocked:
        return f"blocked by {hit.blocked}"
    return f"allow list {hit.allowed}" if hit.allowed and hit.allowed[0].isalpha() else f"allowed: {hit.allowed}"


def _short(activity: str | None) -> str | None:
    """Its end tells an id better than its beginning, which the host says already."""
    return activity if activity is None or len(activity) <= 60 else f"…{activity[-59:]}"


def _text(value: str | None) -> Text:
    return Text("–" if value is None else printable(value))
