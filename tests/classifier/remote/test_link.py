import asyncio
import base64
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import nkeys
import pytest
from nats.aio.client import Client

from classifier.remote.link import Link, LostError
from classifier.remote.messages import LEAST_PAYLOAD
from classifier.settings import TlsSettings, WorkersSettings
from classifier.types import CannotStartError
from tests import nats_server, net
from tests.nats_server import Authority, Broker, broker
from tests.processes import free_port


async def joined(client: Client) -> None:
    await client.flush()


def link(url: str, **settings: Any) -> Link:
    return Link(WorkersSettings(nats=(url,), **settings), "test", joined, lambda: None)


async def connects(url: str, **settings: Any) -> None:
    made = link(url, **settings)
    made.start()
    try:
        await net.until(lambda: made.up)
        await made.publish("a", b"b")
        await made.flush()
    finally:
        await made.close()
    assert not made.up


async def why_not(url: str, **settings: Any) -> str:
    """Why it does not connect, after a second attempt too."""
    made = link(url, **settings)
    made.start()
    try:
        await net.until(lambda: made.why != "not connected yet", timeout=20)
        await asyncio.sleep(0.3)
        assert not made.up
        with pytest.raises(LostError):
            await made.publish("a", b"b")
        with pytest.raises(LostError):
            await made.flush()
        return made.why
    finally:
        await made.close()


