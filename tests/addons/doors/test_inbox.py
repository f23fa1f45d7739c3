import asyncio
import base64
import contextlib
import gzip
import json
import socket
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from addons.doors.assessing import SPEAKERS
from addons.doors.inbox import READ_INLINE
from addons.policy.config import Config
from classifier.engine import Engine
from classifier.settings import ClassifierSettings, DecodeSettings, HashListSettings
from tests import net, pictures
from tests.addons.doors.opened import ACTOR, KNOWN, configured, create, opened, write_list
from tests.drawing import encode, textured

# One engine for all: starting its processes takes longer than any test here.
pytestmark = pytest.mark.asyncio(loop_scope="module")

FORBIDDEN = encode(textured(1))
SAME_PICTURE = encode(textured(1), "JPEG", quality=85)
ORDINARY = encode(textured(2))

type Configure = Callable[..., Config]


@pytest.fixture(scope="module")
def hashes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_list(tmp_path_factory.mktemp("lists") / "hashes.csv", FORBIDDEN)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def engine(hashes: Path) -> AsyncIterator[Engine]:
    started = Engine.start(
        ClassifierSettings(
            clip=None,
            nudity=None,
            hashes=(HashListSettings(name="ours", file=hashes),),
            decode=DecodeSettings(processes=1),
        ),
        {},
    )
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
    return lambda **settings: configured(tmp_path, hashes, host.port, settings)


# -- the table of outcomes ---------------------------------------------------------------------------------------------


def deep(levels: int) -> dict[str, Any]:
    inner: dict[str, Any] = {"type": "Note"}
    for _ in range(levels):
        inner = {"object": inner}
    return {"type": "Create", "actor": ACTOR, **inner}


def known(action: str) -> dict[str, Any]:
    return {"rules": [{**KNOWN[0], "do": action}]}


FROM_REMOTE = [{"name": "blocked", "when": {"host": "remote.example"}, "do": "reject"}]


