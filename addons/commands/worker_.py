"""``fediward worker``: judge what doors on other machines send by way of a NATS server, until told to stop."""

import asyncio
import logging
import os
import sys
from pathlib import Path

import click

from addons.commands.options import config_option
from addons.commands.stopping import told_to_stop
from addons.policy.config import Config, load
from addons.policy.problems import ConfigError
from classifier.types import CannotStartError


@click.command("worker")
@config_option("The configuration: the same classifier and concepts as the doors'.", "path")
@click.option("-v", "--verbose", is_flag=True, help="Log everything.")
def command(path: Path, verbose: bool) -> None:
    """Judge for doors on other machines.

    Connects outward to the NATS server under classifier.workers, so it may stand behind a router. Of the
    configuration only `classifier` and `concepts` matter, and they must be the doors'; the files of hash lists may be
    missing. A server that cannot be reached is tried again and again.

    Ends with 0 after SIGTERM or Ctrl-C, when the jobs it had are done (a second one does not wait for them), 2 where
    the configuration is wrong, 1 where something it needs is missing.
    """
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("classifier").setLevel(logging.DEBUG if verbose else logging.INFO)
    if not path.exists():
        raise click.UsageError(f"there is no file {path}. Copy the doors' there.")
    try:
        config = load(path, env=os.environ, lists=False)
    except ConfigError as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    if config.classifier.workers is None:
        click.echo(
            f"{path}: classifier.workers is local: write there the NATS server at which doors and workers meet, "
            "nats://host:4222",
            err=True,
        )
        sys.exit(2)
    try:
        asyncio.run(_serve(config))
    except CannotStartError as error:
        click.echo(f"the worker did not start: {error}", err=True)
        sys.exit(1)


async def _serve(config: Config) -> None:
    """Work until SIGINT or SIGTERM. Raises CannotStartError."""
    from classifier.lanes import Lanes
    from classifier.remote.identity import asked, told
    from classifier.remote.worker import Worker
    from classifier.starting import detectors

    classifier, concepts = config.classifier, config.concepts
    assert classifier.workers is not None
    with told_to_stop() as (stop, hurry):
        click.echo("loading …", err=True)
        problems: list[str] = []
        found = detectors(classifier, concepts, problems)
        if not found and not problems:
            problems.append("no detector is on: set classifier.clip or classifier.nudity")
        if problems:
            raise CannotStartError("\n".join(problems))
        lanes = Lanes(found)
        try:
            worker = Worker(lanes, told(found, asked(classifier, concepts)), classifier.workers, jobs=classifier.queue)
            await worker.run(stop, hurry)
        finally:
            await lanes.close()
