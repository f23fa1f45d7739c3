import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from addons.judging.placeholders import placeholder
from addons.ledger.standings import Place
from addons.policy.words import Action
from addons.web.validate import Validate, ValidateSettings
from classifier.engine import Engine
from tests import net
from tests.addons.doors.opened import KNOWN
from tests.addons.web.parts import FORBIDDEN, ORDINARY, SAME_PICTURE, Held, Parts, listening, parts, sha256
from tests.drawing import encode, textured
from tests.filming import film, moving

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECRET = "0123456789abcdef_-"


@dataclass(frozen=True, slots=True)
class Opened:
    """A running validation."""

    app: Validate
    parts: Parts
    port: int

    async def post(self, data: bytes, path: str = "/validate", method: str = "POST") -> tuple[int, bytes, Any]:
        """As pict-rs does: in chunks, without a length. Status, head (lower case) and what the body says."""
        async with net.client(self.port) as client:
            await client.send(head(path, method) + net.chunked(*pieces(data)))
            status, told, body = await client.response()
            return status, told.lower(), json.loads(body)


type Open = Callable[..., AbstractAsyncContextManager[Opened]]


def head(path: str = "/validate", method: str = "POST") -> bytes:
    """As pict-rs 0.5.25 sends it (reference section 8b)."""
    lines = [
        f"{method} {path} HTTP/1.1",
        "content-type: image/png",
        "user-agent: pict-rs 0.5.25",
        "transfer-encoding: chunked",
        "host: 127.0.0.1",
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def pieces(data: bytes) -> list[bytes]:
    return [data[start : start + 10_000] for start in range(0, len(data), 10_000)]


@pytest.fixture
def open_validate(tmp_path: Path, hashes: Path, engine: Engine) -> Open:
    @contextlib.asynccontextmanager
    async def opening(
        deadline: float = 20, judges: bool = True, secret: str | None = None, **settings: Any
    ) -> AsyncIterator[Opened]:
        async with parts(tmp_path, hashes, 80, engine, settings) as made:
            chosen = ValidateSettings(judges, deadline, made.config.fetch.max_bytes, secret)
            app = Validate(made.gate, made.budget, chosen)
            async with listening(app) as port:
                yield Opened(app, made, port)
                await app.afterwards.done()

    return opening


def known(action: str) -> dict[str, Any]:
    return {"rules": [{**KNOWN[0], "do": action}]}


# -- the table of outcomes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "data", "status", "action", "reason"),
    [
        ({}, ORDINARY, 200, "pass", None),
        ({}, FORBIDDEN, 403, "drop", "rule known"),
        ({}, SAME_PICTURE, 403, "drop", "rule known"),  # re-encoded, as pict-rs sends it
        (known("strip"), FORBIDDEN, 403, "strip", "rule known"),
        (known("reject"), FORBIDDEN, 403, "reject", "rule known"),
        (known("defer"), FORBIDDEN, 503, "defer", "rule known"),
        (known("record"), FORBIDDEN, 200, "record", "rule known"),
        (known("pass"), FORBIDDEN, 200, "pass", "rule known"),
        ({}, FORBIDDEN[:60], 403, "drop", "cause undecodable"),
        ({"on": {"undecodable": "defer"}}, FORBIDDEN[:60], 503, "defer", "cause undecodable"),
        ({"on": {"undecodable": "record"}}, FORBIDDEN[:60], 200, "record", "cause undecodable"),
        ({}, b"<!doctype html><html></html>", 403, "drop", "cause unsupported"),
        ({}, b"", 403, "drop", "cause undecodable"),
        ({"fetch": {"max_bytes": "64KiB"}}, bytes(65_537), 413, "drop", "cause too_large"),
        ({"fetch": {"max_bytes": "64KiB"}}, bytes(65_536), 403, "drop", "cause unsupported"),
        (
            {"fetch": {"max_bytes": "64KiB"}, "on": {"too_large": "defer"}},
            bytes(70_000),
            503,
            "defer",
            "cause too_large",
        ),
        (
            {"fetch": {"max_bytes": "64KiB"}, "on": {"too_large": "record"}},
            bytes(70_000),
            200,
            "record",
            "cause too_large",
        ),
    ],
)
async def test_what_is_answered(
    open_validate: Open, settings: dict[str, Any], data: bytes, status: int, action: str, reason: str | None
) -> None:
    async with open_validate(**settings) as opened:
        found, told, said = await opened.post(data)
        [entry] = await opened.parts.entries(1)
        assert (found, entry.action, entry.door, entry.peer) == (status, action, "validate", "127.0.0.1")
        assert b"\r\nx-fediward-decision: " + entry.id.encode() in told
        assert b"\r\nx-fediward-reason: " + (reason or "nothing applied").encode() in told
        if status == 200:
            assert said == {"message": "accepted"}
        else:
            assert (said["reason"], said["decision"]) == (reason, entry.id)
        assert (b"cache-control: no-store" in told) == (status == 503)


