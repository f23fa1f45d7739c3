"""The parts together, on both databases: what one process holds another one heeds, and who runs next finishes."""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from addons.delivering import Known
from addons.holding.order import gives_keys
from addons.ledger.errors import LedgerError
from addons.ledger.held import Bounds, HoldState, Outcome, Signer
from addons.ledger.ledger import Ledger
from addons.policy.config import Config
from classifier import CannotStartError
from classifier.engine import Engine
from classifier.settings import ClassifierSettings, DecodeSettings, HashListSettings
from tests import pictures
from tests.addons.doors.opened import Opened, configured, opened, write_list
from tests.addons.doors.signing import NAMES, Actor, actor
from tests.addons.doors.test_inbox_holds import deliver, outcomes, records
from tests.addons.holding.keeping import hold
from tests.drawing import encode, textured
from tests.postgres import postgres_server, postgres_url

__all__ = ["postgres_server", "postgres_url"]

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
        yield served


@pytest.fixture(params=["sqlite", "postgresql"])
def config(request: pytest.FixtureRequest, tmp_path: Path, host: pictures.Host) -> Configure:
    """Of ledgers on each kind of database, the same for all of one test."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
    hashes = write_list(tmp_path / "hashes.csv", FORBIDDEN)
    return lambda **settings: configured(tmp_path, hashes, host.port, {"ledger": {"url": url}} | settings)


def held(door: Opened) -> list[tuple[HoldState, Outcome | None]]:
    return [(record.state, record.outcome) for record in records(door)]


async def first(door: Opened, sender: Actor, url: str) -> dict[str, Any]:
    """A post that is held for its picture."""
    create = sender.create(url)
    assert await deliver(door, sender, create) == 202
    return create


async def test_what_was_held_before_is_finished_by_who_runs_next(
    config: Configure, engine: Engine, host: pictures.Host
) -> None:
    sender = actor(host)
    url = host.url("/late.png")
    async with opened(config(), engine, names=NAMES) as door:
        create = await first(door, sender, url)
    host.put("/late.png", ORDINARY)
    async with opened(config(), engine, names=NAMES, keeps=True) as door:
        assert await outcomes(door, 1) == [Outcome.REPLAYED]
        assert [json.loads(body)["id"] for body in door.arrived] == [create["id"]]


async def test_who_runs_next_knows_what_is_pending(config: Configure, engine: Engine, host: pictures.Host) -> None:
    sender = actor(host)
    async with opened(config(), engine, names=NAMES) as door:
        note = (await first(door, sender, host.url("/absent.png")))["object"]["id"]
    async with opened(config(), engine, names=NAMES) as door:
        assert await deliver(door, sender, sender.says("Update", sender.note())) == 202
        assert [state for state, _ in held(door)] == [HoldState.JUDGING, HoldState.REPLAYING]
        assert await deliver(door, sender, sender.says("Delete", note)) == 200
        assert [outcome for _, outcome in held(door)] == [Outcome.WITHDRAWN] * 2


@pytest.mark.parametrize("config", ["postgresql"], indirect=True)
async def test_what_another_process_holds_is_heeded(config: Configure, engine: Engine, host: pictures.Host) -> None:
    sender = actor(host)
    note = sender.note()
    signer = Signer("verified", "remote.example")
    theirs = hold(gives=gives_keys([note["id"]], signer), signer=signer)
    async with opened(config(), engine, names=NAMES) as door:
        with Ledger.open(door.service.config.ledger.url) as ledger:
            assert ledger.holds.put(theirs, Bounds())
        assert await deliver(door, sender, sender.says("Like", note["id"])) == 200
        assert await deliver(door, sender, sender.says("Update", note)) == 202
        assert [state for state, _ in held(door)] == [HoldState.JUDGING, HoldState.REPLAYING]
        assert await deliver(door, sender, sender.says("Delete", note["id"])) == 200
        assert [outcome for _, outcome in held(door)] == [Outcome.WITHDRAWN] * 2


async def test_what_media_doors_see_is_looked_up_only_where_something_is_held(
    config: Configure, engine: Engine, host: pictures.Host
) -> None:
    sender = actor(host)
    async with opened(config(), engine, names=NAMES) as door:
        delivering = door.service.delivering
        heard: list[str] = []
        delivering.keeper.seen = heard.append  # type: ignore[method-assign, assignment]  # what it does is its own test's
        delivering.seen("https://a.example/1.png")
        assert heard == []  # nobody works on holds yet
        delivering.start()
        delivering.start()
        await first(door, sender, host.url("/absent.png"))
        delivering.seen("https://a.example/2.png")
        assert heard == ["https://a.example/2.png"]
        await delivering.stop()
        await delivering.stop()
        delivering.seen("https://a.example/3.png")
        assert len(heard) == 1


async def test_a_list_that_cannot_be_read(config: Configure, engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "deny.txt").write_bytes(b"\xff\xfe\n")
    whole = config(senders={"deny": [str(tmp_path / "deny.txt")]})
    with Ledger.open(whole.ledger.url) as ledger, pytest.raises(CannotStartError, match=r"deny\.txt"):
        Known.load(whole, ledger)


async def test_a_ledger_that_cannot_be_asked(config: Configure, engine: Engine) -> None:
    whole = config()
    with Ledger.open(whole.ledger.url) as ledger:
        with ledger.holds._engine.begin() as connection:
            connection.exec_driver_sql("DROP TABLE denials")
        with pytest.raises(LedgerError):
            Known.load(whole, ledger)
