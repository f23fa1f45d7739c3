import asyncio
import base64
import contextlib
import hashlib
import json
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from addons.doors import stripping
from addons.doors.assessing import Scope, Verdict, read, with_media
from addons.doors.stripping import strip
from addons.ledger import Ledger
from addons.ledger.standings import Place, Standings
from addons.policy.config import Config
from addons.policy.decide import STRIPS, Policy
from addons.policy.words import Action, Cause, Standing
from classifier.engine import Engine
from classifier.settings import ClassifierSettings, DecodeSettings, HashListSettings
from tests import net, pictures
from tests.addons.doors.opened import ACTOR, KNOWN, configured, create, opened, write_list
from tests.addons.doors.test_assessing import BAD, DEFER, URLS, note, scored
from tests.drawing import encode, textured

pytestmark = pytest.mark.asyncio(loop_scope="module")

FORBIDDEN = encode(textured(1))
SAME_PICTURE = encode(textured(1), "JPEG", quality=85)
ORDINARY = encode(textured(2))
SHA256 = hashlib.sha256(FORBIDDEN).hexdigest()

type Configure = Callable[..., Config]


@pytest.fixture(scope="module")
def hashes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_list(tmp_path_factory.mktemp("lists") / "hashes.csv", FORBIDDEN)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def engine(hashes: Path) -> AsyncIterator[Engine]:
    lists = (HashListSettings(name="ours", file=hashes),)
    settings = ClassifierSettings(clip=None, nudity=None, hashes=lists, decode=DecodeSettings(processes=1))
    started = Engine.start(settings, {})
    yield started
    await started.close()


@pytest_asyncio.fixture(loop_scope="module")
async def host() -> AsyncIterator[pictures.Host]:
    async with pictures.host() as served:
        served.put("/forbidden.png", FORBIDDEN)
        served.put("/same.jpg", SAME_PICTURE)
        served.put("/ordinary.png", ORDINARY)
        yield served


@pytest.fixture
def config(tmp_path: Path, hashes: Path, host: pictures.Host) -> Configure:
    """A Mastodon with a fetch door: there ``strip`` takes effect at the inbox."""
    base: dict[str, Any] = {
        "server": {"software": "mastodon"},
        "doors": {"fetch": {"listen": "127.0.0.1:3"}},
        "rules": [{**KNOWN[0], "do": "strip"}],
    }
    return lambda **settings: configured(tmp_path, hashes, host.port, base | settings)


def blocked(by: str) -> Standing:
    return Standing(by, False, Action.STRIP)


# -- before the running server -----------------------------------------------------------------------------------------


async def test_what_a_strip_is_about_is_blocked_when_the_post_arrives(
    config: Configure, engine: Engine, host: pictures.Host
) -> None:
    host.put("/led.png", status="302 Found", headers={"Location": host.url("/forbidden.png")})
    seen: list[list[Standing | None]] = []

    async def answer(request: net.Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await asyncio.to_thread(standings.of, asked))
        writer.write(net.OK)
        await writer.drain()

    async with opened(config(), engine, answer) as door:
        standings = door.service.ledger.standings
        asked = [Place(host.url(path)) for path in ("/led.png", "/forbidden.png", "/ordinary.png")]
        asked += [Place(None, SHA256), Place(None, hashlib.sha256(ORDINARY).hexdigest())]
        assert await door.deliver(create(host.url("/led.png"), host.url("/ordinary.png"))) == 200
        (entry,) = await door.entries(1)
    assert entry.action == "strip"
    assert seen == [[blocked(entry.id), blocked(entry.id), None, blocked(entry.id), None]]


async def test_a_post_with_blocked_media_is_let_in_without_them_too(
    config: Configure, engine: Engine, host: pictures.Host
) -> None:
    async with opened(config(), engine) as door:
        door.service.ledger.standings.block([Place(host.url("/ordinary.png"))], Action.STRIP, "other")
        assert await door.deliver(create(host.url("/ordinary.png"))) == 200
        (entry,) = await door.entries(1)
        assert (entry.action, entry.hits[0].blocked) == ("strip", "other")
        assert door.service.ledger.standings.of([Place(None, entry.media[0].sha256)]) == [blocked(entry.id)]


async def test_where_strip_hides_nothing_it_is_a_drop_and_nothing_is_blocked(
    config: Configure, engine: Engine, host: pictures.Host
) -> None:
    async with opened(config(server={"software": "lemmy"}), engine) as door:
        assert await door.deliver(create(host.url("/forbidden.png"))) == 202
        assert door.service.ledger.standings.of([Place(host.url("/forbidden.png"), SHA256)]) == [None]


@pytest.mark.parametrize("rules", [{}, {"rules": [{"name": "all", "when": {"host": "remote.example"}, "do": "strip"}]}])
async def test_who_observes_blocks_nothing(
    config: Configure, engine: Engine, host: pictures.Host, rules: dict[str, Any]
) -> None:
    async with opened(config(mode="observe", **rules), engine) as door:
        assert await door.deliver(create(host.url("/forbidden.png"))) == 200
        await net.until(lambda: not door.inbox.busy)
        (entry,) = await door.entries(1)
        assert (entry.mode, entry.action) == ("observe", "strip")
        assert door.service.ledger.standings.of([Place(host.url("/forbidden.png"), SHA256)]) == [None]