async def test_videos_too(open_validate: Open, engine: Engine) -> None:
    async with open_validate() as opened:
        video = film(moving(1))
        assert (await opened.post(video))[0] == 200
        [entry] = await opened.parts.entries(1)
        assert [medium.media_type for medium in entry.media] == ["video/mp4"]
        opened.parts.ledger.standings.block([Place(None, sha256(video))], Action.DROP, "0123456789")
        status, told, _ = await opened.post(video)
        assert (status, b"x-fediward-reason: blocked by 0123456789" in told) == (403, True)


async def test_what_was_settled_before(open_validate: Open) -> None:
    async with open_validate() as opened:
        opened.parts.ledger.standings.allow([sha256(FORBIDDEN)], "0123456789")
        assert (await opened.post(FORBIDDEN))[0] == 200


@pytest.mark.parametrize("media_type", ["image/png", "image/jpeg", "image/webp", "image/gif", "video/mp4"])
async def test_our_own_placeholders_are_accepted(open_validate: Open, media_type: str) -> None:
    async with open_validate() as opened:
        data, _ = await asyncio.to_thread(placeholder, media_type, 300, 200, "https://remote.example/a")
        assert (await opened.post(data))[0] == 200


async def test_a_rule_on_the_context_alone_needs_no_judging(open_validate: Open) -> None:
    rules = [{"name": "nobody", "when": {"door": "validate", "address": "127.0.0.0/8"}, "do": "reject"}]
    async with open_validate(rules=rules) as opened:
        status, told, said = await opened.post(ORDINARY)
        assert (status, said["reason"]) == (403, "rule nobody")
        assert opened.app.gate.judge.in_flight == 0
    rules = [{"name": "café \x1b[31m", "when": {"door": "validate"}, "do": "pass"}]
    async with open_validate(rules=rules) as opened:
        status, told, _ = await opened.post(FORBIDDEN)
        assert (status, b"x-fediward-reason: rule caf? ?[31m\r\n" in told) == (200, True)


async def test_a_length_may_be_said_too(open_validate: Open) -> None:
    async with open_validate() as opened, net.client(opened.port) as client:
        for data, status in ((ORDINARY, 200), (FORBIDDEN, 403), (ORDINARY, 200)):
            await client.send(net.post("/validate", data))  # on one connection
            assert (await client.response())[0] == status


# -- paths -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("secret", "cases"),
    [
        (
            None,
            [
                ("/validate", "POST", 403),
                ("/api/v1/scan/IPADDR", "POST", 403),
                ("/api/v1/scan/" + "a" * 200, "POST", 403),
                ("/api/v1/scan/" + "a" * 201, "POST", 404),
                ("/api/v1/scan/", "POST", 404),
                ("/api/v1/scan/a/b", "POST", 404),
                ("/api/v1/pop", "POST", 404),
                ("/validate/", "POST", 404),
                ("/validate/" + SECRET, "POST", 404),
                ("/", "POST", 404),
                ("/%76alidate", "POST", 404),
                ("/validate", "GET", 405),
                ("/validate", "PUT", 405),
            ],
        ),
        (
            SECRET,
            [
                ("/validate/" + SECRET, "POST", 403),
                ("/api/v1/scan/" + SECRET, "POST", 403),
                ("/validate/" + SECRET, "GET", 405),
                ("/validate", "POST", 404),
                ("/validate", "GET", 404),
                ("/validate/" + SECRET[:-1], "POST", 404),
                ("/validate/" + SECRET + "a", "POST", 404),
                ("/validate/" + SECRET.upper(), "POST", 404),
                ("/api/v1/scan/IPADDR", "POST", 404),
                ("/", "POST", 404),
            ],
        ),
    ],
)
async def test_paths_and_methods(open_validate: Open, secret: str | None, cases: list[tuple[str, str, int]]) -> None:
    async with open_validate(secret=secret) as opened:
        for path, method, status in cases:
            found, told, _ = await opened.post(FORBIDDEN, path, method)
            assert found == status, (path, method)
            assert (b"\r\nallow: post\r\n" in told) == (status == 405)
        await opened.parts.entries(sum(status == 403 for _, _, status in cases))


