import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import pytest_asyncio

from addons.doors.upload_table import ENDPOINTS, FORMS, MULTIPART, PICTRS, Endpoint
from addons.policy.config import Config
from classifier.engine import Engine
from classifier.settings import ClassifierSettings, DecodeSettings, HashListSettings
from tests import net, pictures
from tests.addons.doors.forms import form, part
from tests.addons.doors.opened import KNOWN, Opened, configured, opened, write_list
from tests.drawing import encode, textured

# One engine for all: starting its processes takes longer than any test here.
pytestmark = pytest.mark.asyncio(loop_scope="module")

FORBIDDEN = encode(textured(1))
ORDINARY = encode(textured(2))
JSON = "application/json"
URLENCODED = "application/x-www-form-urlencoded"

type Configure = Callable[..., Config]


@pytest.fixture(scope="module")
def hashes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_list(tmp_path_factory.mktemp("lists") / "hashes.csv", FORBIDDEN)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def engine(hashes: Path) -> AsyncIterator[Engine]:
    lists = (HashListSettings(name="ours", file=hashes),)
    started = Engine.start(
        ClassifierSettings(clip=None, nudity=None, hashes=lists, decode=DecodeSettings(processes=1)), {}
    )
    yield started
    await started.close()


@pytest_asyncio.fixture(loop_scope="module")
async def host() -> AsyncIterator[pictures.Host]:
    async with pictures.host() as served:
        served.put("/forbidden.png", FORBIDDEN)
        served.put("/ordinary.png", ORDINARY)
        served.put("/article", b"<html>words</html>")
        yield served


@pytest.fixture
def config(tmp_path: Path, hashes: Path, host: pictures.Host) -> Configure:
    """Everything is scanned, unless told otherwise."""
    return lambda **settings: configured(tmp_path, hashes, host.port, {"scan": "everything", **settings})


def software(name: str, **more: Any) -> dict[str, Any]:
    return {"server": {"software": name}, **more}


async def send(
    door: Opened, path: str, body: bytes, content_type: str, *headers: tuple[str, str], method: str = "POST"
) -> tuple[int, bytes, bytes]:
    request = net.post(path, body, ("Content-Type", content_type), *headers)
    async with net.client(door.port) as client:
        await client.send(method.encode() + request.removeprefix(b"POST"))
        return await client.response()


async def upload_file(door: Opened, *images: bytes, path: str = "/api/v1/media") -> tuple[int, bytes, bytes]:
    body, content_type = form(*(part("file", image, "a.png", "image/png") for image in images))
    return await send(door, path, body, content_type)


# -- every row of the table ----------------------------------------------------------------------------------------

_EXAMPLES = {
    (name, row): row.path.replace("*", "a/b")
    for row in ENDPOINTS
    for name in row.software
    if row.path.startswith("/") and name != PICTRS
}


@pytest.mark.parametrize("name", sorted({name for name, _ in _EXAMPLES}))
async def test_every_row_judges_what_it_says(config: Configure, engine: Engine, host: pictures.Host, name: str) -> None:
    async with opened(config(**software(name)), engine) as door:
        for (each, row), path in _EXAMPLES.items():
            if each == name:
                await _row(door, host, row, path)


_SPELT = [(key, type) for key in ("url", "text", "avatar") for type in (JSON, URLENCODED)]