@pytest.mark.parametrize(
    ("settings", "paths", "status", "action", "reason"),
    [
        # nothing to judge
        ({}, [], 200, None, None),
        ({}, ["https://example.org/media/own.png"], 200, None, None),
        # what rules find
        ({}, ["/ordinary.png"], 200, "pass", None),
        ({}, ["/forbidden.png"], 202, "drop", "known"),
        ({}, ["/same.jpg"], 202, "drop", "known"),
        ({}, ["/ordinary.png", "/same.jpg"], 202, "drop", "known"),
        (known("reject"), ["/forbidden.png"], 403, "reject", "known"),
        (known("defer"), ["/forbidden.png"], 503, "defer", "known"),
        (known("record"), ["/forbidden.png"], 200, "record", "known"),
        (known("pass"), ["/forbidden.png"], 200, "pass", "known"),
        # rules on context alone
        ({"rules": FROM_REMOTE}, [], 403, "reject", "blocked"),
        ({"rules": FROM_REMOTE}, ["/forbidden.png"], 403, "reject", "blocked"),
        # causes, with the actions they have by default
        ({}, ["/absent.png"], 202, "hold", "fetch_failed"),
        ({}, ["/private.png"], 202, "drop", "fetch_unauthorized"),
        ({}, ["http://10.0.0.1/a.png"], 202, "drop", "fetch_refused"),
        ({}, ["/broken.png"], 202, "drop", "undecodable"),
        ({}, ["/page.png"], 202, "drop", "unsupported"),
        ({"fetch": {"max_bytes": "64KiB"}}, ["/large.png"], 202, "drop", "too_large"),
        ({"budget": "300ms"}, ["/hangs.png"], 202, "hold", "timeout"),
        ({"limits": {"media": 2}}, ["/ordinary.png", "/same.jpg"], 202, "drop", "known"),
        ({"limits": {"media": 1}}, ["/ordinary.png", "/same.jpg"], 202, "drop", "too_many"),
        ({"limits": {"memory": "16MiB"}, "fetch": {"max_bytes": "16MiB"}}, ["/huge.png"], 202, "hold", "busy"),
        # causes, with other ones
        ({"on": {"fetch_failed": "defer"}}, ["/absent.png"], 503, "defer", "fetch_failed"),
        ({"on": {"fetch_failed": "pass"}}, ["/absent.png"], 200, "pass", "fetch_failed"),
        ({"on": {"fetch_failed": "record"}}, ["/absent.png"], 200, "record", "fetch_failed"),
        ({"on": {"fetch_failed": "reject"}}, ["/absent.png"], 403, "reject", "fetch_failed"),
        # the strictest wins
        ({}, ["/absent.png", "/forbidden.png"], 202, "drop", "known"),
        (known("reject"), ["/absent.png", "/forbidden.png"], 403, "reject", "known"),
        (known("record"), ["/absent.png", "/forbidden.png"], 202, "hold", "fetch_failed"),
    ],
)
async def test_outcomes(
    config: Configure,
    engine: Engine,
    host: pictures.Host,
    settings: dict[str, Any],
    paths: list[str],
    status: int,
    action: str | None,
    reason: str | None,
) -> None:
    host.put("/private.png", status="403 Forbidden")
    host.put("/broken.png", b"\x89PNG\r\n\x1a\nthis is none")
    host.put("/page.png", b"<html>an error page</html>")
    host.put("/large.png", bytes(64 * 1024 + 1))
    host.put("/huge.png", bytes(16 << 20))
    host.put("/hangs.png", gate=asyncio.Event())
    activity = create(*(host.url(path) if path.startswith("/") else path for path in paths))
    async with opened(config(**settings), engine) as door:
        answered, head, body = await door.answer(activity)
        assert answered == status
        assert door.arrived == ([json.dumps(activity).encode()] if status == 200 else [])
        entries = await door.entries(0 if action is None else 1)
        assert await door.counts() == ({"pass": 1} if action is None else {})
    for entry in entries:
        assert (entry.action, entry.rule or entry.cause) == (action, reason)
        assert (entry.host, entry.actor, entry.activity_id) == ("remote.example", ACTOR, activity["id"])
        assert (entry.peer, entry.door, entry.mode) == ("127.0.0.1", "inbox", "enforce")
        assert entry.took_ms < 20_000
    assert b"retry-after" not in head.lower()
    if status != 200:
        assert body == {
            202: b"",
            403: b'{"error": "this activity is not accepted here"}',
            503: b'{"error": "not now, please try again later"}',
        }.get(status)


async def test_what_a_context_rule_refuses_is_not_fetched(
    config: Configure, engine: Engine, host: pictures.Host
) -> None:
    async with opened(config(rules=FROM_REMOTE), engine) as door:
        assert await door.deliver(create(host.url("/forbidden.png"))) == 403
    assert not host.hits


async def test_the_ledger_tells_where_each_medium_came_from(
    config: Configure, engine: Engine, host: pictures.Host
) -> None:
    moved = host.put("/moved.png", status="302 Found", headers={"Location": "/forbidden.png"})
    async with opened(config(), engine) as door:
        assert await door.deliver(create(moved, host.url("/ordinary.png"))) == 202
        (entry,) = await door.entries(1)
        kept = door.kept(entry)
    first, second = entry.media
    assert (first.url, first.final_url, first.address) == (moved, host.url("/forbidden.png"), "127.0.0.1")
    assert first.frames[0].symbols == {"hash.ours": 1.0}
    assert [match.kind for match in first.matches] == ["sha256", "pdq"]
    assert (second.path, second.frames[0].symbols) == ("/object/attachment/1/url", {})
    assert (entry.policy_version, entry.engine_version) == (door.service.policy.version, engine.version)
    assert kept is not None
    assert json.loads(kept.body)["id"] == entry.activity_id


