import gzip
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from addons.doors.reassessing import Reassess
from addons.fetching.budget import BudgetSpentError
from addons.ledger.held import Held, Signer
from addons.policy.config import Config
from addons.policy.words import Action, Cause
from addons.service import Service
from classifier.engine import Engine
from classifier.settings import ClassifierSettings, DecodeSettings, HashListSettings
from tests import pictures
from tests.addons.doors.opened import KNOWN, configured, create, opened, write_list
from tests.drawing import encode, textured

pytestmark = pytest.mark.asyncio(loop_scope="module")

FORBIDDEN = encode(textured(1))
ORDINARY = encode(textured(2))
NOW = datetime.now(UTC)
WAIT = 60.0

REFUSED = [{"name": "out", "when": {"host": "remote.example"}, "do": "reject"}]

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
        served.put("/ordinary.png", ORDINARY)
        served.put("/forbidden.png", FORBIDDEN)
        yield served


@pytest.fixture
def config(tmp_path: Path, host: pictures.Host) -> Configure:
    return lambda **settings: configured(tmp_path, write_list(tmp_path / "hashes.csv", FORBIDDEN), host.port, settings)


def reassess(service: Service) -> Reassess:
    return Reassess(service.delivering.deciding, service.delivering.signers)


def held(activity: object, *, encoded: bool = False) -> Held:
    body = activity if isinstance(activity, bytes) else json.dumps(activity).encode()
    head = b"POST /inbox HTTP/1.1\r\nHost: example.org\r\n"
    if encoded:
        body, head = gzip.compress(body), head + b"Content-Encoding: gzip\r\n"
    return Held(
        id="h" * 20,
        head=head + b"\r\n",
        body=body,
        peer="192.0.2.1",
        arrived=NOW,
        closes=NOW + timedelta(hours=1),
        then="drop",
        signer=Signer("verified", "remote.example"),
        share="host:remote.example",
    )


@pytest.mark.parametrize(
    ("settings", "path", "action", "cause", "rule"),
    [
        ({}, "/ordinary.png", Action.PASS, None, None),
        ({}, "/forbidden.png", Action.DROP, None, "known"),
        ({"rules": [{**KNOWN[0], "do": "strip"}]}, "/forbidden.png", Action.DROP, None, "known"),
        ({"rules": [{**KNOWN[0], "do": "hold"}]}, "/forbidden.png", Action.HOLD, None, "known"),
        ({}, "/absent.png", Action.HOLD, Cause.FETCH_FAILED, None),
        ({"on": {"fetch_failed": "defer"}}, "/absent.png", Action.DEFER, Cause.FETCH_FAILED, None),
        ({"on": {"fetch_failed": "record"}}, "/absent.png", Action.RECORD, Cause.FETCH_FAILED, None),
        (
            {"rules": [{"name": "out", "when": {"host": "remote.example"}, "do": "reject"}]},
            "",
            Action.REJECT,
            None,
            "out",
        ),
    ],
)
@pytest.mark.parametrize("encoded", [False, True])
async def test_what_is_held_is_judged_like_what_comes(
    config: Configure,
    engine: Engine,
    host: pictures.Host,
    settings: dict[str, Any],
    path: str,
    action: Action,
    cause: Cause | None,
    rule: str | None,
    encoded: bool,
) -> None:
    async with opened(config(**settings), engine) as door:
        assess = reassess(door.service)
        found = await assess(held(create(host.url(path)), encoded=encoded), WAIT)
        assert (found.action, found.cause, found.rule) == (action, cause, rule)
        assert found.urls == ((host.url(path),) if path == "/absent.png" else ())
        # What is still open is told once it is not.
        entries = await door.entries(0 if action in (Action.HOLD, Action.DEFER) else 1)
    for entry in entries:
        assert (entry.hold, entry.action, entry.peer, entry.door) == ("h" * 20, action, "192.0.2.1", "inbox")
        assert entry.id != entry.hold


async def test_what_has_no_media_passes_and_says_so(config: Configure, engine: Engine) -> None:
    async with opened(config(), engine) as door:
        found = await reassess(door.service)(held(create()), WAIT)
        assert found.action is Action.PASS
        assert [entry.hold for entry in await door.entries(1)] == ["h" * 20]


@pytest.mark.parametrize("body", [b"no JSON", b"[" * 70_000, b'{"a": "' + b"x" * 20_000 + b'"}'])
async def test_what_cannot_be_read_any_more_is_refused_as_at_the_door(
    config: Configure, engine: Engine, body: bytes
) -> None:
    async with opened(config(limits={"body": "16KiB"}), engine) as door:
        found = await reassess(door.service)(held(body), WAIT)
        assert found.action is Action.REJECT


async def test_who_observes_now_lets_go_what_was_held_before(
    config: Configure, engine: Engine, host: pictures.Host
) -> None:
    async with opened(config(mode="observe"), engine) as door:
        found = await reassess(door.service)(held(create(host.url("/forbidden.png"))), WAIT)
        assert found.action is Action.PASS
        assert [(entry.action, entry.mode) for entry in await door.entries(1)] == [("drop", "observe")]


async def test_without_memory_it_is_tried_again(config: Configure, engine: Engine) -> None:
    async with opened(config(), engine) as door:
        service = door.service
        with service.budget.take(service.budget.limit), pytest.raises(BudgetSpentError):
            await reassess(service)(held(create()), WAIT)


async def test_the_time_that_it_is_given_bounds_it(config: Configure, engine: Engine, host: pictures.Host) -> None:
    async with opened(config(), engine) as door:
        again = replace(held(create(host.url("/ordinary.png"))), share="unverified:192.0.2.1")
        assert (await reassess(door.service)(again, 0.0)).action is Action.HOLD


@pytest.mark.parametrize("allowed", [False, True])
async def test_who_was_denied_meanwhile_is_not_replayed(
    config: Configure, engine: Engine, host: pictures.Host, tmp_path: Path, allowed: bool
) -> None:
    (tmp_path / "deny.txt").write_text("remote.example\n")
    (tmp_path / "allow.txt").write_text("remote.example\n" if allowed else "")
    senders = {"deny": [str(tmp_path / "deny.txt")], "allow": [str(tmp_path / "allow.txt")]}
    async with opened(config(senders=senders), engine) as door:
        found = await reassess(door.service)(held(create(host.url("/ordinary.png"))), WAIT)
        assert found.action is (Action.PASS if allowed else Action.REJECT)
        await door.entries(1)
