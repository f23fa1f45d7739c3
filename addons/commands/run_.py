"""``fediward run``: load the models, open the doors, and stay until told to stop."""

import asyncio
import gc
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from addons.commands.options import config_option
from addons.commands.stopping import told_to_stop
from addons.ledger.errors import LedgerError
from addons.policy.config import Config, load
from addons.policy.problems import ConfigError
from classifier import CannotStartError

if TYPE_CHECKING:
    from addons.opening import Opened
    from addons.service import Service

DRAIN_MORE = 5.0
"""Seconds beyond ``budget`` that deliveries under way may take to be forwarded and answered when we are stopped."""


class CannotListenError(Exception):
    """A door's address cannot be had; the message says what to do."""


@click.command("run")
@config_option("The configuration file.", "path")
@click.option("-v", "--verbose", count=True, help="Log more; twice for everything.")
@click.option(
    "--new-origin-url", is_flag=True, help="Take a changed doors.pictrs.origin_url: pict-rs then knows no old image."
)
def command(path: Path, verbose: int, new_origin_url: bool) -> None:
    """Open the doors that the configuration names, and keep them open.

    Ends with 0 after SIGTERM or Ctrl-C (a second one does not wait for deliveries under way), 2 where the configuration
    is wrong, 1 where something it needs is missing.
    """
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpcore").setLevel(logging.WARNING)
    # A listener that cannot be opened is said in a sentence of our own.
    logging.getLogger("mitmproxy.addons.proxyserver").setLevel(logging.CRITICAL)
    if not path.exists():
        raise click.UsageError(f"there is no file {path}. `fediward config example > {path}` makes a first one.")
    try:
        config = load(path, env=os.environ)
    except ConfigError as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    for warning in config.warnings:
        click.echo(f"{warning}", err=True)
    try:
        asyncio.run(serve(config, new_origin_url=new_origin_url))
    except (CannotStartError, CannotListenError, LedgerError) as error:
        click.echo(f"fediward did not start: {error}", err=True)
        sys.exit(1)


async def serve(config: Config, *, new_origin_url: bool = False) -> None:
    """Run the doors until SIGINT or SIGTERM. Raises CannotStartError, CannotListenError, LedgerError."""
    from addons.service import Service  # late: it brings mitmproxy, which takes a second to import

    # Before anything is loaded: that has processes of its own, which must be ended in order.
    with told_to_stop() as (stop, hurry):
        click.echo("loading …", err=True)
        service = Service.start(config, new_origin_url=new_origin_url)
        # What is loaded by now stays; a full round of the collector over it would hold up the doors: 330 ms, measured.
        gc.collect()
        gc.freeze()
        try:
            await _doors(service, stop, hurry)
        finally:
            await service.close()
            gc.unfreeze()  # else extension modules complain at exit of what they take for leaks


async def _doors(service: "Service", stop: asyncio.Future[None], hurry: asyncio.Future[None]) -> None:
    from addons.opening import Doors, plans

    config = service.config
    doors = Doors(plans(service), config.limits.idle_time)
    opening = asyncio.ensure_future(doors.open())
    try:
        await _first(opening, stop)
        if opening.done():
            for opened in _opened(opening, config):
                click.echo(str(opened), err=True)
            service.delivering.start()
            ended = asyncio.ensure_future(doors.ended())
            await _first(ended, stop)
            ended.cancel()
        if stop.done():
            await doors.stop_listening()
            click.echo("stopping …", err=True)
            draining = asyncio.ensure_future(doors.drain(config.budget + DRAIN_MORE))
            await _first(draining, hurry)
            draining.cancel()
            # What is held is in the ledger, for the next start.
            if hurry.done():
                await service.delivering.stop(timeout=0)
            await service.delivering.stop()
    finally:
        opening.cancel()
        await doors.close()


async def _first(*futures: asyncio.Future[Any]) -> None:
    await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)


def _opened(opening: "asyncio.Future[list[Opened]]", config: Config) -> "list[Opened]":
    try:
        return opening.result()
    except OSError as error:
        advice = f"end the program that has that address, or change it in {config.path}"
        raise CannotListenError(f"{error}: {advice}") from error
