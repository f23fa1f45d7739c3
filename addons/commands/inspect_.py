"""``fediward inspect``: shows the media, links and fetches that fediward sees in ActivityPub documents."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from addons.activitypub.parsing import MalformedActivityError, parse
from addons.activitypub.references import Link, Walk
from addons.activitypub.walk import walk

# Far wider than a door's bounds: a person wants to see everything, and the file is their own.
_MAX_BYTES = 16 * 2**20
_MAX_DEPTH = 500
_MAX_NODES = 2_000_000


@click.command("inspect")
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line and file.")
def command(files: tuple[str, ...], as_json: bool) -> None:
    """Show the media, links and fetches in ActivityPub documents (- reads standard input).

    Media are URLs that a server would fetch or show as such, links are those whose preview it fetches, and fetches
    are IRIs it dereferences. The path says where each stood (JSON Pointer).

    Exit status: 0 when every file was read, 1 when some could not be or is no activity, 2 for wrong usage.
    """
    failed = False
    for file in files:
        try:
            found = _walk_file(file)
        except (OSError, MalformedActivityError) as error:
            failed = True
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            click.echo(f"{file}: {reason}", err=True)
            continue
        if found.overflow:
            failed = True
            bound = (
                f"nested deeper than {_MAX_DEPTH}" if found.overflow == "depth" else f"more than {_MAX_NODES} values"
            )
            click.echo(f"{file}: {bound}, which no activity is: what lies beyond is not shown.", err=True)
        if as_json:
            click.echo(json.dumps(describe(file, found)))
        else:
            _print_table(file, found)
    sys.exit(1 if failed else 0)


def describe(file: str, found: Walk) -> dict[str, object]:
    """What ``--json`` prints for one file."""
    return {
        "file": file,
        "media": [{"url": ref.url, "kind": ref.kind, "path": ref.path} for ref in found.media],
        "links": [{"url": link.url, "path": link.path} for link in found.links],
        "fetches": [{"url": link.url, "path": link.path} for link in found.fetches],
    }


def _walk_file(file: str) -> Walk:
    if file == "-":
        body = sys.stdin.buffer.read(_MAX_BYTES + 1)
    else:
        with Path(file).open("rb") as stream:
            body = stream.read(_MAX_BYTES + 1)
    if len(body) > _MAX_BYTES:
        raise MalformedActivityError(f"The file is larger than {_MAX_BYTES // 2**20} MiB, which no activity is.")
    parsed = parse(body, max_depth=_MAX_DEPTH, max_nodes=_MAX_NODES)
    return walk(parsed.document, max_depth=_MAX_DEPTH, max_nodes=_MAX_NODES, max_media=_MAX_NODES)


def _print_table(file: str, found: Walk) -> None:
    # A terminal folds what is long; in a file or pipe every row is one line.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 10_000)
    table = Table(title=escape(file), title_justify="left", box=None)
    for name in ("what", "url", "path"):
        table.add_column(name, overflow="fold")
    for ref in found.media:
        said = ref.kind + (" (linked)" if ref.linked else "") + (" (sensitive)" if ref.sensitive else "")
        table.add_row(said, _cell(ref.url), _cell(ref.path))
    groups: Sequence[tuple[str, Sequence[Link]]] = (("link", found.links), ("fetch", found.fetches))
    for what, links in groups:
        for link in links:
            table.add_row(what, _cell(link.url), _cell(link.path))
    if table.row_count:
        console.print(table)
    else:
        console.print(f"{escape(file)}: no media, links or fetches")


def _cell(text: str) -> str:
    """Text as it is, but for what a terminal would obey."""
    return escape("".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text))