async def _row(door: Opened, host: pictures.Host, row: Endpoint, path: str) -> None:
    async def status(body: bytes, content_type: str) -> int:
        return (await send(door, path, body, content_type, method=row.method))[0]

    before = len(door.arrived)
    if row.kind == "unsupported":
        assert await status(b"{}", JSON) == 422
        assert len(door.arrived) == before
        return
    refused = {400, 422}
    bad, good = (form(part("whatever", image, "a.png", "image/png")) for image in (FORBIDDEN, ORDINARY))
    assert await status(*bad) in refused, row
    assert await status(*good) == 200, row
    link = host.url("/forbidden.png")
    # One way of saying it for each row: test_posts.py has all of them.
    key, content_type = _SPELT[ENDPOINTS.index(row) % len(_SPELT)]
    said = {key: {"url": link, "text": f"see ![]({link})", "avatar": data_url(FORBIDDEN)}[key]}
    body = json.dumps({"a": [said]}) if content_type == JSON else urlencode(said)
    assert await status(body.encode(), content_type) in refused, row
    fine = json.dumps({"url": host.url("/ordinary.png"), "text": "words"}).encode()
    assert await status(fine, JSON) == 200, row
    assert door.arrived[before:] == [good[0], fine]


def data_url(image: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(image).decode()}"


@pytest.mark.parametrize("name", ["lemmy", "mastodon", "misskey", "mbin", "peertube", "generic"])
async def test_any_multipart_form_is_judged(config: Configure, engine: Engine, name: str) -> None:
    assert any(row.path == MULTIPART for row in ENDPOINTS)
    async with opened(config(**software(name)), engine) as door:
        assert (await upload_file(door, FORBIDDEN, path="/settings/profile"))[0] in (400, 422)
        assert (await upload_file(door, ORDINARY, path="/settings/profile"))[0] == 200
        assert len(door.arrived) == 1


@pytest.mark.parametrize(
    ("name", "status"), [("mbin", 422), ("piefed", 400), ("pixelfed", 422), ("generic", 422), ("mastodon", 200)]
)
async def test_web_forms_are_posts_where_they_federate(
    config: Configure, engine: Engine, host: pictures.Host, name: str, status: int
) -> None:
    assert any(row.path == FORMS for row in ENDPOINTS)
    body = urlencode({"body": f"![]({host.url('/forbidden.png')})"}).encode()
    async with opened(config(**software(name)), engine) as door:
        assert (await send(door, "/m/cats/t/1/new", body, URLENCODED))[0] == status


async def test_what_is_no_upload_is_streamed(config: Configure, engine: Engine, host: pictures.Host) -> None:
    body = json.dumps({"url": host.url("/forbidden.png")}).encode()
    async with opened(config(**software("mastodon")), engine) as door:
        for method, path in (
            ("POST", "/api/v1/filters"),
            ("GET", "/api/v1/statuses"),
            ("DELETE", "/api/v1/statuses/1"),
        ):
            assert (await send(door, path, body, JSON, method=method))[0] == 200
        assert door.arrived == [body] * 3
        await door.entries(0)


# -- how a path may be spelt, and a type ---------------------------------------------------------------------------


SPELLINGS = [
    "/api/v1/statuses",
    "/api/v1/statuses/",
    "//api//v1/statuses",
    "/api/v1/statuses.json",
    "/API/v1/Statuses",
    "/%61pi/v1/statuse%73",
    "/%2561pi/v1/statuses",
    "/x/../api/./v1/statuses",
    "/api/v1/statuses?x=1",
    "/api/v1/statuses?x=/inbox",
    "/api/v1/statuses%3Fx=/inbox",
    "/api/v1/statuses#/inbox",
    "/api/v1/statuses%3Fx=1",
    "/api\\v1\\statuses",
    "/api/v1/statuses;a=1",
    "http://example.org/api/v1/statuses",
]


@pytest.mark.parametrize("content_type", [JSON, "application/activity+json", "text/plain", ""])
async def test_a_post_is_known_however_it_is_spelt(
    config: Configure, engine: Engine, host: pictures.Host, content_type: str
) -> None:
    body = json.dumps({"status": host.url("/forbidden.png")}).encode()
    async with opened(config(**software("mastodon")), engine) as door:
        for path in SPELLINGS:
            assert (await send(door, path, body, content_type))[0] == 422, path
        assert door.arrived == []


