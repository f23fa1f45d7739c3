"""The fetch door's certificate authority, which the server is told to trust, and TLS on both of the door's sides."""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import certifi
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from mitmproxy import ctx
from mitmproxy.certs import CertStore
from mitmproxy.net import tls as net_tls
from mitmproxy.tls import TlsData
from OpenSSL import SSL

from classifier import CannotStartError

NAME = "fediward"
KEY_FILE, CERTIFICATE_FILE = f"{NAME}-ca.pem", f"{NAME}-ca-cert.pem"
KEY_BITS = 2048
_HTTP1 = b"http/1.1"


class AuthorityError(CannotStartError):
    """The authority cannot be had; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Authority:
    """The authority in a folder: its key, and the certificate to be trusted."""

    folder: Path
    store: CertStore

    @classmethod
    def open(cls, folder: Path) -> "Authority":
        """The authority in ``folder``, made where there is none yet; another process may do the same at once.

        The key is readable by its owner alone. Blocks for some hundred milliseconds. Raises AuthorityError.
        """
        try:
            _make(folder)
            key = folder / KEY_FILE
            if os.stat(key).st_mode & 0o077:
                raise AuthorityError(f"{key} can be read by others, who could then pose as any host: chmod 600 {key}")
            store = CertStore.from_files(key, folder / f"{NAME}-dhparam.pem")
        except OSError as error:
            raise AuthorityError(
                f"the authority in {folder} cannot be had: {error.strerror}. See doors.fetch.ca"
            ) from error
        except ValueError as error:
            raise AuthorityError(f"{folder / KEY_FILE} is not what fediward made: put it back, or delete it") from error
        made = cls(folder, store)
        if made.until < datetime.now(UTC):
            raise AuthorityError(
                f"the authority in {folder} was valid until {made.until:%Y-%m-%d}: delete the folder, and have your "
                "server trust the new one (fediward ca)"
            )
        return made

    @property
    def certificate(self) -> Path:
        """Where the certificate is that the server has to trust, as PEM."""
        return self.folder / CERTIFICATE_FILE

    @property
    def pem(self) -> str:
        """That certificate."""
        return self.store.default_ca.to_pem().decode()

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of that certificate as tools write it."""
        return (
            hashlib.sha256(self.store.default_ca.to_cryptography().public_bytes(Encoding.DER)).digest().hex(":").upper()
        )

    @property
    def since(self) -> datetime:
        """From when it is valid."""
        return self.store.default_ca.to_cryptography().not_valid_before_utc

    @property
    def until(self) -> datetime:
        """Until when it is valid."""
        return self.store.default_ca.to_cryptography().not_valid_after_utc


def _make(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not (folder / KEY_FILE).exists():
        with tempfile.TemporaryDirectory(prefix=".making-", dir=folder) as name:
            made = Path(name)
            CertStore.create_store(made, NAME, KEY_BITS, organization=NAME, cn=NAME)
            # A link is made by one process only, and only when the whole file is there.
            with contextlib.suppress(FileExistsError):
                os.link(made / f"{NAME}-ca.pem", folder / KEY_FILE)
    certificate = folder / CERTIFICATE_FILE
    if not certificate.exists():
        pem = x509.load_pem_x509_certificates((folder / KEY_FILE).read_bytes())[0].public_bytes(Encoding.PEM)
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
            file.write(pem)
        os.replace(file.name, certificate)


class FetchTls:
    """mitmproxy addon: TLS towards the server with certificates of ours, and towards hosts with theirs checked.

    HTTP/1.1 is all that is spoken. Hosts are believed by the system's authorities (``SSL_CERT_FILE`` says others) and
    certifi's, and by those that mitmproxy's option ``ssl_verify_upstream_trusted_ca`` names.
    """

    def __init__(self, authority: Authority) -> None:
        self.authority = authority
        self._context: SSL.Context | None = None

    def tls_start_client(self, tls: TlsData) -> None:
        """The server's side: a certificate for the host of its CONNECT."""
        address = tls.context.server.address
        assert address is not None
        host = address[0]
        entry = self.authority.store.get_cert(host if len(host) < 64 else None, [_general_name(host)], NAME)
        context = net_tls.create_client_proxy_context(
            method=net_tls.Method.TLS_SERVER_METHOD,
            min_version=net_tls.Version.TLS1_2,
            max_version=net_tls.Version.UNBOUNDED,
            cipher_list=None,
            ecdh_curve=None,
            chain_file=entry.chain_file,
            request_client_cert=False,
            alpn_select_callback=_choose,
            extra_chain_certs=(),
            dhparams=self.authority.store.dhparams,
        )
        tls.ssl_conn = SSL.Connection(context)
        tls.ssl_conn.use_certificate(entry.cert.to_cryptography())
        tls.ssl_conn.use_privatekey(entry.privatekey)
        tls.ssl_conn.set_accept_state()

    def tls_start_server(self, tls: TlsData) -> None:
        """The host's side: its certificate has to be valid for the name that was asked for."""
        name = tls.conn.sni
        assert name
        self._context = self._context or _trusting(ctx.options.ssl_verify_upstream_trusted_ca)
        tls.conn.alpn_offers = [_HTTP1]
        connection = tls.ssl_conn = SSL.Connection(self._context)
        # pyOpenSSL has no names of its own for these (mitmproxy:mitmproxy/addons/tlsconfig.py does the same).
        lib: Any = getattr(SSL, "_lib")  # noqa: B009 (mypy refuses the plain attribute)
        param = lib.SSL_get0_param(connection._ssl)
        lib.X509_VERIFY_PARAM_set_hostflags(
            param, lib.X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | lib.X509_CHECK_FLAG_NEVER_CHECK_SUBJECT
        )
        try:
            packed = ip_address(name).packed
        except ValueError:
            encoded = name.encode("ascii")
            connection.set_tlsext_host_name(encoded)
            set_name = lib.X509_VERIFY_PARAM_set1_host(param, encoded, len(encoded))
        else:
            set_name = lib.X509_VERIFY_PARAM_set1_ip(param, packed, len(packed))
        if set_name != 1:
            raise AuthorityError(f"no certificate can be checked for {name}")
        connection.set_alpn_protos([_HTTP1])
        connection.set_connect_state()


def _trusting(more: str | None) -> SSL.Context:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(SSL.OP_NO_COMPRESSION)
    context.set_default_verify_paths()
    context.load_verify_locations(certifi.where())
    if more:
        context.load_verify_locations(more)
    context.set_verify(SSL.VERIFY_PEER)
    return context


def _choose(connection: SSL.Connection, offered: Sequence[bytes]) -> Any:
    return _HTTP1 if _HTTP1 in offered else SSL.NO_OVERLAPPING_PROTOCOLS


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)