# -- what cannot be read -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "headers", "status", "says"),
    [
        (b"", (), 400, "The body is not JSON"),
        (b'{"a": ', (), 400, "The body is not JSON: Expecting value at line 1, column 7"),
        (b'"text"', (), 400, "The body is a string, not a JSON object"),
        (b"[1]", (), 400, "Item 0 of the array is a number, not a JSON object."),
        (b"\xff\xfe", (), 400, "The body is not UTF-8 text (byte 0)."),
        (b"{}", (("Content-Encoding", "gzip"),), 400, "the body is not valid gzip"),
        (b"{}", (("Content-Encoding", "lzma"),), 400, "content encoding 'lzma' is not known here"),
        (gzip.compress(b" " * (16 << 10), mtime=0), (("Content-Encoding", "gzip"),), 400, "The body is not JSON"),
        (
            gzip.compress(b" " * ((16 << 10) + 1), mtime=0),
            (("Content-Encoding", "gzip"),),
            413,
            "16384 bytes at most, decoded",
        ),
        (b" " * (16 << 10), (), 400, "The body is not JSON"),
        (b" " * ((16 << 10) + 1), (), 413, "16384 bytes at most"),
    ],
)
async def test_what_is_no_activity_is_refused_with_what_is_wrong(
    config: Configure, engine: Engine, body: bytes, headers: tuple[tuple[str, str], ...], status: int, says: str
) -> None:
    async with opened(config(limits={"body": "16KiB"}), engine) as door:
        answered, _, said = await door.answer(body, *headers)
        assert (answered, door.arrived) == (status, [])
        assert says in json.loads(said)["error"]
        await door.entries(0)


@pytest.mark.parametrize("size", [READ_INLINE, READ_INLINE + 1, 1 << 20])
async def test_bodies_of_any_size_are_judged(config: Configure, engine: Engine, host: pictures.Host, size: int) -> None:
    activity = create(host.url("/forbidden.png"), summary="")
    activity["summary"] = "x" * (size - len(json.dumps(activity)))
    assert len(json.dumps(activity)) == size
    async with opened(config(), engine) as door:
        assert await door.deliver(activity) == 202
        activity["object"]["attachment"] = []
        assert await door.deliver(activity) == 200


async def test_a_compressed_delivery_is_judged_and_forwarded_as_it_came(
    config: Configure, engine: Engine, host: pictures.Host
) -> None:
    async with opened(config(), engine) as door:
        packed = [
            gzip.compress(json.dumps(create(host.url(path))).encode()) for path in ("/forbidden.png", "/same.jpg")
        ]
        for body in packed:
            assert await door.deliver(body, ("Content-Encoding", "gzip")) == 202
        passed = gzip.compress(json.dumps(create(host.url("/ordinary.png"))).encode())
        assert await door.deliver(passed, ("Content-Encoding", "gzip")) == 200
        assert door.arrived == [passed]


@pytest.mark.parametrize(("levels", "status"), [(63, 200), (64, 202)])
async def test_depth(config: Configure, engine: Engine, levels: int, status: int) -> None:
    async with opened(config(), engine) as door:
        assert await door.deliver(deep(levels)) == status


# -- arrays ------------------------------------------------------------------------------------------------------------


def by(actor: str, *images: str, kind: str = "Create") -> dict[str, Any]:
    return create(*images, actor=actor) | {"type": kind}


SPAM, GOOD, FRIEND = (f"https://{name}.example/u" for name in ("spam", "good", "friend"))
BY_HOST = [
    {"name": "spam", "when": {"host": "spam.example"}, "do": "reject"},
    {"name": "friend", "when": {"host": "friend.example"}, "do": "pass"},
    {"name": "deletes", "when": {"type": "Delete"}, "do": "pass"},
    *KNOWN,
]