async def test_the_query_is_part_of_a_post(config: Configure, engine: Engine, host: pictures.Host) -> None:
    query = urlencode({"status": host.url("/forbidden.png")})
    async with opened(config(**software("mastodon")), engine) as door:
        assert (await send(door, f"/api/v1/statuses?{query}", b"", URLENCODED))[0] == 422
        assert (await send(door, "/api/v1/statuses?status=words", b"", URLENCODED))[0] == 200


async def test_a_delivery_stays_one_and_an_upload_cannot_pass_for_one(
    config: Configure, engine: Engine, host: pictures.Host
) -> None:
    async with opened(config(), engine) as door:
        body, content_type = form(part("file", FORBIDDEN, "a.png"), boundary="activity+json")
        assert "activity+json" in content_type
        assert (await send(door, "/api/v1/media", body, content_type))[0] == 422
        assert (await send(door, "/inbox", body, content_type))[0] == 400  # it is no activity
        # Deliveries are POSTs: another method's path may end so, with a name that somebody chose.
        for method in ("PUT", "PATCH"):
            for path in ("/inbox", "/api/v1/media/inbox", "/api/v1/media/%69nbox", "/api/v1/media/x.inbox/inbox/"):
                assert (await send(door, path, body, content_type, method=method))[0] == 422, (method, path)
        assert door.arrived == []


# -- scan and mode ---------------------------------------------------------------------------------------------------


async def test_federation_leaves_uploads_and_posts_alone(
    config: Configure, engine: Engine, host: pictures.Host
) -> None:
    blocked = [{"name": "elsewhere", "when": {"address": "127.0.0.9"}, "do": "reject"}, *KNOWN]
    post = json.dumps({"status": host.url("/forbidden.png")}).encode()
    for rules in (KNOWN, blocked):
        async with opened(config(scan="federation", rules=rules), engine) as door:
            assert (door.inbox.upload is None) == (rules is KNOWN)
            assert (await upload_file(door, FORBIDDEN))[0] == 200
            assert (await send(door, "/api/v1/statuses", post, JSON))[0] == 200
            assert len(door.arrived) == 2
            await door.entries(0)
    assert not host.hits