async def test_a_rule_on_context_alone_blocks_all_urls(config: Configure, engine: Engine, host: pictures.Host) -> None:
    rules = [{"name": "all", "when": {"host": "127.0.0.1"}, "do": "strip"}]
    actor = host.url("/users/a")
    async with opened(config(rules=rules), engine) as door:
        both = create(host.url("/ordinary.png"), host.url("/forbidden.png"), actor=actor)
        assert await door.deliver(both) == 200
        assert await door.deliver(create(actor=actor)) == 200
        first, second = await door.entries(2)
        places = [Place(medium.url) for medium in first.media]
        assert len(places) == 2
        assert door.service.ledger.standings.of(places) == [blocked(first.id)] * 2
    assert (first.action, second.action, second.media) == ("strip", "strip", ())
    assert len(door.arrived) == 2


async def test_a_rule_on_context_alone_blocks_nobody_elses_pictures(
    config: Configure, engine: Engine, host: pictures.Host
) -> None:
    rules = [{"name": "all", "when": {"host": "remote.example"}, "do": "strip"}]
    async with opened(config(rules=rules), engine) as door:
        assert await door.deliver(create(host.url("/ordinary.png"))) == 202
        [entry] = await door.entries(1)
        assert door.service.ledger.standings.of([Place(host.url("/ordinary.png"))]) == [None]
    assert (entry.action, door.arrived) == ("drop", [])


@pytest.mark.parametrize("on", ["pass", "reject"])
async def test_what_cannot_be_blocked_is_dropped(
    config: Configure, engine: Engine, host: pictures.Host, tmp_path: Path, on: str
) -> None:
    async with opened(config(on={"ledger_error": on}), engine, busy=0.05) as door:
        with contextlib.closing(sqlite3.connect(tmp_path / "fediward.db", isolation_level=None)) as other:
            # The block set alone cannot be written; it can be read.
            other.execute("CREATE TRIGGER no BEFORE INSERT ON standings BEGIN SELECT RAISE(FAIL, 'no room'); END")
        assert await door.deliver(create(host.url("/forbidden.png"))) == 202
        (entry,) = await door.entries(1)
        assert door.kept(entry)
    assert (entry.action, entry.cause) == ("drop", "ledger_error")
    assert [hit.rule for hit in entry.hits] == [None, "known"]
    assert not door.arrived


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("path", ["/forbidden.png", "data"])
async def test_what_an_admin_allowed_passes_though_a_rule_forbids_it(
    config: Configure, engine: Engine, host: pictures.Host, early: bool, path: str
) -> None:
    url = host.url(path) if path != "data" else f"data:image/png;base64,{base64.b64encode(FORBIDDEN).decode()}"
    async with opened(config(rules=KNOWN), engine, early=early) as door:
        assert await door.deliver(create(url)) == 202
        door.service.ledger.standings.allow([SHA256], "01kexample", "a mistake")
        assert await door.deliver(create(url)) == 200
        # Only these bytes: what looks the same is not the same.
        assert await door.deliver(create(url, host.url("/same.jpg"))) == 202
        entries = await door.entries(3)
    assert [entry.action for entry in entries] == ["drop", "pass", "drop"]
    assert entries[1].hits[0].allowed == "01kexample"
    assert len(door.arrived) == 1


async def test_a_delivery_without_media_asks_no_database(config: Configure, engine: Engine, tmp_path: Path) -> None:
    async with opened(config(), engine) as door:

        class Never(Standings):
            def of(self, places: object) -> list[Standing | None]:
                raise AssertionError

            def block(self, places: object, action: Action, by: str) -> None:
                raise AssertionError

        door.service.ledger.standings = Never(door.service.ledger._store.engine)
        assert await door.deliver(create()) == 200
        assert await door.counts() == {"pass": 1}


# -- by itself ---------------------------------------------------------------------------------------------------------


class Recording(Standings):
    """A block set that keeps what it is told, or fails."""

    def __init__(self, ledger: Ledger, fails: Callable[[], None] = lambda: None) -> None:
        super().__init__(ledger._store.engine)
        self.fails = fails
        self.told: list[tuple[list[Place], str]] = []

    def block(self, places: Iterable[Place], action: Action, by: str) -> None:
        self.fails()
        self.told.append((list(places), by))


async def stripping_of(standings: Standings, **on: Action) -> Verdict:
    """The verdict on a post whose second medium is bad."""
    every = DEFER | {Cause(cause): action for cause, action in on.items()}
    policy = Policy([BAD], every, strips=STRIPS | {"inbox"})
    delivery = read(json.dumps(note(ACTOR, *URLS)).encode(), Scope(media=2 if on else 32))
    media = scored(delivery, 1)
    verdict = with_media(policy, delivery, media)
    return await strip(standings, policy, delivery, verdict, media, by="one", timeout=0)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(f"sqlite:///{tmp_path}/l.db") as opened_:
        yield opened_


async def test_only_the_offending_media_are_told(ledger: Ledger) -> None:
    standings = Recording(ledger)
    assert (await stripping_of(standings)).decision.action is Action.STRIP
    assert standings.told == [([Place(URLS[1], "0" * 64)], "one")]


async def test_nothing_is_told_where_not_all_is_known(ledger: Ledger) -> None:
    standings = Recording(ledger)
    verdict = await stripping_of(standings, too_many=Action.STRIP)
    assert (verdict.decision.action, verdict.decision.cause, standings.told) == (Action.DROP, Cause.TOO_MANY, [])


async def test_a_block_set_that_does_not_answer_is_not_waited_for(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(stripping, "COMMIT", 0.01)
    answer = threading.Event()
    try:
        verdict = await stripping_of(Recording(ledger, lambda: [answer.wait()].clear()))
    finally:
        answer.set()
    assert (verdict.decision.action, verdict.decision.cause) == (Action.DROP, Cause.LEDGER_ERROR)
    assert "no answer in time" in caplog.text