@pytest.mark.parametrize(
    ("activity", "status", "reason", "fetched"),
    [
        (lambda url: [by(GOOD), by(SPAM)], 403, "spam", 0),
        (lambda url: {"type": "Collection", "items": [by(GOOD), by(SPAM)]}, 403, "spam", 0),
        (lambda url: {**by(GOOD), "actor": [GOOD, SPAM]}, 403, "spam", 0),
        (lambda url: [by(GOOD, url), by(SPAM)], 403, "spam", 0),
        (lambda url: [by(FRIEND, url), by(FRIEND)], 200, None, 0),
        (lambda url: [by(FRIEND), by(GOOD, url)], 202, "known", 1),
        (lambda url: [by(GOOD, kind="Delete"), by(GOOD, url)], 202, "known", 1),
        (lambda url: {"type": "Collection", "items": [by(GOOD, url)]}, 202, "known", 1),
        (lambda url: [by(f"{FRIEND}{n}") for n in range(SPEAKERS)], 200, None, 0),
        (lambda url: [by(f"{FRIEND}{n}") for n in range(SPEAKERS + 1)], 202, "too_many", 0),
    ],
)
async def test_no_item_of_an_array_hides_behind_another(
    config: Configure,
    engine: Engine,
    host: pictures.Host,
    activity: Callable[[str], object],
    status: int,
    reason: str | None,
    fetched: int,
) -> None:
    async with opened(config(rules=BY_HOST), engine) as door:
        assert await door.deliver(activity(host.url("/forbidden.png"))) == status
        entries = await door.entries(1 if reason else 0)
    assert [entry.rule or entry.cause for entry in entries] == ([reason] if reason else [])
    assert sum(host.hits.values()) == fetched


async def test_the_entry_names_the_one_who_was_refused(config: Configure, engine: Engine) -> None:
    async with opened(config(rules=BY_HOST), engine) as door:
        assert await door.deliver([by(GOOD), by(SPAM)]) == 403
        (entry,) = await door.entries(1)
    assert entry.host == "spam.example"


# -- what is fetched and what is not -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("image", "status"), [(FORBIDDEN, 202), (ORDINARY, 200)])
async def test_an_image_in_the_activity_itself_is_judged(
    config: Configure, engine: Engine, image: bytes, status: int
) -> None:
    url = f"data:image/png;base64,{base64.b64encode(image).decode()}"
    async with opened(config(), engine) as door:
        assert await door.deliver(create(url)) == status
        (entry,) = await door.entries(1)
    assert entry.media[0].address is None
    assert len(entry.media[0].url) < 200


@pytest.mark.parametrize(("scan", "status"), [("federation", 200), ("everything", 202)])
async def test_our_own_media_are_skipped_or_fetched_from_the_server_itself(
    config: Configure, engine: Engine, host: pictures.Host, scan: str, status: int
) -> None:
    server = {"upstream": host.url(""), "listen": "127.0.0.1:2", "domains": ["example.org"]}
    ports = {"ports": [443]}
    async with opened(config(server=server, scan=scan, fetch=ports), engine) as door:
        assert await door.deliver(create("https://example.org/forbidden.png")) == status
    assert host.hits["/forbidden.png"] == (scan == "everything")
    if scan == "everything":
        assert b"\r\nHost: example.org\r\n" in host.heads["/forbidden.png"]


# -- who sends ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("when", "status"), [({"address": "192.0.2.0/24"}, 403), ({"not": {"address": "192.0.2.7"}}, 200)]
)
async def test_a_rule_on_the_address_of_who_brings_it(
    config: Configure, engine: Engine, when: dict[str, object], status: int
) -> None:
    """Of who stands behind the admin's own proxy, also in an activity so large that it is read aside."""
    rules = [{"name": "there", "when": when, "do": "reject"}]
    async with opened(config(rules=rules), engine) as door:
        for padding in ("", "x" * (16 << 10)):
            assert await door.deliver(create(summary=padding), ("X-Forwarded-For", "192.0.2.7")) == status


