"""The fetch door's world: hosts to fetch from, an authority of ours, and a door between them and the server."""

import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.serialization import Encoding

from addons.doors.authority import Authority, FetchTls
from addons.fetching.resolving import Resolver
from classifier.engine import Engine
from classifier.settings import ClassifierSettings, DecodeSettings, HashListSettings
from tests.addons.doors.fetched import FORBIDDEN, ORDINARY, Host, Opened, host, opened, said
from tests.addons.doors.opened import configured, write_list
from tests.addons.fetching import servers

type OpenDoor = Callable[..., contextlib.AbstractAsyncContextManager[Opened]]


@pytest.fixture(scope="session")
def fetch_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fetch")


@pytest.fixture(scope="session")
def fetch_hashes(fetch_folder: Path) -> Path:
    return write_list(fetch_folder / "hashes.csv", FORBIDDEN)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def fetch_engine(fetch_hashes: Path) -> AsyncIterator[Engine]:
    lists = (HashListSettings(name="ours", file=fetch_hashes),)
    decode = DecodeSettings(processes=1)
    started = Engine.start(ClassifierSettings(clip=None, nudity=None, hashes=lists, decode=decode), {})
    yield started
    await started.close()


@pytest.fixture(scope="session")
def trusted() -> servers.Authority:
    """Who signs the certificates of hosts."""
    return servers.authority()


@pytest.fixture(scope="session")
def trusted_file(trusted: servers.Authority, fetch_folder: Path) -> Path:
    path = fetch_folder / "trusted.pem"
    path.write_bytes(trusted.certificate.public_bytes(Encoding.PEM))
    return path


@pytest.fixture(scope="session")
def our_tls(fetch_folder: Path) -> FetchTls:
    """One for all: reading the authorities of the world takes a fifth of a second."""
    return FetchTls(Authority.open(fetch_folder / "ca"))


@pytest.fixture(scope="session")
def host_tls(trusted: servers.Authority, fetch_folder: Path) -> ssl.SSLContext:
    made = trusted.server(fetch_folder, "remote.example", "127.0.0.1")
    made.set_alpn_protocols(["h2", "http/1.1"])
    return made


@pytest_asyncio.fixture(loop_scope="module")
async def remote(host_tls: ssl.SSLContext) -> AsyncIterator[Host]:
    async with host(host_tls) as served:
        served.put("/forbidden.png", said(FORBIDDEN))
        served.put("/ordinary.png", said(ORDINARY, "image/png", 'ETag: "one"', "X-Kept:  as it is"))
        yield served


@pytest.fixture
def open_door(
    tmp_path: Path,
    fetch_hashes: Path,
    fetch_engine: Engine,
    remote: Host,
    our_tls: FetchTls,
    trusted_file: Path,
) -> OpenDoor:
    """Open a door: ``door`` is its section, ``names`` its resolver, ``bounds`` its settings, ``tls`` its own."""

    def opening(
        door: dict[str, Any] | None = None,
        names: Resolver | None = None,
        bounds: dict[str, Any] | None = None,
        *,
        tls: FetchTls = our_tls,
        **settings: Any,
    ) -> contextlib.AbstractAsyncContextManager[Opened]:
        section = {"listen": "127.0.0.1:8541", "ports": [remote.tls_port], "deadline": "60s"} | (door or {})
        settings["fetch"] = {"allow": ["127.0.0.1/32"]} | settings.get("fetch", {})
        config = configured(tmp_path, fetch_hashes, remote.port, {"doors": {"fetch": section}} | settings)
        return opened(config, fetch_engine, remote, tls, trusted_file, names=names, **(bounds or {}))

    return opening
