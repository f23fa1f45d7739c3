"""``fediward alarms``: tries whether an alarm would reach anybody."""

import asyncio
import json
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from addons.commands.options import config_option

if TYPE_CHECKING:  # imported late below: `--help` should not take a second
    from addons.alarms.kinds import Alarm
    from addons.alarms.sending import Target

FAILED = 1


@click.group("alarms")
def command() -> None:
    """Try the alarms.

    Where they go is under `alarms` in the configuration: webhooks, ntfy topics, e-mail.
    """


@command.command("test")
@config_option("The configuration that names where alarms go.", "path")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of words.")
def test_(path: Path, as_json: bool) -> None:
    """Send one alarm to each of them, and say what happened.

    Exit: 0, 1 where one was not taken, 2 for usage or configuration.
    """
    from addons.alarms.targets import targets
    from addons.policy.config import load
    from addons.policy.problems import ConfigError

    try:
        config = load(path, env=os.environ, lists=False)
    except ConfigError as error:
        raise click.UsageError(str(error)) from error
    if not config.alarms.to:
        raise click.UsageError(f"{path} names nobody to tell: add one under alarms, as `fediward config example` shows")
    sys.exit(asyncio.run(_test(list(targets(config.alarms)), as_json)))


async def _test(targets: "Sequence[Target]", as_json: bool) -> int:
    from addons.alarms.kinds import Alarm, AlarmKind
    from addons.ledger.entry import utc_now

    message = "This is a test: alarms of fediward reach you. Nothing is wrong."
    alarm = Alarm(AlarmKind.TEST, message, utc_now(), socket.gethostname())
    trouble = await asyncio.gather(*(_try(target, alarm) for target in targets))
    for target, why in zip(targets, trouble, strict=True):
        if as_json:
            click.echo(json.dumps({"to": target.name, "sent": why is None, "trouble": why or ""}))
        elif why is None:
            click.echo(f"{target.name}: sent")
        else:
            click.echo(f"{target.name}: not sent: {why}", err=True)
    return FAILED if any(trouble) else 0


async def _try(target: "Target", alarm: "Alarm") -> str | None:
    from addons.alarms.sending import NotSentError

    try:
        await target.send(alarm)
    except NotSentError as error:
        return str(error)
    finally:
        await target.close()
    return None
