"""Where the fetch door takes the server, and where it does not, and who may use it."""

import asyncio
import socket

import pytest

from addons.doors.destinations import Destinations
from tests import net
from tests.addons.doors.conftest import OpenDoor
from tests.addons.doors.fetched import FORBIDDEN, ORDINARY, Host, connect, inside
from tests.addons.fetching.servers import Names

pytestmark = pytest.mark.asyncio(loop_scope="module")

PRIVATE = "10.1.2.3"


# -- who may use it ----------------------------------------------------------------------------------------------------


async def test_nobody_but_its_clients_is_served(open_door: OpenDoor, remote: Host) -> None:
    async with open_door({"clients": ["127.0.0.2/32"]}) as door:
        async with net.client(door.port) as client:
            assert await client.closed() == b""
        async with net.client(door.port, "127.0.0.2") as client:
            await client.send(f"GET http://remote.example:{remote.port}/ordinary.png HTTP/1.1\r\n".encode())
            await client.send(f"Host: remote.example:{remote.port}\r\n\r\n".encode())
            assert (await client.response())[2] == ORDINARY


async def test_connections_are_bounded(open_door: OpenDoor) -> None:
    async with open_door(bounds={"connections": 1}) as door, net.client(door.port) as first:
        await first.send(b"\r\n")
        async with net.client(door.port) as second:
            assert await second.closed() == b""


# -- where it leads ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tls", [True, False])
@pytest.mark.parametrize("address", [PRIVATE, "169.254.169.254", "::1", "fd00::1", "::ffff:10.1.2.3"])
async def test_private_addresses_are_refused(open_door: OpenDoor, remote: Host, tls: bool, address: str) -> None:
    async with open_door(names=Names(remote_example=["127.0.0.1", address])) as door, net.client(door.port) as client:
        if tls:
            assert await connect(client, f"remote.example:{remote.tls_port}") == 403
        else:
            at = f"remote.example:{remote.port}"
            await client.send(f"GET http://{at}/ordinary.png HTTP/1.1\r\nHost: {at}\r\n\r\n".encode())
            assert (await client.response())[0] == 403
    assert remote.connections == 0


@pytest.mark.parametrize("literal", [PRIVATE, "[::1]", "127.0.0.9", "[::ffff:127.0.0.9]", "169.254.169.254"])
async def test_addresses_in_place_of_names_are_checked_too(open_door: OpenDoor, remote: Host, literal: str) -> None:
    async with open_door() as door:
        for target in (f"{literal}:{remote.tls_port}",):
            async with net.client(door.port) as client:
                assert await connect(client, target) == 403
        async with net.client(door.port) as client:
            at = f"{literal}:{remote.port}"
            await client.send(f"POST http://{at}/inbox HTTP/1.1\r\nHost: {at}\r\nContent-Length: 1\r\n\r\nx".encode())
            assert (await client.response())[0] == 403


async def test_a_permitted_address_in_place_of_a_name_is_served(open_door: OpenDoor) -> None:
    async with open_door() as door:
        assert (await door.get("/ordinary.png", name="127.0.0.1")).content == ORDINARY


