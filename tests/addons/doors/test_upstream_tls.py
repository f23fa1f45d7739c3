"""The door in front of a server that speaks TLS itself."""

import asyncio
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from tests import net
from tests.addons.doors.gate import Gate
from tests.addons.fetching.servers import authority


@pytest.mark.parametrize(("trusted", "status"), [(True, 200), (False, 502)])
async def test_an_https_upstream_is_believed_only_with_a_certificate_that_holds(
    tmp_path: Path, trusted: bool, status: int
) -> None:
    signs, received = authority(), list[bytes]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (request := await net.read_request(reader)) is not None:
            received.append(request.body)
            writer.write(net.OK)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=signs.server(tmp_path, "127.0.0.1"))
    port = server.sockets[0].getsockname()[1]
    trust = tmp_path / "ca.pem"
    trust.write_bytes(signs.certificate.public_bytes(serialization.Encoding.PEM))
    options = {"ssl_verify_upstream_trusted_ca": str(trust)} if trusted else {}
    async with (
        server,
        net.running(port, [Gate()], scheme="https", options=options) as door,
        net.client(door) as client,
    ):
        for _ in range(2 if trusted else 1):
            await client.send(net.post("/inbox", b"{}"))
            assert (await client.response())[0] == status
    assert received == ([b"{}"] * 2 if trusted else [])
