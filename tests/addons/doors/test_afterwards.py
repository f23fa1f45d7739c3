import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from addons.policy.config import Config
from classifier.engine import Engine
from classifier.settings import ClassifierSettings, DecodeSettings, HashListSettings
from tests import net, pictures
from tests.addons.doors.opened import configured, create, opened, write_list
from tests.drawing import encode, textured

pytestmark = pytest.mark.asyncio(loop_scope="module")

FORBIDDEN, ORDINARY = encode(textured(1)), encode(textured(2))
WAIT = 60.0

type Configure = Callable[..., Config]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Engine]:
    listed = write_list(tmp_path_factory.mktemp("lists") / "hashes.csv", FORBIDDEN)
    lists = (HashListSettings(name="ours", file=listed),)
    settings = ClassifierSettings(clip=None, nudity=None, hashes=lists, decode=DecodeSettings(processes=1))
    started = Engine.start(settings, {})
    yield started
    await started.close()


@pytest_asyncio.fixture(loop_scope="module")
async def host() -> AsyncIterator[pictures.Host]:
    async with pictures.host() as served:
        served.put("/forbidden.png", FORBIDDEN)
        yield served


@pytest.fixture
def config(tmp_path: Path, host: pictures.Host) -> Configure:
    hashes = write_list(tmp_path / "hashes.csv", FORBIDDEN)
    return lambda **settings: configured(tmp_path, hashes, host.port, {"mode": "observe"} | settings)


@pytest.mark.parametrize("path", ["/forbidden.png", None])
async def test_what_would_be_done_is_told_and_not_done(
    config: Configure, engine: Engine, host: pictures.Host, path: str | None
) -> None:
    async with opened(config(), engine) as door:
        assert await door.deliver(create(*([host.url(path)] if path else []))) == 200
        assert await door.inbox.drained(WAIT)
        told = [(entry.action, entry.rule, entry.mode) for entry in await door.entries(1 if path else 0)]
    assert told == ([("drop", "known", "observe")] if path else [])


async def test_who_is_denied_is_let_by_and_not_looked_at(
    config: Configure, engine: Engine, host: pictures.Host, tmp_path: Path
) -> None:
    (tmp_path / "deny.txt").write_text("remote.example\n")
    async with opened(config(senders={"deny": [str(tmp_path / "deny.txt")]}), engine) as door:
        assert await door.deliver(create(host.url("/forbidden.png"))) == 200
        assert await door.inbox.drained(WAIT)
        (entry,) = await door.entries(1)
    assert (entry.action, entry.mode, entry.rule) == ("reject", "observe", "senders.deny, deny.txt:1")
    assert not host.hits


async def test_no_more_at_a_time_than_the_bound(config: Configure, engine: Engine, host: pictures.Host) -> None:
    gate = asyncio.Event()
    url = host.put("/slow.png", ORDINARY, gate=gate)
    async with opened(config(limits={"deliveries": 1}, budget="60s"), engine) as door:
        assert await door.deliver(create(url)) == 200
        await net.until(lambda: host.hits["/slow.png"] == 1, WAIT)
        assert await door.deliver(create(url)) == 200
        gate.set()
        assert await door.inbox.drained(WAIT)
        await door.entries(1)
        assert await door.counts() == {"unobserved": 1}


@pytest.mark.parametrize(("body", "counted"), [(b"no JSON", "malformed"), (b" " * 20_000 + b"{}", "too_large")])
async def test_what_cannot_be_read_is_counted(config: Configure, engine: Engine, body: bytes, counted: str) -> None:
    async with opened(config(limits={"body": "16KiB"}), engine) as door:
        status = await door.deliver(body)
        assert status == 200
        assert await door.inbox.drained(WAIT)
        counts = await door.counts()
    assert counts in ({counted: 1}, {"unjudged": 1})  # what is too large by its length is not even gathered
