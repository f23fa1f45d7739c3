"""``fediward exchanges``: fetches hash exchanges by hand, and says when they were fetched last."""

import asyncio
import json
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from addons.commands.options import config_option

if TYPE_CHECKING:  # imported late below: `--help` should not take a second
    from addons.policy.exchanges import Exchange

FAILED = 1


@click.group("exchanges")
def command() -> None:
    """Fetch hash lists from exchanges, and see when they were fetched last.

    The exchanges are those under `exchanges` in the configuration. `fediward run` fetches them by itself; a running one
    reads what is fetched here within seconds.
    """


def _options[**P, R](body: Callable[P, R]) -> Callable[P, R]:
    for option in (
        click.argument("names", nargs=-1, metavar="[NAME…]"),
        click.option("--json", "as_json", is_flag=True, help="JSON instead of words."),
        config_option("The configuration that names the exchanges.", "config"),
    ):
        body = option(body)
    return body


@command.command("fetch")
@_options
def fetch_(names: tuple[str, ...], config: Path, as_json: bool) -> None:
    """Fetch what is new, now, of these exchanges or of all.

    Exit: 0, 1 where one was not fetched (its list stays as it was, or has what came until then), 2 for usage or
    configuration.
    """
    from addons.judging.exchanges import child
    from classifier.types import CannotStartError

    failed = False
    for exchange in _chosen(config, names):
        told: dict[str, object] = {"exchange": exchange.name}
        try:
            child.prepare(exchange)
            answer = asyncio.run(child.fetch(exchange, forced=True))
        except (child.FetchFailedError, CannotStartError) as error:
            failed = True
            child.note(exchange, str(error))
            told["failed"] = words = str(error)
        else:
            told |= {"fetched": answer.fetched, "records": answer.records, "hashes": answer.hashes}
            words = f"{answer.records} records came, {answer.hashes} hashes in all; {exchange.list.file}"
            if not answer.fetched:
                words = "another process is fetching it just now"
        click.echo(json.dumps(told) if as_json else f"{exchange.name}: {words}", err="failed" in told and not as_json)
    sys.exit(FAILED if failed else 0)


@command.command()
@_options
def status(names: tuple[str, ...], config: Path, as_json: bool) -> None:
    """Say of these exchanges, or of all, when they were last fetched, what they gave, and what is wrong.

    Exit: 0, 1 where the last fetch failed or there was none, 2 for usage or configuration.
    """
    from addons.judging.exchanges import child

    failed = False
    for exchange in _chosen(config, names):
        try:
            found = child.state(exchange) if exchange.state.exists() else child.State(None, "", 0)
        except child.FetchFailedError as error:
            found = child.State(None, str(error), 0)
        failed |= bool(found.trouble) or found.fetched_at is None
        at = datetime.fromtimestamp(found.fetched_at, UTC).isoformat(timespec="seconds") if found.fetched_at else None
        if as_json:
            told = {"exchange": exchange.name, "fetched": at, "hashes": found.hashes, "trouble": found.trouble}
            click.echo(json.dumps(told))
        else:
            words = f"fetched {at}, {found.hashes} hashes" if at else f"never fetched completely, {found.hashes} hashes"
            click.echo(f"{exchange.name}: {words}" + (f"; failed since: {found.trouble}" if found.trouble else ""))
    sys.exit(FAILED if failed else 0)


def _chosen(path: Path, names: tuple[str, ...]) -> "list[Exchange]":
    from addons.policy.config import load
    from addons.policy.problems import ConfigError

    try:
        config = load(path, env=os.environ, lists=False)
    except ConfigError as error:
        raise click.UsageError(str(error)) from error
    there = {exchange.name: exchange for exchange in config.exchanges}
    if unknown := [name for name in names if name not in there]:
        raise click.UsageError(f"no exchange is named {unknown[0]}: there is {', '.join(there) or 'none'}")
    if not there:
        raise click.UsageError(f"{path} names no exchange: add one under exchanges, as `fediward config example` shows")
    return [there[name] for name in dict.fromkeys(names)] or list(there.values())
