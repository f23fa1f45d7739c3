"""``fediward ca``: the fetch door's certificate authority, and the lines with which a server trusts and uses it."""

import json
import os
import sys
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

import click

from addons.commands.ca_guides import GUIDES, MAKE_BUNDLE
from addons.commands.options import config_option
from addons.policy.config import load
from addons.policy.problems import ConfigError

if TYPE_CHECKING:
    from addons.doors.authority import Authority
    from addons.policy.values import Address


@click.command("ca")
@config_option("The configuration file.", "path")
@click.option("--software", type=click.Choice(sorted(GUIDES)), help="Only the lines for this server software.")
@click.option("--pem", is_flag=True, help="Print the certificate, and nothing else.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(path: Path, software: str | None, pem: bool, as_json: bool) -> None:
    """Say where the fetch door's certificate authority is, and how a server is told to trust and to use it.

    The authority is made where there is none yet. Its key never leaves its folder.

    Exit status: 0, 1 where it cannot be had, 2 where the configuration is wrong or names no fetch door.
    """
    try:
        config = load(path, env=os.environ)
    except ConfigError as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    except OSError as error:
        raise click.UsageError(f"{path} cannot be read: {error.strerror}") from error
    door = config.doors.fetch
    if door is None:
        raise click.UsageError(f"{path} has no doors.fetch, so that no authority is needed.")
    from addons.doors.authority import Authority, AuthorityError  # late: it brings mitmproxy

    try:
        authority = Authority.open(door.ca)
    except AuthorityError as error:
        click.echo(str(error), err=True)
        sys.exit(1)
    chosen = [software] if software else list(GUIDES)
    if pem:
        click.echo(authority.pem, nl=False)
    elif as_json:
        click.echo(json.dumps(_described(authority, door.listen, chosen)))
    else:
        click.echo(_told(authority, door.listen, chosen))


def _described(authority: "Authority", listen: "Address", chosen: list[str]) -> dict[str, object]:
    proxy = proxy_url(listen)
    return {
        "certificate": str(authority.certificate),
        "sha256": authority.fingerprint,
        "since": authority.since.isoformat(),
        "until": authority.until.isoformat(),
        "proxy": proxy,
        "software": {name: GUIDES[name].text(proxy) for name in chosen},
    }


def _told(authority: "Authority", listen: "Address", chosen: list[str]) -> str:
    proxy = proxy_url(listen)
    parts = [
        f"certificate  {authority.certificate}\n"
        f"SHA-256      {authority.fingerprint}\n"
        f"valid        {authority.since:%Y-%m-%d} to {authority.until:%Y-%m-%d}\n"
        f"proxy        {proxy}",
    ]
    if _is_loopback(listen):
        parts.append(
            f"The door listens on {listen}, which no container reaches: for Compose, set doors.fetch.listen to an\n"
            "address of the containers' network and doors.fetch.clients to that network."
        )
    parts.append(f"# the files that are mounted below\n{MAKE_BUNDLE}")
    parts.extend(GUIDES[name].text(proxy) for name in chosen)
    return "\n\n".join(parts)


def proxy_url(listen: "Address") -> str:
    """The door's URL as a container sees them: where it listens everywhere, by the name of our own service."""
    host = "fediward" if listen.host in ("0.0.0.0", "::", "") else listen.host
    return f"http://{f'[{host}]' if ':' in host else host}:{listen.port}"


def _is_loopback(listen: "Address") -> bool:
    try:
        return ip_address(listen.host).is_loopback
    except ValueError:
        return listen.host == "localhost"
