"""What the inbox door holds, and what becomes of it: real requests, signatures, ledger and keeper."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from addons.ledger.held import HoldRecord, HoldState, Outcome
from addons.policy.config import Config
from classifier.engine import Engine
from classifier.settings import ClassifierSettings, DecodeSettings, HashListSettings
from tests import net, pictures
from tests.addons.doors.opened import KNOWN, Opened, configured, opened, write_list
from tests.addons.doors.signing import NAMES, Actor, actor
from tests.drawing import encode, textured

pytestmark = pytest.mark.asyncio(loop_scope="module")

FORBIDDEN = encode(textured(1))
ORDINARY = encode(textured(2))
WAIT = 30.0
HELD_LATE: dict[str, Any] = {"on": {"fetch_failed": {"do": "hold", "then": "drop"}}}

type Open = Callable[..., AbstractAsyncContextManager[Opened]]


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
        served.put("/ordinary.png", ORDINARY)
        served.put("/forbidden.png", FORBIDDEN)
        yield served


@pytest.fixture
def config(tmp_path: Path, hashes: Path, host: pictures.Host) -> Callable[..., Config]:
    return lambda **settings: configured(tmp_path, hashes, host.port, settings)


@pytest.fixture
def door(config: Callable[..., Config], engine: Engine) -> Open:
    def open_(*, keeps: bool = True, down: bool = False, **settings: Any) -> Any:
        return opened(config(**settings), engine, keeps=keeps, names=NAMES, down=down)

    return open_


async def deliver(door: Opened, sender: Actor, activity: object, **how: Any) -> int:
    head, body = sender.signed(activity, **how)
    async with net.client(door.port) as client:
        await client.send(head + body)
        return (await client.response(timeout=WAIT))[0]


def records(door: Opened) -> list[HoldRecord]:
    """All holds, over or not, in the order they came."""
    with door.service.ledger.holds._reading.begin() as connection:
        ids = [row[0] for row in connection.exec_driver_sql("SELECT id FROM holds ORDER BY seq")]
    return [record for id in ids if (record := door.service.ledger.holds.get(id))]


async def outcomes(door: Opened, count: int) -> list[Outcome | None]:
    """How the holds ended, once there are so many and all are over."""

    def over() -> bool:
        found = records(door)
        return len(found) == count and all(one.state is HoldState.OVER for one in found)

    await net.until(over, timeout=WAIT)
    return [one.outcome for one in records(door)]


# -- held, judged and replayed -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "outcome", "arrives"), [("/ordinary.png", Outcome.REPLAYED, 1), ("/forbidden.png", Outcome.DROPPED, 0)]
)
async def test_what_is_not_judged_in_time_is_held_and_judged_later(
    door: Open, host: pictures.Host, image: str, outcome: Outcome, arrives: int
) -> None:
    gate = asyncio.Event()
    file = host.files[image].data
    url = host.put("/slow.png", file, gate=gate)
    sender = actor(host)
    async with door(budget="1s") as opened:
        head, body = sender.signed(sender.create(url))
        async with net.client(opened.port) as client:
            await client.send(head + body)
            status, _, text = await client.response(timeout=WAIT)
        assert (status, text) == (202, b"")
        assert opened.arrived == []
        (record,) = records(opened)
        assert (record.state, record.cause, record.share) == (HoldState.JUDGING, "timeout", "host:remote.example")
        assert (record.signer.state, record.signer.host) == ("verified", "remote.example")
        assert record.closes - record.arrived < timedelta(minutes=5)
        gate.set()
        assert await outcomes(opened, 1) == [outcome]
        assert opened.arrived == [body] * arrives
        if arrives:
            (request,) = opened.door.upstream.requests
            assert request.head.strip() == head.strip()
        held, judged = sorted(await opened.entries(2), key=lambda entry: entry.id)
    assert (held.id, held.action, held.cause, held.hold) == (record.id, "hold", "timeout", None)
    assert judged.hold == record.id
    assert (judged.action, judged.rule) == (("pass", None) if arrives else ("drop", "known"))


async def test_a_drop_looks_like_a_hold(door: Open, host: pictures.Host) -> None:
    sender = actor(host)
    answers = []
    async with door(keeps=False) as opened:
        for path in ("/forbidden.png", "/absent.png"):
            head, body = sender.signed(sender.create(host.url(path)))
            async with net.client(opened.port) as client:
                await client.send(head + body)
                answers.append(await client.response(timeout=WAIT))
        assert len(records(opened)) == 1
    assert answers[0] == answers[1]


async def test_what_could_not_be_fetched_is_judged_when_a_media_door_sees_it(door: Open, host: pictures.Host) -> None:
    sender = actor(host)
    url = host.url("/late.png")
    async with door() as opened:
        assert await deliver(opened, sender, sender.create(url)) == 202
        (record,) = records(opened)
        assert (record.cause, record.then) == ("fetch_failed", "record")
        # Its first try fails too, and the next one is some time off.
        await net.until(lambda: records(opened)[0].attempts == 1 and records(opened)[0].worker is None, timeout=WAIT)
        host.put("/late.png", ORDINARY)
        opened.service.gate.seen(url)
        assert await outcomes(opened, 1) == [Outcome.REPLAYED]
        assert len(opened.arrived) == 1


async def test_the_same_delivery_again_is_not_stored_twice(door: Open, host: pictures.Host) -> None:
    sender = actor(host)
    activity = sender.create(host.url("/absent.png"))
    async with door(keeps=False) as opened:
        assert [await deliver(opened, sender, activity) for _ in range(3)] == [202] * 3
        assert len(records(opened)) == 1


async def test_a_chunked_body_is_replayed_with_its_length(door: Open, host: pictures.Host) -> None:
    gate = asyncio.Event()
    url = host.put("/slow.png", ORDINARY, gate=gate)
    sender = actor(host)
    async with door(budget="500ms") as opened:
        head, body = sender.signed(sender.create(url))
        chunked = head.replace(b"Content-Length: %d" % len(body), b"Transfer-Encoding: chunked")
        async with net.client(opened.port) as client:
            await client.send(chunked + net.chunked(body[:10], body[10:]))
            assert (await client.response(timeout=WAIT))[0] == 202
        gate.set()
        assert await outcomes(opened, 1) == [Outcome.REPLAYED]
        (request,) = opened.door.upstream.requests
        assert request.body == body
        assert b"chunked" not in request.head


async def test_a_rule_that_holds_waits_for_a_person(door: Open, host: pictures.Host) -> None:
    sender = actor(host)
    rules = [{**KNOWN[0], "do": "hold"}]
    async with door(rules=rules) as opened:
        assert await deliver(opened, sender, sender.create(host.url("/forbidden.png"))) == 202
        (record,) = records(opened)
        assert (record.state, record.rule, record.cause, record.then) == (HoldState.WAITING, "known", None, "drop")
        assert opened.service.ledger.holds.permit(record.id, None)
        opened.service.delivering.keeper.wake()
        assert await outcomes(opened, 1) == [Outcome.REPLAYED]


async def test_a_rule_on_context_holds_too(door: Open, host: pictures.Host) -> None:
    sender = actor(host)
    rules = [{"name": "strange", "when": {"host": "remote.example"}, "do": "hold", "then": "record"}]
    async with door(rules=rules) as opened:
        assert await deliver(opened, sender, sender.create()) == 202
        (record,) = records(opened)
        assert (record.state, record.rule, record.then) == (HoldState.WAITING, "strange", "record")
        assert record.signer.state == "verified"
        assert opened.arrived == []


async def test_who_observes_holds_nothing(door: Open, host: pictures.Host) -> None:
    sender = actor(host)
    async with door(mode="observe") as opened:
        assert await deliver(opened, sender, sender.create(host.url("/absent.png"))) == 200
        assert await opened.inbox.drained(WAIT)
        (entry,) = await opened.entries(1)
        assert (entry.action, entry.mode) == ("hold", "observe")
        assert records(opened) == []


# -- what cannot be held -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("on", "status"), [({}, 503), ({"hold_full": "drop"}, 202), ({"hold_full": "pass"}, 200)])
async def test_what_carries_a_picture_is_never_stored(
    door: Open, host: pictures.Host, on: dict[str, str], status: int
) -> None:
    sender = actor(host)
    activity = sender.create(host.url("/absent.png"), "data:image/png;base64,iVBORw0KGgo=")
    async with door(keeps=False, on={"undecodable": "pass", **on}) as opened:
        assert await deliver(opened, sender, activity) == status
        assert records(opened) == []
        (entry,) = await opened.entries(1)
        assert entry.cause == "hold_full"


async def test_what_is_more_than_can_be_held(door: Open, host: pictures.Host) -> None:
    sender = actor(host)
    async with door(keeps=False, holds={"host_count": 1}) as opened:
        for id, status in (("1", 202), ("2", 503)):
            activity = sender.create(host.url("/absent.png"), id=id)
            assert await deliver(opened, sender, activity) == status
        assert len(records(opened)) == 1
        assert {entry.cause for entry in await opened.entries(2)} == {"fetch_failed", "hold_full"}


@pytest.mark.parametrize(("rules", "status"), [(KNOWN, 503), ([{**KNOWN[0], "do": "hold"}], 503)])
async def test_what_could_not_be_stored_is_never_let_by(
    door: Open, host: pictures.Host, rules: list[dict[str, Any]], status: int
) -> None:
    sender = actor(host)
    paths = ["/absent.png"] if rules is KNOWN else ["/forbidden.png"]
    async with door(keeps=False, rules=rules, on={"ledger_error": "pass", "hold_full": "pass"}) as opened:
        with opened.service.ledger.holds._engine.begin() as connection:
            connection.exec_driver_sql("DROP TABLE hold_bytes")
        assert await deliver(opened, sender, sender.create(*map(host.url, paths))) == status
        assert opened.arrived == []
        assert (await opened.entries(1))[0].cause == "ledger_error"


async def test_while_the_server_is_down_nothing_is_taken_in(door: Open, host: pictures.Host) -> None:
    sender = actor(host)
    async with door(down=True) as opened:
        assert await deliver(opened, sender, sender.create()) == 502
        assert opened.service.delivering.upstream.down
        assert await deliver(opened, sender, sender.create(host.url("/absent.png"))) == 503
        assert await deliver(opened, sender, sender.create(host.url("/ordinary.png"))) == 502
        assert records(opened) == []


# -- order -------------------------------------------------------------------------------------------------------------


async def test_an_update_and_a_reply_wait_behind_what_is_held(door: Open, host: pictures.Host) -> None:
    gate = asyncio.Event()
    url = host.put("/slow.png", ORDINARY, gate=gate)
    sender, other = actor(host), actor(host, "other.example")
    note = sender.note(url)
    create = sender.says("Create", note)
    update = sender.says("Update", sender.note())
    reply = other.create(inReplyTo=note["id"])
    like = sender.says("Like", note["id"])
    async with door(budget="1s") as opened:
        assert await deliver(opened, sender, create) == 202
        assert await deliver(opened, sender, update) == 202
        assert await deliver(opened, other, reply) == 202
        assert await deliver(opened, sender, like) == 200
        assert [json.loads(body)["type"] for body in opened.arrived] == ["Like"]
        states = [record.state for record in records(opened)]
        assert states[1:] == [HoldState.REPLAYING, HoldState.REPLAYING]
        gate.set()
        assert await outcomes(opened, 3) == [Outcome.REPLAYED] * 3
        arrived = [json.loads(body)["id"] for body in opened.arrived]
        assert arrived[:2] == [like["id"], create["id"]]
        assert set(arrived[2:]) == {update["id"], reply["id"]}
        assert await deliver(opened, sender, sender.says("Update", sender.note(), id="2")) == 200


@pytest.mark.parametrize("who", ["unsigned", "stranger"])
async def test_who_waits_for_nobody(door: Open, host: pictures.Host, who: str) -> None:
    sender, stranger = actor(host), actor(host, "other.example")
    async with door(keeps=False) as opened:
        # A stranger's hold that names somebody else's post.
        note = sender.note(host.url("/absent.png"))
        first = stranger if who == "stranger" else sender
        assert await deliver(opened, first, first.says("Create", note)) == 202
        update = sender.says("Update", sender.note())
        if who == "unsigned":
            assert await opened.deliver(update) == 200
        else:
            assert await deliver(opened, sender, update) == 200


async def test_a_delete_goes_on_and_takes_back_what_is_its_signers(door: Open, host: pictures.Host) -> None:
    sender, other = actor(host), actor(host, "other.example")
    create = sender.create(host.url("/absent.png"))
    note = create["object"]["id"]
    async with door(keeps=False) as opened:
        assert await deliver(opened, sender, create) == 202
        assert await opened.deliver(sender.says("Delete", note)) == 200
        assert await deliver(opened, other, other.says("Delete", note)) == 200
        assert records(opened)[0].state is HoldState.JUDGING
        assert await deliver(opened, sender, sender.says("Delete", note)) == 200
        (record,) = records(opened)
        assert (record.state, record.outcome) == (HoldState.OVER, Outcome.WITHDRAWN)
        assert len(opened.arrived) == 3
        assert not opened.service.delivering.holding.order.any


async def test_a_delete_that_is_held_itself_takes_back_all_the_same(door: Open, host: pictures.Host) -> None:
    sender = actor(host)
    create = sender.create(host.url("/absent.png"))
    async with door(keeps=False) as opened:
        assert await deliver(opened, sender, create) == 202
        assert await deliver(opened, sender, sender.says("Delete", create["object"])) == 202
        assert [record.outcome for record in records(opened)] == [Outcome.WITHDRAWN, None]


async def test_what_needs_no_judging_is_not_verified(door: Open, host: pictures.Host) -> None:
    sender = actor(host)
    async with door() as opened:
        assert await deliver(opened, sender, sender.create()) == 200
        assert await deliver(opened, sender, sender.says("Delete", f"{sender.notes}/1")) == 200
    assert not host.hits


# -- who is asking -----------------------------------------------------------------------------------------------------


async def test_who_is_denied_is_refused_before_any_work(door: Open, host: pictures.Host, tmp_path: Path) -> None:
    (tmp_path / "deny.txt").write_text("*.remote.example\nremote.example\n")
    sender, other = actor(host), actor(host, "other.example")
    async with door(keeps=False, senders={"deny": [str(tmp_path / "deny.txt")]}) as opened:
        assert await deliver(opened, sender, sender.create(host.url("/ordinary.png"))) == 403
        assert not host.hits
        assert await deliver(opened, other, other.create(host.url("/ordinary.png"))) == 200
        (entry,) = [one for one in await opened.entries(2) if one.action == "reject"]
        assert entry.rule is not None
        assert "deny.txt:2" in entry.rule


@pytest.mark.parametrize(("image", "status"), [("/ordinary.png", 200), ("/forbidden.png", 202)])
async def test_an_allow_list_lifts_a_denial_for_whom_it_proves_to_be_and_nothing_else(
    door: Open, host: pictures.Host, tmp_path: Path, image: str, status: int
) -> None:
    (tmp_path / "deny.txt").write_text("*.example\n")
    (tmp_path / "allow.txt").write_text("remote.example\n")
    senders = {"deny": [str(tmp_path / "deny.txt")], "allow": [str(tmp_path / "allow.txt")]}
    sender, other = actor(host), actor(host, "other.example")
    async with door(keeps=False, senders=senders) as opened:
        assert await deliver(opened, sender, sender.create(host.url(image))) == status
        assert await deliver(opened, other, other.create(host.url(image))) == 403
        # Whoever says that he is the one allowed has not proved it.
        assert await opened.deliver(sender.create(host.url(image))) == 403
        assert await deliver(opened, other, sender.create(host.url(image))) == 403


async def test_a_rule_denies_whom_it_hit_too_often(door: Open, host: pictures.Host) -> None:
    rules = [{**KNOWN[0], "deny": {"for": "1h", "after": {"hits": 2}}}]
    sender = actor(host)
    async with door(keeps=False, rules=rules) as opened:
        for id in ("1", "2"):
            # Who is not verified gets nobody denied.
            assert await opened.deliver(sender.create(host.url("/forbidden.png"), id=id)) == 202
        for id in ("3", "4"):
            assert await deliver(opened, sender, sender.create(host.url("/forbidden.png"), id=id)) == 202
        await opened.service.delivering._known.denials.settled()
        assert await deliver(opened, sender, sender.create()) == 403


async def test_a_key_that_is_only_given_to_the_signed(door: Open, host: pictures.Host) -> None:
    sender = actor(host, status="401 Unauthorized")
    async with door(keeps=False) as opened:
        assert await deliver(opened, sender, sender.create(host.url("/absent.png"))) == 202
        (record,) = records(opened)
        assert (record.signer.state, record.share) == ("unverifiable", "peer:127.0.0.1")


async def test_whom_the_server_took_has_its_hosts_share(door: Open, host: pictures.Host) -> None:
    sender = actor(host, status="401 Unauthorized")
    async with door(keeps=False, server={"software": "mastodon"}) as opened:
        assert await deliver(opened, sender, sender.create(host.url("/ordinary.png"))) == 200
        assert await deliver(opened, sender, sender.create(host.url("/absent.png"), id="2")) == 202
        assert records(opened)[0].share == "host:remote.example"


async def test_what_a_server_takes_elsewhere_vouches_for_nobody(door: Open, host: pictures.Host) -> None:
    sender = actor(host, status="401 Unauthorized")
    async with door(keeps=False, server={"software": "mastodon"}) as opened:
        assert await deliver(opened, sender, sender.create(host.url("/ordinary.png")), path="/api/v1/apps") == 200
        assert await deliver(opened, sender, sender.create(host.url("/absent.png"), id="2")) == 202
        assert records(opened)[0].share == "peer:127.0.0.1"


async def test_the_window_counts_from_the_signature(door: Open, host: pictures.Host) -> None:
    sender = actor(host)
    at = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=20)
    async with door(keeps=False, server={"software": "lemmy"}) as opened:
        assert await deliver(opened, sender, sender.create(host.url("/absent.png")), at=at) == 202
        (record,) = records(opened)
        assert record.closes == at + timedelta(minutes=59)
