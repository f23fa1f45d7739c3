"""``fediward run``: load the models, open the doors, and stay until told to stop."""

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

import click

from addons.ledger.errors import LedgerError
from addons.policy.config import Config, load
from addons.policy.problems import ConfigError
from classifier import CannotStartError


@click.command("run")
@click.option(
    "-c",
    "--config",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("config.yaml"),
    show_default=True,
    help="The configuration file.",
)
@click.option("-v", "--verbose", count=True, help="Log more; twice for everything.")
def command(path: Path, verbose: int) -> None:
    """Open the doors that the configuration names, and keep them open.

    Ends with 0 after SIGTERM or Ctrl-C, 2 where the configuration is wrong, 1 where something it needs is missing.
    """
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpcore").setLevel(logging.WARNING)
    try:
        config = load(path, env=os.environ)
    except OSError as error:
        raise click.UsageError(
            f"{path}: {error.strerror}. `fediward config example > {path}` makes a first one."
        ) from None
    except ConfigError as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    for warning in config.warnings:
        click.echo(f"{warning}", err=True)
    try:
        asyncio.run(serve(config))
    except (CannotStartError, LedgerError, OSError) as error:
        click.echo(f"fediward did not start: {error}", err=True)
        sys.exit(1)


async def serve(config: Config) -> None:
    """Run the doors until SIGINT or SIGTERM."""
    from addons.service import Service  # late: it brings mitmproxy, which takes a second to import

    click.echo("loading …", err=True)
    service = Service.start(config)
    try:
        master = service.master()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, master.shutdown)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(master.run())
            for host, port in await master.listening():
                where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
                click.echo(f"inbox door open on {where}, in front of {config.server.upstream}", err=True)
            if config.observe:
                click.echo("mode: observe: everything is forwarded, decisions are only written down", err=True)
            await running
    finally:
        await service.close()
