"""``fediward doctor``: tries every part of a configuration for real, and says what to mend."""

import asyncio
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from addons.commands.options import config_option

if TYPE_CHECKING:  # imported late below: `--help` should not take a second
    from addons.doctor.findings import Finding
    from addons.policy.config import Config

_COLOURS = {"ok": "green", "trouble": "red", "not checked": "yellow"}


@click.command("doctor")
@config_option("The configuration file.", "path")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line and check.")
@click.option("--clock-url", metavar="URL", help="Whose Date tells the time; else that of your server.")
@click.option("--fetch-url", metavar="URL", help="What is fetched through the fetch door; else only TLS is tried.")
def command(path: Path, as_json: bool, clock_url: str | None, fetch_url: str | None) -> None:
    """Try every part of a configuration for real: ledger, server, clock, doors, pict-rs, hash lists, detectors.

    Best while `fediward run` is running; doors that are not open are not checked. pict-rs is given drawn pictures,
    which are deleted again; nothing else is changed.

    Exit status: 0 where all that was checked is well, 1 where something is not, 2 where the configuration is wrong.
    """
    from addons.policy.config import load
    from addons.policy.problems import ConfigError

    try:
        config = load(path, env=os.environ)
    except ConfigError as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    sys.exit(asyncio.run(_check(config, as_json, clock_url, fetch_url)))


async def _check(config: "Config", as_json: bool, clock_url: str | None, fetch_url: str | None) -> int:
    from addons.doctor.everything import check_everything

    failed = False
    async for finding in check_everything(config, clock_url=clock_url, fetch_url=fetch_url):
        failed |= finding.state == "trouble"
        click.echo(json.dumps(asdict(finding)) if as_json else _line(finding))
    return 1 if failed else 0


def _line(finding: "Finding") -> str:
    state = click.style(f"{finding.state:<11}", fg=_COLOURS[finding.state])
    line = f"{state} {finding.check}: {finding.message}"
    return f"{line}\n{' ' * 12}→ {finding.mend}" if finding.mend else line