@pytest.mark.parametrize("url", ["nats://judge:p%40ss@127.0.0.1:{}", "nats://127.0.0.1:{}"])
async def test_user_and_password(tmp_path: Path, url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with broker(tmp_path, authorization={"user": "judge", "password": "p@ss"}) as server:
        if "judge" in url:
            await connects(url.format(server.port))
        else:
            assert "Authorization Violation" in await why_not(url.format(server.port))
        assert "Authorization Violation" in await why_not(f"nats://judge:hunter2@127.0.0.1:{server.port}")
    assert "cannot connect to nats://127.0.0.1:" in caplog.text
    assert "hunter2" not in caplog.text
    assert "p@ss" not in caplog.text


async def test_a_token(tmp_path: Path) -> None:
    async with broker(tmp_path, authorization={"token": "hunter2"}) as server:
        await connects(f"nats://hunter2@127.0.0.1:{server.port}")
        assert "Authorization Violation" in await why_not(f"nats://hunter3@127.0.0.1:{server.port}")


def seed(first: bytes) -> bytes:
    return bytes(nkeys.encode_seed(first * 32, nkeys.PREFIX_BYTE_USER))


async def test_an_nkey(tmp_path: Path) -> None:
    ours, other = tmp_path / "ours.nk", tmp_path / "other.nk"
    ours.write_bytes(seed(b"a") + b"\n")
    other.write_bytes(seed(b"b"))
    public = nkeys.from_seed(bytearray(seed(b"a"))).public_key.decode()
    async with broker(tmp_path, authorization={"users": [{"nkey": public}]}) as server:
        await connects(server.url, nkey=ours)
        assert "Authorization Violation" in await why_not(server.url, nkey=other)


def claim(signer: nkeys.KeyPair, subject: str, nats: dict[str, Any]) -> str:
    """A JWT as nsc makes them (github.com/nats-io/jwt)."""

    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    body = {"jti": subject, "iat": 1, "iss": signer.public_key.decode(), "sub": subject, "nats": {"version": 2, **nats}}
    signed = f"{part({'typ': 'JWT', 'alg': 'ed25519-nkey'})}.{part(body)}"
    return f"{signed}.{base64.urlsafe_b64encode(signer.sign(signed.encode())).rstrip(b'=').decode()}"


async def test_a_creds_file(tmp_path: Path) -> None:
    operator, account = (
        nkeys.from_seed(bytearray(nkeys.encode_seed(first * 32, prefix)))
        for first, prefix in ((b"o", nkeys.PREFIX_BYTE_OPERATOR), (b"c", nkeys.PREFIX_BYTE_ACCOUNT))
    )
    user = nkeys.from_seed(bytearray(seed(b"u")))
    limits = {"subs": -1, "data": -1, "payload": -1}
    own = account.public_key.decode()
    accounts = {"type": "account", "limits": {**limits, "conn": -1, "leaf": -1, "imports": -1, "exports": -1}}
    proof = claim(account, user.public_key.decode(), {"type": "user", **limits})
    file = tmp_path / "worker.creds"
    file.write_text(
        f"-----BEGIN NATS USER JWT-----\n{proof}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed(b'u').decode()}\n------END USER NKEY SEED------\n"
    )
    options = {
        "operator": claim(operator, operator.public_key.decode(), {"type": "operator"}),
        "resolver": "MEMORY",
        "resolver_preload": {own: claim(operator, own, accounts)},
    }
    async with broker(tmp_path, **options) as server:
        await connects(server.url, creds=file)
        assert "Authorization Violation" in await why_not(server.url)


@pytest.mark.parametrize(
    ("key", "text", "words"),
    [
        ("nkey", "", "holds no seed of an NKey"),
        ("nkey", "SUAAAA", "holds no seed of an NKey"),
        ("nkey", "\u00fc", "holds no seed of an NKey"),
        ("creds", "", "is no NATS credentials file"),
        ("creds", "-----BEGIN NATS USER JWT-----\nx\n", "is no NATS credentials file"),
        ("nkey", None, "cannot be read"),
        ("creds", None, "cannot be read"),
    ],
)
def test_proofs_that_are_none(tmp_path: Path, key: str, text: str | None, words: str) -> None:
    file = tmp_path / "proof"
    if text is not None:
        file.write_text(text)
    with pytest.raises(CannotStartError, match=words) as caught:
        link("nats://a", **{key: file})
    assert str(file) in str(caught.value)


@pytest.fixture
async def encrypted(tmp_path: Path) -> AsyncIterator[tuple[Broker, Authority]]:
    """A server with TLS, and the authority that has signed its certificate."""
    authority = Authority.make(tmp_path, "ca")
    cert, key = authority.sign("server")
    async with broker(tmp_path, tls={"cert_file": str(cert), "key_file": str(key)}) as server:
        yield server, authority


@pytest.mark.parametrize("scheme", ["nats", "tls"])
async def test_tls(encrypted: tuple[Broker, Authority], scheme: str) -> None:
    server, authority = encrypted
    await connects(f"{scheme}://127.0.0.1:{server.port}", tls=TlsSettings(ca=authority.file))


@pytest.mark.parametrize("scheme", ["nats", "tls"])
async def test_an_authority_that_is_not_ours(encrypted: tuple[Broker, Authority], tmp_path: Path, scheme: str) -> None:
    server, _ = encrypted
    url = f"{scheme}://127.0.0.1:{server.port}"
    other = Authority.make(tmp_path, "other")
    assert "CERTIFICATE_VERIFY_FAILED" in await why_not(url, tls=TlsSettings(ca=other.file))
    assert "CERTIFICATE_VERIFY_FAILED" in await why_not(url)


async def test_a_host_that_the_certificate_does_not_name(tmp_path: Path) -> None:
    authority = Authority.make(tmp_path, "ca")
    cert, key = authority.sign("server", "127.0.0.9")
    async with broker(tmp_path, tls={"cert_file": str(cert), "key_file": str(key)}) as server:
        assert "IP address mismatch" in await why_not(server.url, tls=TlsSettings(ca=authority.file))


async def test_a_certificate_of_ours(tmp_path: Path) -> None:
    authority = Authority.make(tmp_path, "ca")
    (cert, key), (own, own_key) = authority.sign("server"), authority.sign("client")
    options = {"cert_file": str(cert), "key_file": str(key), "ca_file": str(authority.file), "verify": True}
    async with broker(tmp_path, tls=options) as server:
        await connects(server.url, tls=TlsSettings(ca=authority.file, cert=own, key=own_key))
        assert await why_not(server.url, tls=TlsSettings(ca=authority.file))


@pytest.mark.parametrize("tls", [None, TlsSettings()])
async def test_a_server_that_does_not_encrypt_is_told_no_password(tmp_path: Path, tls: TlsSettings | None) -> None:
    """Who sits between can take TLS out of the server's greeting: nats-py would go on in the clear."""
    heard = b""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal heard
        writer.write(b'INFO {"server_id":"a","version":"2.11.0","max_payload":1048576,"auth_required":true}\r\n')
        heard += await reader.read(1000)
        writer.close()

    port = free_port()
    async with await asyncio.start_server(greet, "127.0.0.1", port):
        url = f"{'nats' if tls else 'tls'}://judge:hunter2@127.0.0.1:{port}"
        assert "it does not speak TLS, and it should" in await why_not(url, tls=tls)
    assert heard == b""


@pytest.mark.parametrize("key", ["ca", "cert"])
def test_files_that_are_no_pem(tmp_path: Path, key: str) -> None:
    (tmp_path / "a.pem").write_text("x")
    for file in (tmp_path / "a.pem", tmp_path / "nowhere.pem"):
        with pytest.raises(CannotStartError, match="are not the PEM files they should be") as caught:
            link("nats://a", tls=TlsSettings.model_validate({key: file}))
        assert str(file) in str(caught.value)


@pytest.mark.parametrize(
    ("greeting", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "expecting INFO"),
        (b"INFO {\r\n", "json parse error"),
        (b"INFO " + b"x" * 200_000 + b"\r\n", ""),
        (b"", ""),
    ],
)
async def test_what_is_no_nats_server(greeting: bytes, words: str) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        writer.close()

    port = free_port()
    async with await asyncio.start_server(greet, "127.0.0.1", port):
        assert words in await why_not(f"nats://127.0.0.1:{port}")