async def test_federation_does_not_wait_for_a_body(config: Configure, engine: Engine) -> None:
    rules = [{"name": "elsewhere", "when": {"address": "127.0.0.9"}, "do": "reject"}]
    body, content_type = form(part("file", ORDINARY, "a.png"))
    reached = asyncio.Event()

    async def answer(request: net.Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(net.OK)

    async with opened(config(scan="federation", rules=rules), engine, answer) as door:
        assert door.inbox.upload is not None
        async with net.client(door.port) as client:
            request = net.post("/api/v1/media", body, ("Content-Type", content_type))
            await client.send(request[:-10])
            await net.until(lambda: bool(door.inbox.rules.budget.used == 0))
            await client.send(request[-10:])
            assert (await client.response())[0] == 200
            reached.set()
        assert door.arrived == [body]


@pytest.mark.parametrize("scan", ["federation", "everything"])
@pytest.mark.parametrize(
    ("when", "uploads", "posts"),
    [
        ({"door": "upload"}, 422, 422),
        ({"door": "upload", "type": "Upload"}, 422, 200),
        ({"door": "upload", "type": "Post"}, 200, 422),
        ({"address": "127.0.0.0/8"}, 422, 422),
        ({"address": "10.0.0.0/8"}, 200, 200),
        ({"door": "inbox"}, 200, 200),
    ],
)
async def test_rules_on_context_refuse_before_the_body_is_read(
    config: Configure, engine: Engine, scan: str, when: dict[str, str], uploads: int, posts: int
) -> None:
    rules = [{"name": "closed", "when": when, "do": "reject"}]
    body, content_type = form(part("file", ORDINARY, "a.png"))
    settings = software("mastodon", scan=scan, rules=rules)
    async with opened(config(**settings), engine) as door:
        for wanted, path, each, sent in (
            (uploads, "/api/v1/media", content_type, body),
            (posts, "/api/v1/statuses", JSON, b'{"status": "words"}'),
        ):
            async with net.client(door.port) as client:
                request = net.post(path, sent, ("Content-Type", each))
                await client.send(request if wanted == 200 else request[: -len(sent)])
                status, head, _ = await client.response()
                assert (status, b"connection: close" in head.lower()) == (wanted, wanted != 200)
        assert len(door.arrived) == [uploads, posts].count(200)
        for entry in await door.entries([uploads, posts].count(422) + (scan == "everything" and uploads == 200)):
            assert (entry.door, entry.peer, entry.host) == ("upload", "127.0.0.1", None)


async def test_a_rule_that_passes_an_address_ends_the_matter(config: Configure, engine: Engine) -> None:
    rules = [{"name": "ours", "when": {"address": "127.0.0.1"}, "do": "pass"}, *KNOWN]
    async with opened(config(rules=rules), engine) as door:
        assert (await upload_file(door, FORBIDDEN))[0] == 200
        await door.entries(0)


async def test_observe_lets_by_at_once_and_judges_afterwards(
    config: Configure, engine: Engine, host: pictures.Host
) -> None:
    gate = asyncio.Event()
    link = host.put("/late.png", FORBIDDEN, gate=gate)
    async with opened(config(mode="observe"), engine) as door:
        assert (await upload_file(door, FORBIDDEN))[0] == 200
        [entry] = await ended(door, 1)
        assert (entry.action, entry.rule, entry.mode) == ("drop", "known", "observe")
        assert (await send(door, "/api/v1/statuses", json.dumps({"status": link}).encode(), JSON))[0] == 200
        assert door.inbox.busy
        gate.set()
        assert len(await ended(door, 2)) == 2
        # what has a delivery's type is held no more than others
        assert (await send(door, "/api/v1/statuses", b"{}", "application/activity+json"))[0] == 200
        # what is malformed, encoded or too large goes by as well
        assert (await send(door, "/api/v1/media", b"nonsense", "multipart/form-data; boundary=x"))[0] == 200
        assert (await send(door, "/api/v1/statuses", b"x", JSON, ("Content-Encoding", "gzip")))[0] == 200
        await net.until(lambda: not door.inbox.busy)
        assert door.inbox.rules.budget.used == 0
        assert len(door.arrived) == 5


async def ended(door: Opened, count: int) -> list[Any]:
    await net.until(lambda: not door.inbox.busy)
    return await door.entries(count)


@pytest.mark.parametrize(
    "settings",
    [
        {"doors": {"upload": {"max_bytes": "64KiB"}}},
        {"limits": {"memory": "16MiB"}, "fetch": {"max_bytes": "1MiB"}},
    ],
)
async def test_observe_keeps_a_bounded_copy(config: Configure, engine: Engine, settings: dict[str, Any]) -> None:
    body, content_type = form(part("file", FORBIDDEN + bytes(8 << 20), "a.png"))
    async with opened(config(mode="observe", **settings), engine) as door:
        assert (await send(door, "/api/v1/media", body, content_type))[0] == 200
        assert [len(each) for each in door.arrived] == [len(body)]
        assert await ended(door, 0) == []
        assert (await door.counts())["unobserved"] == 1


async def test_observe_forgets_the_copy_of_a_client_that_goes(config: Configure, engine: Engine) -> None:
    body, content_type = form(part("file", ORDINARY, "a.png"))
    async with opened(config(mode="observe"), engine) as door:
        async with net.client(door.port) as client:
            await client.send(net.post("/api/v1/media", body, ("Content-Type", content_type))[:-10])
            await net.until(lambda: door.inbox.rules.budget.used > 0)
        await net.until(lambda: door.inbox.rules.budget.used == 0)
        await door.entries(0)
