"""``fediward allow WHAT``: undo a wrong decision everywhere, and say what is left to do. No image is shown."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from addons.commands.advice import advice, why_not
from addons.commands.reading import Trouble, ledger_options
from addons.ledger import LedgerError, Reader
from addons.ledger.clean import printable, printable_json
from addons.ledger.database import engine_for, parsed
from addons.ledger.errors import explained
from addons.ledger.secrets import Secrets
from addons.ledger.standings import Standings, plain
from addons.ledger.undoing import Found, Named, allowances, find, named

if TYPE_CHECKING:  # imported late below: `--help` should not take a second
    from addons.judging.forgetting import Forgotten
    from addons.policy.config import Config

SHOWN = 20
"""Lines of one kind that are shown; ``--json`` has all."""
NOTE = 1000
"""Characters of a note."""
NOTHING = 1
"""Exit code where nothing could be done."""


@dataclass(frozen=True, slots=True)
class _Open:
    """The ledger, to read and to change, and the configuration where there is one."""

    reader: Reader
    standings: Standings
    secrets: Secrets
    config: "Config | None"


@click.command("allow")
@click.argument("what")
@ledger_options
@click.option("--note", default="", help="Why, for whoever looks at it later.")
@click.option("--undo", is_flag=True, help="Take back what was allowed: rules decide on it again.")
@click.option("--yes", "-y", is_flag=True, help="Ask nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object with everything that was done; asks nothing.")
def command(what: str, config: Path, ledger: str | None, note: str, undo: bool, yes: bool, as_json: bool) -> None:
    """Undo a wrong decision: WHAT is a decision's id, a SHA-256 or a URL (`fediward log` has them).

    The media behind it pass at every door from now on, known by their SHA-256, and they and their URLs leave the block
    set. What pict-rs keeps in their place is deleted (doors.pictrs.api_key). It says which posts to ask for again.

    Exit: 0, 1 where the ledger knows nothing of it or of no bytes to allow (or trouble with the ledger), 2 for usage or
    configuration.
    """
    what = what.strip()
    kind = named(what)
    if kind is None:
        raise click.UsageError("WHAT must be a decision's id (20 characters), a SHA-256 (64 hex digits) or a URL")
    if len(note) > NOTE:
        raise click.UsageError(f"--note has {len(note)} characters; at most {NOTE} are kept")
    ask = not (yes or as_json) and _is_terminal()
    with _opened(config, ledger) as opened:
        if undo:
            _undo(opened, what, ask, as_json)
        else:
            _allow(opened, what, kind, note, ask, as_json)


def _is_terminal() -> bool:
    return sys.stdin.isatty()


@contextmanager
def _opened(config: Path, ledger: str | None) -> Iterator[_Open]:
    settings = _settings(config, needed=ledger is None)
    url = ledger if ledger is not None or settings is None else settings.ledger.url
    assert url is not None
    try:
        with Reader.open(url) as reader:
            address = parsed(url)
            engine = engine_for(address, synchronous="FULL")
            try:
                yield _Open(reader, Standings(engine), Secrets(engine), settings)
            except (LedgerError, click.ClickException, click.Abort):
                raise
            except Exception as error:
                raise explained(address, error) from error
            finally:
                engine.dispose()
    except LedgerError as error:
        raise Trouble(str(error)) from error


def _settings(path: Path, *, needed: bool) -> "Config | None":
    from addons.policy.config import load  # late, so that --help takes no time
    from addons.policy.problems import ConfigError

    if not path.is_file():
        if needed:
            raise click.UsageError(
                f"there is no {path}; name the configuration with -c FILE, or the ledger with --ledger URL"
            )
        return None
    try:
        return load(path, env=os.environ, lists=False)
    except ConfigError as error:
        raise click.UsageError(str(error)) from error


def _allow(opened: _Open, what: str, kind: Named, note: str, ask: bool, as_json: bool) -> None:
    found = find(opened.reader, opened.standings, what)
    if not found.anything:
        raise Trouble(_nothing(opened, what, kind))
    if ask and (found.sha256 or found.urls):
        told = (
            f"{_count(len(found.sha256), 'medium', 'media')} by SHA-256, from {_count(len(found.urls), 'URL', 'URLs')}"
        )
        click.confirm(f"Let {told} pass at every door from now on?", abort=True)
    by = what.lower() if kind == "decision" else found.newest
    opened.standings.allow(found.sha256, by, note)
    unblocked = opened.standings.unblock(found.places)
    done = bool(found.sha256 or unblocked)
    forgotten = _forget(opened, list(found.urls)) if found.sha256 else []
    if as_json:
        click.echo(printable_json(_plain(opened, found, unblocked, forgotten)))
    else:
        click.echo("\n".join(printable(line) for line in _told(opened, found, unblocked, forgotten)), err=not done)
    if not done:
        sys.exit(NOTHING)


def _undo(opened: _Open, what: str, ask: bool, as_json: bool) -> None:
    allowed = allowances(opened.reader, opened.standings, what)
    if not allowed:
        raise Trouble(f"nothing is allowed that belongs to {printable(what)}")
    if ask:
        click.confirm(f"Have rules decide again on {_count(len(allowed), 'medium', 'media')}?", abort=True)
    opened.standings.disallow(allowed)
    if as_json:
        click.echo(printable_json({"taken_back": allowed}))
        return
    click.echo("\n".join([f"No longer allowed: {one}" for one in allowed]))
    click.echo(
        "Rules decide on them again from now on. They are not on the block set, and what the server has meanwhile "
        "stored of them stays there."
    )


def _nothing(opened: _Open, what: str, kind: Named) -> str:
    if kind == "sha256":
        return f"the ledger has no decision on bytes of this SHA-256: {what.lower()}"
    if kind == "url":
        return f"nothing was stopped at {printable(what)} that the ledger knows of; `fediward log --url` lists what was"
    entry = opened.reader.get(what.lower())
    if entry is None:
        return f"the ledger has no decision {printable(what)}; `fediward log` lists them"
    if all(hit.action in ("pass", "record") for hit in entry.hits):
        return f"decision {entry.id} let it in ({entry.action}): there is nothing to undo"
    return (
        f"decision {entry.id} was not about a medium but about who sent it, or about the whole of it "
        f"({entry.rule or entry.cause}): change that rule or cause in the configuration"
    )


def _forget(opened: _Open, urls: Sequence[str]) -> "list[Forgotten]":
    """Have pict-rs forget what it keeps for these URLs; nothing where it is not before a door of ours."""
    door = opened.config.doors.pictrs if opened.config else None
    key = opened.secrets.known("origin") if door else None
    if door is None or key is None or door.api_key is None:
        return []
    from addons.judging.forgetting import forget
    from addons.judging.stable import StableUrls

    # The ledger's own would be what the stored URLs begin with, if the configuration were changed since.
    origin = opened.secrets.known("origin_url") or str(door.origin_url).encode()
    # The server asks for what stood in the post, or for that in its own spelling; the ledger may have cut a long one.
    whole = [url for url in urls if "://" in url and not url.endswith("…")]
    spellings = list(dict.fromkeys(one for url in whole for one in (url, plain(url))))
    return list(forget(str(door.upstream), door.api_key, StableUrls(key, origin.decode()), spellings))


def _told(opened: _Open, found: Found, unblocked: int, forgotten: "Sequence[Forgotten]") -> list[str]:
    lines = [f"Allowed at every door: {one}" for one in found.sha256]
    lines += _listed("  it came from {}", list(found.urls)) if found.sha256 else []
    if unblocked:
        lines.append(f"Taken off the block set: {_count(unblocked, 'entry', 'entries')}")
    lines += _listed("{}", [line for medium in found.without for line in why_not(medium, bool(found.sha256))])
    deleted = [one.url for one in forgotten if one.outcome == "deleted"]
    lines += _listed("pict-rs forgot what it kept for {}, and will fetch it again", deleted)
    if forgotten and not deleted and not (failed := _failed(forgotten)):
        lines.append("pict-rs keeps nothing in their place under a proxied URL")
    elif failed := _failed(forgotten):
        lines.append(failed)
    if found.sha256 or unblocked:
        lines += advice(opened.config, found, tried=bool(forgotten))
    return lines


def _failed(forgotten: "Sequence[Forgotten]") -> str:
    return next((f"pict-rs did not forget {one.url}: {one.why}" for one in forgotten if one.outcome == "failed"), "")


def _plain(opened: _Open, found: Found, unblocked: int, forgotten: "Sequence[Forgotten]") -> dict[str, object]:
    return {
        "allowed": list(found.sha256),
        "urls": list(found.urls),
        "unblocked": unblocked,
        "not_allowed": [{"url": medium.url, "cause": medium.cause} for medium in found.without],
        "pict_rs": [
            {"url": one.url, "stable": one.stable, "outcome": one.outcome, "why": one.why} for one in forgotten
        ],
        "decisions": [
            {
                "id": entry.id,
                "door": entry.door,
                "action": entry.action,
                "activity": entry.activity_id,
                "object": entry.object_id,
            }
            for entry in found.decisions.values()
        ],
        "advice": advice(opened.config, found, tried=bool(forgotten)),
    }


def _listed(form: str, values: Sequence[str]) -> list[str]:
    more = [f"  … and {len(values) - SHOWN} more (--json has all)"] if len(values) > SHOWN else []
    return [form.format(value) for value in values[:SHOWN]] + more


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
