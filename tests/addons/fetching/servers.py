"""Real little servers on loopback, a resolver that says what it is told, and a throwaway authority for TLS."""

import asyncio
import asyncio.selector_events
import datetime
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from addons.fetching.addresses import Address
from addons.fetching.budget import MemoryBudget
from addons.fetching.client import Fetcher, default_tls
from addons.fetching.resolving import ResolveError
from addons.fetching.settings import FetchSettings

type Handler = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]

LOOPBACK = ipaddress.ip_network("127.0.0.0/8")


@pytest.fixture(autouse=True)
def nothing_leaves_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Should a check ever be lost, the test fails here instead of knocking at somebody's door."""
    connect = asyncio.selector_events.BaseSelectorEventLoop.sock_connect

    async def guarded(loop: Any, sock: socket.socket, address: Any) -> None:
        assert str(address[0]).startswith(("127.", "::ffff:127.")), f"a test tried to connect to {address}"
        await connect(loop, sock, address)

    monkeypatch.setattr(asyncio.selector_events.BaseSelectorEventLoop, "sock_connect", guarded)


def answer(body: bytes = b"", status: str = "200 OK", headers: Mapping[str, str] | None = None) -> bytes:
    """A whole HTTP/1.1 response, with a Content-Length unless ``headers`` says how the body ends."""
    lines = {"Content-Type": "image/png"} | dict(headers or {})
    if not {"Content-Length", "Transfer-Encoding", "Connection"} & lines.keys():
        lines["Content-Length"] = str(len(body))
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body


def says(response: bytes) -> Handler:
    """A handler that answers everything with these bytes."""

    async def handle(_head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(response)
        await writer.drain()

    return handle


@dataclass
class Served:
    """A running server: its port, and the head of every request that came."""

    port: int
    heads: list[bytes] = field(default_factory=list)
    connections: int = 0
    open: int = 0


@asynccontextmanager
async def serve(
    handler: Handler, *, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Served]:
    """Serve until the block ends; the connection is closed when the handler returns."""
    served = Served(0)
    tasks: set[asyncio.Task[Any]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        served.connections += 1
        served.open += 1
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            served.heads.append(head)
            await handler(head, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client hung up, or the test is over
        finally:
            served.open -= 1
            tasks.discard(task)
            writer.transport.abort() if task.cancelling() else writer.close()

    server = await asyncio.start_server(connected, host, port, ssl=tls)
    served.port = server.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)


class Names:
    """A resolver with a fixed answer for each name; a name with several answers gives them one call after the other."""

    def __init__(self, **names: Sequence[str] | Sequence[Sequence[str]]) -> None:
        self._names = {name.replace("_", "."): answers for name, answers in names.items()}
        self.asked: list[str] = []

    async def resolve(self, host: str) -> Sequence[Address]:
        self.asked.append(host)
        answers = self._names.get(host)
        if not answers:
            raise ResolveError("the name does not resolve")
        if not isinstance(answers[0], str):
            answers = answers[min(self.asked.count(host), len(answers)) - 1]
        return [ipaddress.ip_address(str(text)) for text in answers]


def fetcher(
    *ports: int,
    names: Names | None = None,
    budget: MemoryBudget | None = None,
    tls: ssl.SSLContext | None = None,
    **settings: Any,
) -> Fetcher:
    """A Fetcher that takes 127.0.0.0/8 for the public internet, unless told otherwise."""
    known: dict[str, Any] = {"user_agent": "Lemmy/0.19.13", "allow": (LOOPBACK,), "ports": frozenset(ports or {80})}
    return Fetcher(
        FetchSettings(**(known | settings)),
        budget or MemoryBudget(64 << 20),
        resolver=names or Names(),
        tls=tls or _tls(),
    )


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    """The default one: reading all authorities takes a fifth of a second."""
    return default_tls()


@dataclass(frozen=True)
class Authority:
    """A certificate authority that lives as long as one test."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    def trusted(self) -> ssl.SSLContext:
        """A client's context that trusts this authority alone."""
        context = ssl.create_default_context()
        context.load_verify_locations(cadata=self.certificate.public_bytes(serialization.Encoding.PEM).decode())
        return context

    def server(self, folder: Path, *names: str) -> ssl.SSLContext:
        """A server's context with a certificate for ``names`` (host names or addresses)."""
        key = ec.generate_private_key(ec.SECP256R1())
        signed = _certificate(names, key.public_key(), self.certificate.subject, self.key, ca=False)
        pem = folder / "server.pem"
        pem.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + signed.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        return context


def authority() -> Authority:
    """A new one."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "throwaway authority")])
    return Authority(key, _certificate((), key.public_key(), name, key, ca=True))


def _certificate(
    names: Sequence[str],
    key: ec.EllipticCurvePublicKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    *,
    ca: bool,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    subject = issuer if ca else x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "throwaway")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .add_extension(
            x509.KeyUsage(
                digital_signature=not ca,
                key_cert_sign=ca,
                crl_sign=ca,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