async def test_the_secret_stands_in_no_log(open_validate: Open, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        async with open_validate(secret=SECRET) as opened:
            await opened.post(FORBIDDEN, "/validate/" + SECRET)
            await opened.post(FORBIDDEN, "/validate/" + SECRET, "GET")
            async with net.client(opened.port) as client:
                await client.send(f"POST /validate/{SECRET} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ".encode())
                await client.send(b"chunked\r\n\r\nnonsense\r\n")
                await client.closed()
    assert SECRET not in caplog.text
    assert caplog.records


# -- what judges nothing -----------------------------------------------------------------------------------------------


async def test_where_the_pict_rs_door_judges_all_is_accepted_and_counted(open_validate: Open) -> None:
    async with open_validate(judges=False, fetch={"max_bytes": "64KiB"}) as opened:
        for data in (FORBIDDEN, bytes(1 << 20), b""):
            assert (await opened.post(data))[0] == 200
        assert opened.parts.budget.used == 0
        assert opened.parts.now() == []
        assert opened.parts.counts() == {("validate", "unjudged"): 3}


# -- time and memory ---------------------------------------------------------------------------------------------------


async def test_judging_goes_on_so_that_who_asks_again_finds_it_judged(
    open_validate: Open, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(engine)
    monkeypatch.setattr(engine, "digests", held)
    picture = encode(textured(78))
    async with open_validate(deadline=1) as opened:
        status, told, said = await opened.post(picture)
        assert (status, said["reason"]) == (503, "cause timeout")
        assert b"cache-control: no-store" in told
        assert (held.begun, opened.parts.budget.used) == (1, len(picture))
        held.gate.set()
        await net.until(lambda: opened.parts.budget.used == 0, 20)
    async with open_validate() as opened:
        assert (await opened.post(picture))[0] == 200


@pytest.mark.parametrize(("judges", "status"), [(True, 503), (False, 200)])
async def test_a_body_that_does_not_come(open_validate: Open, judges: bool, status: int) -> None:
    async with open_validate(deadline=0.3, judges=judges) as opened, net.client(opened.port) as client:
        await client.send(head() + b"3\r\nabc\r\n")
        found, told, _ = await client.response()
        assert (found, b"connection: close" in told.lower()) == (status, True)
        assert await client.closed() == b""
        if judges:
            [entry] = await opened.parts.entries(1)
            assert entry.media[0].message == "only 3 bytes came within 0.3 s"


async def test_who_hangs_up_leaves_nothing_behind(open_validate: Open) -> None:
    async with open_validate() as opened:
        async with net.client(opened.port) as client:
            await client.send(head() + b"2710\r\n" + bytes(10_000) + b"\r\n")
            await net.until(lambda: opened.parts.budget.used > 0)
        await net.until(lambda: opened.parts.budget.used == 0)
        assert opened.parts.now() == []


async def test_what_is_too_large_is_read_to_the_end_so_that_the_answer_is_seen(open_validate: Open) -> None:
    async with open_validate(fetch={"max_bytes": "64KiB"}) as opened, net.client(opened.port) as client:
        await client.send(head())
        for _ in range(50):
            await client.send(b"%x\r\n%b\r\n" % (1 << 16, bytes(1 << 16)))
            assert opened.parts.budget.used <= 1 << 16
        await client.send(b"0\r\n\r\n")
        assert (await client.response())[0] == 413
        await client.send(net.post("/validate", ORDINARY))  # and the connection can be used again
        assert (await client.response())[0] == 200


async def test_a_length_that_is_too_large_is_enough(open_validate: Open) -> None:
    async with open_validate(fetch={"max_bytes": "64KiB"}, deadline=0.3) as opened, net.client(opened.port) as client:
        await client.send(b"POST /validate HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\n")
        assert (await client.response())[0] == 413
        [entry] = await opened.parts.entries(1)
        assert entry.media[0].message == "65537 bytes; at most 65536 are judged"


async def test_no_memory_is_busy(open_validate: Open) -> None:
    async with open_validate() as opened, contextlib.AsyncExitStack() as stack:
        budget = opened.parts.budget
        stack.enter_context(budget.take(budget.limit - 20_000))
        status, _, said = await opened.post(ORDINARY)
        assert (status, said["reason"]) == (503, "cause busy")
        assert budget.used == budget.limit - 20_000


# -- mode: observe -----------------------------------------------------------------------------------------------------


async def test_who_observes_accepts_first_and_judges_afterwards(
    open_validate: Open, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(engine)
    monkeypatch.setattr(engine, "digests", held)
    async with open_validate(mode="observe") as opened:
        status, _, said = await opened.post(FORBIDDEN)
        assert (status, said) == (200, {"message": "judged afterwards"})
        assert (opened.parts.now(), opened.parts.budget.used) == ([], len(FORBIDDEN))
        held.gate.set()
        [entry] = await opened.parts.entries(1)
        assert (entry.action, entry.rule, entry.mode) == ("drop", "known", "observe")


async def test_who_observes_refuses_nothing(open_validate: Open) -> None:
    rules = [{"name": "nobody", "when": {"door": "validate"}, "do": "reject"}]
    async with open_validate(mode="observe", rules=rules) as opened:
        assert (await opened.post(ORDINARY))[0] == 200
        [entry] = await opened.parts.entries(1)
        assert (entry.action, entry.mode) == ("reject", "observe")
    async with open_validate(mode="observe", fetch={"max_bytes": "64KiB"}) as opened:
        assert (await opened.post(bytes(70_000)))[0] == 200
        opened.app.afterwards._most = 0
        assert (await opened.post(b"one more"))[0] == 200
        assert opened.parts.budget.used == 0
        assert opened.parts.counts()["validate", "unobserved"] == 2
