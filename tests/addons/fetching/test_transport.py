import ssl
from contextlib import aclosing
from ipaddress import ip_address
from pathlib import Path

import httpcore
import httpx
import pytest

from addons.fetching.addresses import AddressPolicy
from addons.fetching.dialling import Dialler
from addons.fetching.transport import OneConnection, body_of
from tests.addons.fetching.servers import LOOPBACK, Names, answer, authority, says, serve

LOCAL = AddressPolicy([LOOPBACK])
NAMES = Names(a_example=["127.0.0.2"])


async def test_one_request_as_written_and_no_other_header() -> None:
    async with serve(says(answer(b"hello")), host="127.0.0.2") as server:
        connection = OneConnection(Dialler(NAMES, LOCAL, None), ssl.create_default_context())
        request = httpx.Request(
            "GET", f"http://a.example:{server.port}/x%2f?y=%zz", headers={"Host": "b.example", "Accept": "*/*"}
        )
        async with connection:
            response = await connection.handle_async_request(request)
            async with aclosing(body_of(response)) as chunks:
                assert b"".join([chunk async for chunk in chunks]) == b"hello"
        assert response.status_code == 200
        assert server.heads == [b"GET /x%2f?y=%zz HTTP/1.1\r\nHost: b.example\r\nAccept: */*\r\n\r\n"]


async def test_nothing_is_kept_alive() -> None:
    async with serve(says(answer(b"hello")), host="127.0.0.2") as server:
        for _ in range(2):
            async with OneConnection(Dialler(NAMES, LOCAL, None), ssl.create_default_context()) as connection:
                await connection.handle_async_request(httpx.Request("GET", f"http://a.example:{server.port}/"))
        assert server.connections == 2


@pytest.mark.parametrize(
    ("certified", "trusted", "works"),
    [
        ("a.example", True, True),
        ("b.example", True, False),
        ("127.0.0.2", True, False),
        ("a.example", False, False),
    ],
)
async def test_the_certificate_is_checked_for_the_name(
    tmp_path: Path, certified: str, trusted: bool, works: bool
) -> None:
    ours = authority()
    context = ours.server(tmp_path, certified)
    asked: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    tls = ours.trusted() if trusted else ssl.create_default_context()
    async with serve(says(answer(b"hello")), host="127.0.0.2", tls=context) as server:
        connection = OneConnection(Dialler(NAMES, LOCAL, None), tls)
        request = httpx.Request("GET", f"https://a.example:{server.port}/")
        async with connection:
            if works:
                assert (await connection.handle_async_request(request)).status_code == 200
            else:
                with pytest.raises(httpcore.ConnectError, match="certificate verify failed"):
                    await connection.handle_async_request(request)
        assert len(server.heads) == works
    assert asked == ["a.example"]


@pytest.mark.parametrize(("certified", "works"), [("127.0.0.2", True), ("127.0.0.3", False)])
async def test_the_certificate_is_checked_for_an_address(tmp_path: Path, certified: str, works: bool) -> None:
    ours = authority()
    async with serve(says(answer(b"x")), host="127.0.0.2", tls=ours.server(tmp_path, certified)) as server:
        connection = OneConnection(Dialler(NAMES, LOCAL, ip_address("127.0.0.2")), ours.trusted())
        async with connection:
            request = httpx.Request("GET", f"https://127.0.0.2:{server.port}/")
            if works:
                assert (await connection.handle_async_request(request)).status_code == 200
            else:
                with pytest.raises(httpcore.ConnectError, match="certificate verify failed"):
                    await connection.handle_async_request(request)