@pytest.mark.parametrize(
    ("trusted", "headers", "peer"),
    [
        (["127.0.0.1/32"], [("X-Forwarded-For", "203.0.113.5, 198.51.100.7")], "198.51.100.7"),
        (["127.0.0.1/32"], [("Forwarded", "for=203.0.113.5")], "203.0.113.5"),
        (["127.0.0.1/32"], [], "127.0.0.1"),
        ([], [("X-Forwarded-For", "203.0.113.5")], "127.0.0.1"),
    ],
)
async def test_the_sender_in_the_ledger(
    config: Configure,
    engine: Engine,
    host: pictures.Host,
    trusted: list[str],
    headers: list[tuple[str, str]],
    peer: str,
) -> None:
    async with opened(config(server={"trusted_proxies": trusted}), engine) as door:
        assert await door.deliver(create(host.url("/forbidden.png")), *headers) == 202
        (entry,) = await door.entries(1)
    assert entry.peer == peer


@pytest.mark.parametrize(("trusted", "let_in"), [([], 2), (["127.0.0.2/32"], 3)])
async def test_connections_of_one_peer(config: Configure, engine: Engine, trusted: list[str], let_in: int) -> None:
    settings = config(limits={"connections_per_peer": 2}, server={"trusted_proxies": trusted})
    async with opened(settings, engine) as door:
        for turn in range(2):  # those that were refused or have gone are forgotten
            clients = [
                await asyncio.open_connection("127.0.0.1", door.port, local_addr=("127.0.0.2", 0)) for _ in "123"
            ]
            answered = 0
            for reader, writer in clients:
                writer.write(net.post("/inbox", json.dumps(create()).encode()))
                with contextlib.suppress(ConnectionError):
                    answered += (await reader.readline()).startswith(b"HTTP/1.1 200")
            assert (turn, answered) == (turn, let_in)
            assert await door.deliver(create(), local="127.0.0.3") == 200
            for _, writer in clients:
                writer.close()
            await net.until(lambda: not door.inbox._connections)


# -- bounds of time and number -----------------------------------------------------------------------------------------


async def test_deliveries_at_the_bound_and_one_past_it(config: Configure, engine: Engine, host: pictures.Host) -> None:
    gate = asyncio.Event()
    waiting = [host.put(f"/waits{n}.png", ORDINARY, gate=gate) for n in range(2)]
    # Half of them is for those who are not verified, as nobody is here.
    limits = {"deliveries": 4, "unverified": 0.5}
    async with opened(config(limits=limits, budget="60s"), engine) as door, asyncio.TaskGroup() as group:
        held = [group.create_task(door.deliver(create(url))) for url in waiting]
        await net.until(lambda: door.inbox.judging == 2)
        held.append(group.create_task(door.deliver(create(host.url("/ordinary.png")))))
        await net.until(lambda: door.service.delivering.deciding.fair.waiting == 1)
        assert door.inbox.judging == 2
        assert await door.deliver(create()) == 200
        gate.set()
        assert [await task for task in held] == [200, 200, 200]


async def test_who_waits_too_long_for_the_others(config: Configure, engine: Engine, host: pictures.Host) -> None:
    hangs = host.put("/hangs.png", gate=asyncio.Event())
    on = {"busy": "defer", "timeout": "reject"}
    async with (
        opened(config(limits={"deliveries": 1}, budget="500ms", on=on), engine) as door,
        asyncio.TaskGroup() as group,
    ):
        first = group.create_task(door.deliver(create(hangs)))
        await net.until(lambda: door.inbox.judging == 1)
        assert await door.deliver(create(host.url("/ordinary.png"))) in (503, 200)  # 200: its turn came just in time
        assert await first == 403


async def test_the_budget_runs_from_the_end_of_the_request(
    config: Configure, engine: Engine, host: pictures.Host
) -> None:
    gate = asyncio.Event()
    url = host.put("/slow.png", ORDINARY, gate=gate)
    body = json.dumps(create(url)).encode()
    async with opened(config(budget="2s"), engine) as door, net.client(door.port) as client:
        request = net.post("/inbox", body)
        await client.send(request[:-1])
        await asyncio.sleep(2.1)
        await client.send(request[-1:])
        await net.until(lambda: host.hits["/slow.png"] == 1)
        gate.set()
        assert (await client.response())[0] == 200