@pytest.mark.parametrize("tunnel", [True, False])
async def test_a_name_that_changes_its_mind_leads_nowhere_else(open_door: OpenDoor, remote: Host, tunnel: bool) -> None:
    """Rebinding: the first answer is public, the next is not. What is connected to was checked for that connection."""
    names = Names(remote_example=[["127.0.0.1"], ["127.0.0.9"]])
    reached: list[int] = []

    async def private(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.append(1)
        writer.close()

    server = await asyncio.start_server(private, "127.0.0.9", remote.tls_port)
    tunnels = {"tunnels": {"hosts": ["remote.example"]}} if tunnel else {}
    target = f"remote.example:{remote.tls_port}"
    async with server, open_door(tunnels, names=names) as door:
        if tunnel:
            async with net.client(door.port) as client:
                assert await connect(client, target) == 200
                assert await client.closed() == b""
        else:
            async with inside(door, target, trust=door.authority.certificate, name="remote.example") as client:
                await client.send(f"GET /ordinary.png HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
                assert (await client.response())[0] == 403
        assert names.asked == ["remote.example"] * 2
    assert not reached
    assert remote.connections == 0


async def test_host_and_certificate_are_those_of_the_name(open_door: OpenDoor, remote: Host) -> None:
    async with open_door() as door:
        assert (await door.get("/ordinary.png")).status_code == 200
        assert remote.requests[0].header(b"host") == f"remote.example:{remote.tls_port}".encode()
        # The same address under a name that its certificate does not have.
        assert (await door.get("/ordinary.png", name="other.example")).status_code == 502
    assert len(remote.requests) == 1


async def test_only_open_ports(open_door: OpenDoor, remote: Host) -> None:
    async with open_door() as door:
        async with net.client(door.port) as client:
            assert await connect(client, f"remote.example:{remote.port}") == 403
        async with net.client(door.port) as client:
            at = f"remote.example:{remote.tls_port}"
            await client.send(f"POST http://{at}/ HTTP/1.1\r\nHost: {at}\r\nContent-Length: 1\r\n\r\nx".encode())
            assert (await client.response())[0] == 403
        assert await door.counts() == {"refused": 2}
    assert remote.connections == 0


async def test_no_door_of_our_own_is_asked(open_door: OpenDoor, remote: Host) -> None:
    async with open_door() as door:
        ports = frozenset({door.port, 8541, remote.port})
        door.fetch.destinations = Destinations(
            door.fetch.destinations.policy,
            Names(loop_example=["127.0.0.1"]),
            ports=ports,
            tunnel_ports=ports,
            own=frozenset({8541}),
        )
        for port in (door.port, 8541):
            async with net.client(door.port) as client:
                assert await connect(client, f"loop.example:{port}") == 403
            async with net.client(door.port) as client:
                await client.send(
                    f"GET http://loop.example:{port}/ HTTP/1.1\r\nHost: loop.example:{port}\r\n\r\n".encode()
                )
                assert (await client.response())[0] == 403


async def test_unknown_names_and_dead_hosts_are_502(open_door: OpenDoor, remote: Host) -> None:
    async with open_door() as door:
        async with net.client(door.port) as client:
            assert await connect(client, f"unknown.example:{remote.tls_port}") == 502
        assert (await door.get("/x", tls=False, name="unknown.example")).status_code == 502
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            dead = closed.getsockname()[1]
            door.fetch.destinations = Destinations(
                door.fetch.destinations.policy, door.fetch.destinations.resolver, ports=frozenset({dead})
            )
            async with door.client() as client_:
                assert (await client_.get(f"http://remote.example:{dead}/")).status_code == 502


async def test_a_dead_first_address_does_not_spoil_the_second(open_door: OpenDoor, remote: Host) -> None:
    names = Names(remote_example=["127.0.0.77", "127.0.0.1"])  # nobody listens on the first
    async with open_door(names=names, fetch={"allow": ["127.0.0.1/32", "127.0.0.77/32"]}) as door:
        assert (await door.get("/ordinary.png")).content == ORDINARY


async def test_a_host_that_is_silent_in_its_handshake_is_not_waited_for(open_door: OpenDoor, remote: Host) -> None:
    silent = asyncio.Event()

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await silent.wait()
        writer.close()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, open_door({"ports": [port]}, bounds={"deadline": 0.3}) as door, door.client() as client:
        assert (await client.get(f"https://remote.example:{port}/")).status_code in (502, 504)
        silent.set()


# -- what is said of it, read one way ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("GET / HTTP/1.1\r\nHost: remote.example", 400),
        ("GET https://remote.example/ HTTP/1.1\r\nHost: remote.example", 400),
        ("GET http://remote.example/ HTTP/1.1\r\nHost: other.example", 400),
        ("GET http://user@remote.example/ HTTP/1.1\r\nHost: remote.example", 400),
        ("GET http://0x7f.1/ HTTP/1.1\r\nHost: 0x7f.1", 400),
        ("GET http://remote.example/#x HTTP/1.1\r\nHost: remote.example", 400),
        ("GET http://remote.example/ HTTP/1.1\r\nHost: remote.example\r\nContent-Length: 3", 400),
        ("GET http://remote.example/ HTTP/1.1\r\nHost: remote.example\r\nTransfer-Encoding: chunked", 400),
        ("CONNECT remote.example HTTP/1.1\r\nHost: remote.example", 400),
        ("CONNECT https://remote.example:443 HTTP/1.1\r\nHost: remote.example", 400),
        ("CONNECT remote.example:0 HTTP/1.1\r\nHost: remote.example", 400),
    ],
)
async def test_odd_requests_are_refused(open_door: OpenDoor, head: str, status: int) -> None:
    async with open_door() as door, net.client(door.port) as client:
        await client.send(f"{head}\r\n\r\n".encode())
        assert (await client.response())[0] == status


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("GET /ordinary.png HTTP/1.1\r\nHost: other.example", 421),
        ("GET http://remote.example/ordinary.png HTTP/1.1\r\nHost: remote.example:{port}", 400),
        ("CONNECT remote.example:443 HTTP/1.1\r\nHost: remote.example:{port}", 400),
        ("GET /ordinary.png HTTP/1.1\r\nHost: REMOTE.example:{port}", 200),
    ],
)
async def test_inside_of_a_connect_only_its_own_host_is_asked(
    open_door: OpenDoor, remote: Host, head: str, status: int
) -> None:
    target = f"remote.example:{remote.tls_port}"
    async with open_door() as door:
        trust = door.authority.certificate
        async with inside(door, target, trust=trust, name="remote.example") as client:
            await client.send(head.format(port=remote.tls_port).encode() + b"\r\n\r\n")
            assert (await client.response())[0] == status
    assert len(remote.requests) == (status == 200)


async def test_what_is_said_to_the_proxy_stays_here(open_door: OpenDoor, remote: Host) -> None:
    async with open_door() as door:
        await door.get("/ordinary.png", tls=False, Proxy_Authorization="Basic x", Proxy_Connection="keep-alive")
    assert not [name for name, _ in remote.requests[0].headers if name.lower().startswith(b"proxy-")]
    assert remote.requests[0].line == b"GET /ordinary.png HTTP/1.1"


async def test_plain_http_inside_of_a_connect_is_judged_too(open_door: OpenDoor, remote: Host) -> None:
    async with open_door({"ports": [remote.port]}) as door, net.client(door.port) as client:
        assert await connect(client, f"remote.example:{remote.port}") == 200
        for path, passes in (("/forbidden.png", False), ("/ordinary.png", True)):
            await client.send(f"GET {path} HTTP/1.1\r\nHost: remote.example:{remote.port}\r\n\r\n".encode())
            status, _, body = await client.response()
            assert (status, body == (ORDINARY if passes else FORBIDDEN)) == (200, passes)


async def test_no_protocol_is_switched_to(open_door: OpenDoor, remote: Host) -> None:
    remote.put("/socket", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n")
    async with open_door() as door:
        answer = await door.get("/socket", Upgrade="websocket", Connection="upgrade", Sec_WebSocket_Key="x")
        assert answer.status_code == 502
    assert remote.requests[0].header(b"upgrade") is None
