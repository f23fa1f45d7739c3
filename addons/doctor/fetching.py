"""Whether the fetch door's authority is there and valid, and whether a TLS fetch through the running door holds."""

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import httpx

from addons.doctor.asking import SECONDS, client, reachable, said
from addons.doctor.findings import Finding, ok, trouble, unchecked
from addons.doors.authority import Authority, AuthorityError
from addons.policy.config import Config
from addons.policy.door_sections import FetchDoor

SOON = timedelta(days=30)
TLS = "TLS through the fetch door"
LOOPBACK = ip_address("127.0.0.1")
ANYWHERE = "1.1.1.1"
"""A public address, for no name has to be resolved then. Nothing is asked of it, nor is it connected to."""


async def check_fetching(config: Config, *, running: bool, url: str | None) -> list[Finding]:
    """The authority, and TLS through the door with trust in it alone: only a handshake, or a fetch of ``url``."""
    door = config.doors.fetch
    assert door is not None
    try:
        authority = await asyncio.to_thread(Authority.open, door.ca)
    except AuthorityError as error:
        return [trouble("authority", str(error), "see `fediward ca`")]
    left = authority.until - datetime.now(UTC)
    told = f"{authority.certificate}, valid until {authority.until:%Y-%m-%d}"
    if left < SOON:
        mend = f"delete {authority.folder}, start fediward anew, and have your server trust the new one (fediward ca)"
        found = trouble("authority", told, mend)
    else:
        found = ok("authority", told)
    if not running:
        return [found, unchecked(TLS, "the fetch door is not open")]
    if any(LOOPBACK in clients for clients in door.tunnels.clients if clients.version == LOOPBACK.version):
        return [found, unchecked(TLS, "this machine is one of doors.fetch.tunnels.clients: its TLS passes unread")]
    return [found, await (_fetched(authority, door, url) if url else _shaken_hands(authority, door))]


async def _shaken_hands(authority: Authority, door: FetchDoor) -> Finding:
    """TLS with the door alone: it connects to the host no sooner than it is asked for something of it."""
    where = f"{ANYWHERE}:{door.ports[0]}"
    context = ssl.create_default_context(cafile=str(authority.certificate))
    host, _, port = reachable(door.listen).rpartition(":")
    try:
        async with asyncio.timeout(SECONDS):
            reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
            try:
                writer.write(f"CONNECT {where} HTTP/1.1\r\nHost: {where}\r\n\r\n".encode())
                head = await reader.readuntil(b"\r\n\r\n")
                if head.split()[1] != b"200":
                    said_by_it = head.partition(b"\r\n")[0].decode("latin-1")
                    return trouble(TLS, f"CONNECT {where}: {said_by_it}", "see the log of `fediward run`")
                await writer.start_tls(context, server_hostname=ANYWHERE)
            finally:
                writer.close()
    except ssl.SSLCertVerificationError:
        return _another(authority)
    except (OSError, asyncio.IncompleteReadError, IndexError) as error:
        # A TimeoutError is an OSError.
        return trouble(TLS, said(error), "see the log of `fediward run`")
    return ok(TLS, "the door shows a certificate of that authority", _by_hand(door, "https://example.org/"))


def _another(authority: Authority) -> Finding:
    mend = "start fediward anew: it uses another authority. Or is that host one of doors.fetch.tunnels?"
    return trouble(TLS, f"the certificate is not of the authority in {authority.folder}", mend)


def _by_hand(door: FetchDoor, url: str) -> str:
    """What only the server's own side can tell."""
    return (
        "whether your server trusts it too is seen in its own container: "
        f"curl -sS -o /dev/null -w '%{{http_code}}\\n' -x http://FEDIWARD:{door.listen.port} {url} "
        "(a number is right; for a certificate error see `fediward ca`)"
    )


async def _fetched(authority: Authority, door: FetchDoor, url: str) -> Finding:
    proxy = f"http://{reachable(door.listen)}"
    context = ssl.create_default_context(cafile=str(authority.certificate))
    try:
        async with client(proxy=proxy, verify=context) as asking:
            answer = await asking.get(url)
    except httpx.ConnectError as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return _another(authority)
        return trouble(TLS, f"{url}: {said(error)}", "see the log of `fediward run`")
    except httpx.HTTPError as error:
        return trouble(TLS, f"{url}: {said(error)}", "does this machine resolve that name and reach it?")
    if answer.status_code in (502, 504):
        message = (
            f"{url}: the certificate holds, but the door answers {answer.status_code}: {answer.text[:200].strip()}"
        )
        return trouble(TLS, message, "does this machine reach that host?")
    return ok(TLS, f"{url} answers {answer.status_code} with a certificate of that authority", _by_hand(door, url))
