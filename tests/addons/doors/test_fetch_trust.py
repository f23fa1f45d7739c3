"""Whom the fetch door believes, who believes it, and what passes it as a tunnel."""

from pathlib import Path

import httpx
import pytest

from addons.doors.authority import FetchTls
from tests import net
from tests.addons.doors.conftest import OpenDoor
from tests.addons.doors.fetched import FORBIDDEN, ORDINARY, Host, connect, host, inside, said
from tests.addons.fetching.servers import Names, authority

pytestmark = pytest.mark.asyncio(loop_scope="module")

PRIVATE = "10.1.2.3"


async def test_a_host_whose_certificate_does_not_hold_is_never_passed(
    open_door: OpenDoor, our_tls: FetchTls, tmp_path: Path
) -> None:
    async with host(authority().server(tmp_path, "remote.example")) as stranger:
        stranger.put("/ordinary.png", said(ORDINARY))
        async with open_door({"ports": [stranger.tls_port]}) as door, door.client() as client:
            answer = await client.get(f"https://remote.example:{stranger.tls_port}/ordinary.png")
            assert answer.status_code == 502
            assert "certificate" in answer.json()["error"]
        assert stranger.requests == []


async def test_a_server_that_does_not_trust_us_is_told_where_to_look(
    open_door: OpenDoor, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_door() as door, door.client(trusts=False) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(door.url("/ordinary.png"))
        await net.until(lambda: "fediward ca" in caplog.text)
        assert await door.counts() == {"untrusted": 1}


@pytest.mark.parametrize("tunnels", [{"hosts": ["*.example"]}, {"clients": ["127.0.0.0/8"]}])
async def test_tunnels_pass_unread_and_are_counted(
    open_door: OpenDoor, remote: Host, trusted_file: Path, tunnels: dict[str, list[str]]
) -> None:
    target = f"remote.example:{remote.tls_port}"
    async with open_door({"tunnels": tunnels}) as door:
        # Whoever speaks there shows a certificate of the host's own authority, not of ours.
        async with inside(door, target, trust=trusted_file, name="remote.example") as client:
            await client.send(f"GET /forbidden.png HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
            assert (await client.response())[2] == FORBIDDEN
        await door.entries(0)
        assert await door.counts() == {"tunnel": 1}


async def test_tunnels_are_checked_for_where_they_lead(open_door: OpenDoor, remote: Host) -> None:
    names = Names(remote_example=[PRIVATE])
    tunnels = {"tunnels": {"hosts": ["remote.example"]}}
    async with open_door(tunnels, names=names) as door, net.client(door.port) as client:
        assert await connect(client, f"remote.example:{remote.tls_port}") == 403
