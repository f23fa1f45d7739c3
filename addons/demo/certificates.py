"""The certificate of the demo's remote host, which nobody but the demo's fediward believes."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

ADDRESS = IPv4Address("127.0.0.1")
BELIEVED = "SSL_CERT_FILE"
"""Names the file of the authorities that are believed, to OpenSSL and so to the fetch door and the look-ahead."""
VALID = timedelta(days=1000)


@dataclass(frozen=True, slots=True)
class Certificate:
    """Two files in PEM: a certificate for this machine's own address, signed by itself, and its key."""

    file: Path
    key: Path

    @classmethod
    def make(cls, folder: Path) -> Self:
        """Write both to ``folder``."""
        made, key = cls(folder / "remote.pem", folder / "remote-key.pem"), ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fediward demo: the remote host")])
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + VALID)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ADDRESS)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        made.file.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
        made.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return made

    @contextlib.contextmanager
    def believed(self) -> Iterator[None]:
        """Have whatever this process opens in the meantime believe it, and no authority of the system's."""
        before = os.environ.get(BELIEVED)
        os.environ[BELIEVED] = str(self.file)
        try:
            yield
        finally:
            if before is None:
                del os.environ[BELIEVED]
            else:
                os.environ[BELIEVED] = before