async def test_a_sender_is_answered_when_the_budget_is_spent(
    config: Configure, engine: Engine, host: pictures.Host
) -> None:
    url = host.put("/hangs.png", gate=asyncio.Event())
    async with opened(config(budget="200ms"), engine) as door:
        began = time.monotonic()
        assert await door.deliver(create(url)) == 202
        assert 0.2 <= time.monotonic() - began < 10
        (entry,) = await door.entries(1)
        assert entry.media[0].message == "not fetched and judged within 0.2 s"
        await net.until(lambda: host.open == 0)


async def test_a_client_that_goes_away_meanwhile_leaves_nothing(
    config: Configure, engine: Engine, host: pictures.Host, caplog: pytest.LogCaptureFixture
) -> None:
    gate = asyncio.Event()
    url = host.put("/slow.png", FORBIDDEN, gate=gate)
    async with opened(config(), engine) as door:
        async with net.client(door.port) as client:
            await client.send(net.post("/inbox", json.dumps(create(url)).encode()))
            await net.until(lambda: door.inbox.judging == 1)
        gate.set()
        await net.until(lambda: not door.inbox.busy)
        (entry,) = await door.entries(1)
        assert entry.action == "drop"
        assert await door.deliver(create(url)) == 202
        assert host.hits["/slow.png"] == 1
    assert not [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")]


# -- a ledger in trouble -----------------------------------------------------------------------------------------------


class _Broken:
    """A ledger's file that cannot be written: another process holds its lock."""

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.execute("BEGIN IMMEDIATE")

    def mend(self) -> None:
        self.connection.execute("ROLLBACK")
        self.connection.close()


@pytest.mark.parametrize(
    ("on", "status", "action", "reason"),
    [
        ("pass", 200, "pass", "ledger_error"),
        ("defer", 503, "defer", "ledger_error"),
        ("drop", 202, "drop", "ledger_error"),
    ],
)
async def test_a_ledger_that_cannot_be_written_is_a_cause(
    config: Configure,
    engine: Engine,
    host: pictures.Host,
    tmp_path: Path,
    on: str,
    status: int,
    action: str,
    reason: str,
) -> None:
    async with opened(config(on={"ledger_error": on}), engine, busy=0.05) as door:
        broken = _Broken(tmp_path / "fediward.db")
        try:
            assert await door.deliver(create(host.url("/ordinary.png"))) == 200
            await net.until(lambda: not door.service.ledger.healthy)
            assert await door.deliver(create(host.url("/ordinary.png"))) == status
            assert await door.deliver(create(host.url("/forbidden.png"))) == 202
            assert await door.deliver(create()) == 200
        finally:
            broken.mend()
        await net.until(lambda: door.service.ledger.healthy, 10)
        entries = await door.entries(3)
    assert [entry.action for entry in entries] == ["pass", action, "drop"]
    assert (entries[1].rule or entries[1].cause) == reason


@pytest.mark.parametrize(("on", "status"), [("pass", 200), ("reject", 403)])
async def test_an_entry_that_finds_no_room_is_a_cause(
    config: Configure, engine: Engine, host: pictures.Host, tmp_path: Path, on: str, status: int
) -> None:
    async with opened(config(on={"ledger_error": on}), engine, queue=1) as door:
        broken = _Broken(tmp_path / "fediward.db")
        try:
            assert await door.deliver(create(host.url("/ordinary.png"))) == 200
            assert await door.deliver(create(host.url("/ordinary.png"))) == status
            assert door.service.ledger.lost == 1
        finally:
            broken.mend()


# -- mode: observe -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [known("drop"), known("reject"), known("defer"), known("record")])
async def test_observe_forwards_at_once_and_writes_what_would_have_been(
    config: Configure, engine: Engine, host: pictures.Host, settings: dict[str, Any]
) -> None:
    gate = asyncio.Event()
    url = host.put("/slow.png", FORBIDDEN, gate=gate)
    async with opened(config(mode="observe", **settings), engine) as door:
        assert await door.deliver(create(url)) == 200
        await door.entries(0)
        gate.set()
        await net.until(lambda: not door.inbox.busy)
        (entry,) = await door.entries(1)
        assert (entry.action, entry.rule, entry.mode) == (settings["rules"][0]["do"], "known", "observe")
        assert door.kept(entry) is None


@pytest.mark.parametrize(
    ("body", "headers", "counted"),
    [
        (b"no JSON", (), {"malformed": 1}),
        (b"{}", (("Content-Encoding", "gzip"),), {"malformed": 1}),
        (gzip.compress(bytes(100_000), mtime=0), (("Content-Encoding", "gzip"),), {"too_large": 1}),
        (b" " * (16 << 10), (), {"malformed": 1}),
        (b" " * ((16 << 10) + 1), (), {"unjudged": 1}),
        (b"x" * 5_000_000, (), {"unjudged": 1}),
        (json.dumps(create()).encode(), (), {"pass": 1}),
        (json.dumps(create(actor=SPAM)).encode(), (), {}),
    ],
)
async def test_observe_refuses_nothing(
    config: Configure, engine: Engine, body: bytes, headers: tuple[tuple[str, str], ...], counted: dict[str, int]
) -> None:
    settings = config(mode="observe", limits={"body": "16KiB"}, rules=BY_HOST)
    for chunked in (False, True):
        async with opened(settings, engine) as door, net.client(door.port) as client:
            request = net.post("/inbox", body, *headers)
            if chunked:
                told = "".join(f"{name}: {value}\r\n" for name, value in headers)
                head = f"POST /inbox HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n{told}\r\n"
                request = head.encode() + net.chunked(*(body[at : at + 9000] for at in range(0, len(body), 9000)))
            await client.send(request)
            assert (await client.response())[0] == 200
            assert door.arrived == [body]
            await net.until(lambda: not door.inbox.busy)
            entries = await door.entries(1 + chunked if not counted else 0)
            assert {entry.rule for entry in entries} <= {"spam"}
            found = await door.counts()
            assert found == {name: count * (1 + chunked) for name, count in counted.items()}


async def test_what_cannot_be_observed_is_counted(config: Configure, engine: Engine, host: pictures.Host) -> None:
    gate = asyncio.Event()
    url = host.put("/slow.png", ORDINARY, gate=gate)
    async with opened(config(mode="observe", limits={"deliveries": 2}), engine) as door:
        for _ in range(3):
            assert await door.deliver(create(url)) == 200
        gate.set()
        await net.until(lambda: not door.inbox.busy)
        await door.entries(2)
        assert await door.counts() == {"unobserved": 1}


# -- the end -----------------------------------------------------------------------------------------------------------


async def test_draining_waits_for_what_is_under_way(config: Configure, engine: Engine, host: pictures.Host) -> None:
    gate = asyncio.Event()
    url = host.put("/slow.png", ORDINARY, gate=gate)
    answering = asyncio.Event()

    async def answer(_: net.Received, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answering.wait()
        writer.write(net.OK)
        await writer.drain()

    async with opened(config(), engine, answer) as door, asyncio.TaskGroup() as group:
        assert await door.inbox.drained(0)
        sent = group.create_task(door.deliver(create(url)))
        await net.until(lambda: door.inbox.judging == 1)
        assert not await door.inbox.drained(0.05)
        gate.set()
        await net.until(lambda: door.arrived != [])
        assert not await door.inbox.drained(0.05)
        answering.set()
        assert await door.inbox.drained(5)
        assert await sent == 200


async def test_every_way_to_end_leaves_nothing_open(config: Configure, engine: Engine, host: pictures.Host) -> None:
    async def refuses(_: net.Received, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async with opened(config(), engine, refuses) as door:
        assert await door.deliver(create()) == 502
        assert await door.deliver(b"no JSON") == 400
        assert await door.deliver(bytes(2 << 20)) == 413
        assert await door.deliver(create(host.url("/forbidden.png"))) == 202
        async with net.client(door.port) as client:
            await client.send(net.post("/inbox", b"x" * 100)[:-50])
            client.writer.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        await net.until(lambda: not door.inbox.busy)