@pytest.mark.parametrize(("payload", "enough"), [(LEAST_PAYLOAD, True), (LEAST_PAYLOAD - 1, False)])
async def test_the_servers_largest_message(tmp_path: Path, payload: int, enough: bool) -> None:
    async with broker(tmp_path, max_payload=payload) as server:
        if enough:
            await connects(server.url)
        else:
            assert f"its max_payload is {payload}; at least {LEAST_PAYLOAD}" in await why_not(server.url)


async def test_what_the_server_does_not_allow_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    user = {"user": "u", "password": "p", "permissions": {"publish": "b"}}
    async with broker(tmp_path, authorization={"users": [user]}) as server:
        await connects(f"nats://u:p@127.0.0.1:{server.port}")
        await net.until(lambda: "the NATS server does not allow it" in caplog.text)


async def test_lost_and_found(tmp_path: Path) -> None:
    told: list[str] = []

    async def here(client: Client) -> None:
        told.append("joined")

    async with nats_server.broker(tmp_path) as server:
        made = Link(WorkersSettings(nats=(server.url,)), "test", here, lambda: told.append("lost"))
        assert made.servers == server.url
        made.start()
        made.start()
        await net.until(lambda: made.up)
        await server.stop()
        await net.until(lambda: not made.up)
        await server.start()
        await net.until(lambda: made.up, timeout=10)
        await made.close()
    assert told == ["joined", "lost", "joined", "lost"]


async def test_many_losses_are_not_chased(tmp_path: Path) -> None:
    """A server that ends each connection at once is asked ever more seldom."""
    count = 0

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        writer.write(b'INFO {"server_id":"a","version":"2.11.0","max_payload":1048576}\r\n')
        await reader.readuntil(b"PING\r\n")
        writer.write(b"PONG\r\n")
        await reader.readuntil(b"PING\r\n")
        writer.write(b"PONG\r\n")
        await writer.drain()
        writer.close()

    port = free_port()
    async with await asyncio.start_server(greet, "127.0.0.1", port):
        made = link(f"nats://127.0.0.1:{port}")
        made.start()
        await asyncio.sleep(3)
        await made.close()
    assert 2 <= count <= 8


async def test_who_goes_away_while_it_waits_for_the_server_does_not_end_the_connection(tmp_path: Path) -> None:
    """nats-py stops reading for good where a flush was cancelled."""
    heard = asyncio.Event()

    async def note(message: object) -> None:
        heard.set()

    async def listens(client: Client) -> None:
        await client.subscribe("a", cb=note)
        await client.flush()

    async with broker(tmp_path) as server:
        made = Link(WorkersSettings(nats=(server.url,)), "test", listens, lambda: None)
        made.start()
        await net.until(lambda: made.up)
        for steps in range(6):
            flushing = asyncio.ensure_future(made.flush())
            for _ in range(steps):
                await asyncio.sleep(0)
            flushing.cancel()
            assert await asyncio.gather(flushing, return_exceptions=True)
        await net.until(lambda: not made._flushing)
        await made.publish("a", b"b")
        await made.flush()
        await asyncio.wait_for(heard.wait(), 20)
        await made.close()
