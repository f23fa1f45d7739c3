import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from addons.doors.authority import Authority
from addons.policy.config import Config
from classifier import media_type_of
from classifier.engine import Engine
from classifier.settings import ClassifierSettings, DecodeSettings, HashListSettings
from tests.addons.doors.fetched import Host, Opened, host, opened, said
from tests.addons.doors.opened import configured, write_list
from tests.addons.fetching import servers
from tests.drawing import encode, textured

# One engine for all: starting its processes takes longer than any test here.
pytestmark = pytest.mark.asyncio(loop_scope="module")

FORBIDDEN = encode(textured(1))
ORDINARY = encode(textured(2))

type Open = Callable[..., contextlib.AbstractAsyncContextManager[Opened]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fetch")


@pytest.fixture(scope="module")
def hashes(folder: Path) -> Path:
    return write_list(folder / "hashes.csv", FORBIDDEN)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def engine(hashes: Path) -> AsyncIterator[Engine]:
    lists = (HashListSettings(name="ours", file=hashes),)
    decode = DecodeSettings(processes=1)
    started = Engine.start(ClassifierSettings(clip=None, nudity=None, hashes=lists, decode=decode), {})
    yield started
    await started.close()


@pytest.fixture(scope="module")
def trusted() -> servers.Authority:
    return servers.authority()


@pytest.fixture(scope="module")
def ours(folder: Path) -> Authority:
    return Authority.open(folder / "ca")


@pytest.fixture(scope="module")
def context(trusted: servers.Authority, folder: Path) -> ssl.SSLContext:
    made = trusted.server(folder, "remote.example", "127.0.0.1")
    made.set_alpn_protocols(["h2", "http/1.1"])
    return made


@pytest_asyncio.fixture(loop_scope="module")
async def remote(context: ssl.SSLContext) -> AsyncIterator[Host]:
    async with host(context) as served:
        served.put("/forbidden.png", said(FORBIDDEN))
        served.put("/ordinary.png", said(ORDINARY, "image/png", 'ETag: "one"', "X-Kept:  as it is"))
        yield served


@pytest.fixture
def open_door(
    tmp_path: Path, hashes: Path, engine: Engine, remote: Host, ours: Authority, trusted: servers.Authority
) -> Open:
    def opening(
        door: dict[str, Any] | None = None, names: Any = None, bounds: dict[str, Any] | None = None, **settings: Any
    ) -> Any:
        listen = {"listen": "127.0.0.1:8541", "ports": [remote.tls_port], "deadline": "60s"}
        whole = {"doors": {"fetch": listen | (door or {})}, "fetch": {"allow": ["127.0.0.1/32"]}} | settings
        config: Config = configured(tmp_path, hashes, remote.port, whole)
        return opened(config, engine, remote, ours, trusted, tmp_path, names=names, **(bounds or {}))

    return opening


# -- the table of outcomes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tls", [True, False])
async def test_a_permitted_image_arrives_byte_for_byte(open_door: Open, remote: Host, tls: bool) -> None:
    async with open_door() as door:
        answer = await door.get("/ordinary.png", tls=tls)
        assert (answer.status_code, answer.content) == (200, ORDINARY)
        assert answer.headers["etag"] == '"one"'
        [entry] = await door.entries(1)
        assert (entry.door, entry.action, entry.media[0].url) == ("fetch", "pass", door.url("/ordinary.png", tls=tls))
    assert remote.alpn == (["http/1.1"] if tls else [])


@pytest.mark.parametrize("tls", [True, False])
async def test_a_forbidden_image_is_replaced_by_a_placeholder_of_its_kind(open_door: Open, tls: bool) -> None:
    async with open_door() as door:
        answer = await door.get("/forbidden.png", tls=tls)
        assert answer.status_code == 200
        assert FORBIDDEN[:1000] not in answer.content
        assert media_type_of(answer.content) == answer.headers["content-type"] == "image/png"
        assert answer.headers["cache-control"] == "no-store"
