import asyncio
import io
import json
import socket
import wave
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from addons.doors import reading, upload
from addons.doors.posts import MAX_BYTES
from addons.policy.config import Config
from classifier.engine import Engine
from classifier.settings import ClassifierSettings, DecodeSettings, HashListSettings
from tests import net, pictures
from tests.addons.doors.forms import form, part
from tests.addons.doors.opened import KNOWN, Opened, configured, opened, write_list
from tests.drawing import encode, textured
from tests.filming import film

# One engine for all: starting its processes takes longer than any test here.
pytestmark = pytest.mark.asyncio(loop_scope="module")

FORBIDDEN = encode(textured(1))
SAME_PICTURE = encode(textured(1), "JPEG", quality=85)
ORDINARY = encode(textured(2))
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"/>'
JSON = "application/json"

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
        yield served


@pytest.fixture
def config(tmp_path: Path, hashes: Path, host: pictures.Host) -> Configure:
    return lambda **settings: configured(tmp_path, hashes, host.port, {"scan": "everything", **settings})


async def send(
    door: Opened, body: bytes, content_type: str, *headers: tuple[str, str], path: str = "/api/v1/media"
) -> tuple[int, bytes, bytes]:
    async with net.client(door.port) as client:
        await client.send(net.post(path, body, ("Content-Type", content_type), *headers))
        return await client.response()


async def files(door: Opened, *parts: bytes, headers: tuple[tuple[str, str], ...] = ()) -> tuple[int, bytes, bytes]:
    return await send(door, *form(*parts), *headers)


async def post(door: Opened, **said: Any) -> tuple[int, bytes, bytes]:
    return await send(door, json.dumps(said).encode(), JSON, path="/api/v1/statuses")


def known(action: str) -> dict[str, Any]:
    return {"rules": [{**KNOWN[0], "do": action}]}


# -- the table of outcomes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "image", "status", "action"),
    [
        ({}, ORDINARY, 200, "pass"),
        ({}, FORBIDDEN, 422, "drop"),
        ({}, SAME_PICTURE, 422, "drop"),
        (known("reject"), FORBIDDEN, 422, "reject"),
        (known("strip"), FORBIDDEN, 422, "strip"),
        (known("record"), FORBIDDEN, 200, "record"),
        (known("pass"), FORBIDDEN, 200, "pass"),
        (known("defer"), FORBIDDEN, 503, "defer"),
        ({}, SVG, 422, "drop"),
        ({"on": {"unsupported": "record"}}, SVG, 200, "record"),
        ({}, b"\x89PNG\r\n\x1a\nthis is none", 422, "drop"),
        ({"on": {"undecodable": "defer"}}, b"\x89PNG\r\n\x1a\nthis is none", 503, "defer"),
    ],
)
async def test_outcomes(
    config: Configure, engine: Engine, settings: dict[str, Any], image: bytes, status: int, action: str
) -> None:
    async with opened(config(**settings), engine) as door:
        got, head, body = await files(door, part("file", image, "secret name.png", "image/png"))
        assert got == status
        assert len(door.arrived) == (status == 200)
        [entry] = await door.entries(1)
    assert (entry.door, entry.action, entry.types, entry.peer) == ("upload", action, ("Upload",), "127.0.0.1")
    assert [medium.url for medium in entry.media] == [""]
    assert "secret name" not in repr(entry)
    if status != 200:
        told = json.loads(body)["error"]
        assert f"(decision {entry.id})" in told
        assert "known" not in told
        assert b"cache-control: no-store" in head.lower()


async def test_bytes_go_on_as_they_came(config: Configure, engine: Engine) -> None:
    body, content_type = form(part("file", ORDINARY, "a.png"), part("text", b"\xff\xfe\r\n--"))
    async with opened(config(), engine) as door:
        assert (await send(door, body, content_type))[0] == 200
        async with net.client(door.port) as client:
            head = f"POST /api/v1/media HTTP/1.1\r\nHost: a\r\nContent-Type: {content_type}\r\n"
            await client.send(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n")
            await client.send(net.chunked(body[:100], body[100:]))
            assert (await client.response())[0] == 200
        assert door.arrived == [body, body]


@pytest.mark.parametrize(
    ("parts", "status", "media"),
    [
        ([part("file", ORDINARY, "a.png"), part("thumbnail", FORBIDDEN, "b.png")], 422, 2),
        ([part("file", ORDINARY, "a.png"), part("file", FORBIDDEN, "a.png")], 422, 2),
        ([part("file", FORBIDDEN, "a.txt", "text/plain")], 422, 1),  # by content, not by name
        ([part("file", FORBIDDEN)], 422, 1),  # no file, says the form
        ([part("file", film([textured(1)] * 3), "a.mp4", "video/mp4")], 422, 1),
        ([part("avatar", b"", "", "application/octet-stream")], 200, 0),  # none was chosen
        ([part("file", b"follow,these\r\na@b.example,true", "follows.csv", "text/csv")], 200, 0),
        ([part("text", b"I like <svg> and <img> tags")], 200, 0),
        # Text at its beginning only: ffmpeg, which pict-rs and PeerTube ask, finds the video.
        ([part("file", b"{\x00\x00\x00\x01\x67\x64\x00\x0a", "a.mp4", "video/mp4")], 422, 1),
        ([part("file", b"<html>" + b" " * (1 << 20) + b"\x00\x00\x01\x67", "a.mp4", "video/mp4")], 422, 1),
        ([part("file", "<html>".encode("utf-16-be"), "a.mp4", "video/mp4")], 422, 1),
    ],
)
async def test_every_part_that_is_a_file_or_looks_like_one(
    config: Configure, engine: Engine, parts: list[bytes], status: int, media: int
) -> None:
    async with opened(config(), engine) as door:
        assert (await files(door, *parts))[0] == status
        for entry in await door.entries(1 if media else 0):
            assert entry.media_count == media


@pytest.mark.parametrize(("software", "status"), [("mastodon", 200), ("lemmy", 400)])
async def test_a_sound_is_no_picture(config: Configure, engine: Engine, software: str, status: int) -> None:
    """But where no sounds are taken it is meant to be something else."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(8000))
    async with opened(config(server={"software": software}), engine) as door:
        assert (await files(door, part("file", file.getvalue(), "a.wav", "audio/wav")))[0] == status
        await door.entries(status != 200)


async def test_text_in_a_form_is_looked_at_too(config: Configure, engine: Engine, host: pictures.Host) -> None:
    async with opened(config(server={"software": "pixelfed"}), engine) as door:
        link = host.url("/forbidden.png").encode()
        assert (await files(door, part("caption", b"see ![](" + link + b")"), part("f", ORDINARY, "a.png")))[0] == 422
        [entry] = await door.entries(1)
        assert [medium.kind for medium in entry.media] == ["image", "inline"]


# -- posts -------------------------------------------------------------------------------------------------------------


async def test_posts(config: Configure, engine: Engine, host: pictures.Host) -> None:
    host.put("/article", b"<html>words</html>", headers={"Content-Type": "text/html"})
    async with opened(config(), engine) as door:
        assert (await post(door, status="words alone"))[0] == 200
        assert (await post(door, status=f"see {host.url('/article')}", url=host.url("/article")))[0] == 200
        assert (await post(door, status=f"see {host.url('/ordinary.png')}"))[0] == 200
        status, _, body = await post(door, status=f"see {host.url('/forbidden.png')}")
        assert status == 422
        assert json.loads(body)["error"].startswith("This post was not accepted (decision ")
        told = await door.entries(2)
    assert {entry.types for entry in told} == {("Post",)}


async def test_our_own_media_are_fetched_from_the_server_itself(
    config: Configure, engine: Engine, host: pictures.Host
) -> None:
    settings = {"server": {"upstream": f"http://127.0.0.1:{host.port}"}, "fetch": {"ports": [443]}}
    async with opened(config(**settings), engine) as door:
        assert (await post(door, icon="https://example.org/forbidden.png"))[0] == 422
        assert (await post(door, icon="https://example.org/ordinary.png"))[0] == 200
    assert host.hits == {"/forbidden.png": 1, "/ordinary.png": 1}


async def test_what_is_marked_sensitive(config: Configure, engine: Engine, host: pictures.Host) -> None:
    rules = [{"name": "unmarked", "when": {"hash.ours": 1, "sensitive": False}, "do": "drop"}]
    async with opened(config(rules=rules), engine) as door:
        picture = part("file", FORBIDDEN, "a.png")
        assert (await files(door, picture))[0] == 422
        assert (await files(door, picture, part("isSensitive", b"true")))[0] == 200
        assert (await post(door, icon=host.url("/forbidden.png")))[0] == 422
        assert (await post(door, icon=host.url("/forbidden.png"), sensitive=True))[0] == 200


# -- who it is ---------------------------------------------------------------------------------------------------------


async def test_the_ledger_tells_sessions_apart_and_keeps_no_token(
    config: Configure, engine: Engine, host: pictures.Host
) -> None:
    picture = part("file", FORBIDDEN, "a.png")
    async with opened(config(), engine) as door:
        for headers in (("Authorization", "Bearer one"), ("Cookie", "a=b; jwt=one"), ("Cookie", "session=two")):
            await files(door, picture, headers=(headers,))
        await files(door, picture, part("i", b"one"))
        await post(door, i="two", icon=host.url("/forbidden.png"))
        await files(door, picture)
        entries = sorted(await door.entries(6), key=lambda entry: entry.id)
    one, same, two, form_field, json_field, nobody = [entry.session for entry in entries]
    assert one == same == form_field
    assert two == json_field != one
    assert one is not None
    assert (len(one), nobody) == (32, None)


async def test_whose_address_it_is(config: Configure, engine: Engine) -> None:
    rules = [{"name": "them", "when": {"address": "203.0.113.0/24"}, "do": "reject"}]
    async with opened(config(rules=rules), engine) as door:
        ordinary = part("file", ORDINARY, "a.png")
        assert (await files(door, ordinary, headers=(("X-Forwarded-For", "203.0.113.7"),)))[0] == 422
        assert (await files(door, ordinary, headers=(("X-Forwarded-For", "198.51.100.7"),)))[0] == 200
        assert {entry.peer for entry in await door.entries(2)} == {"198.51.100.7", "203.0.113.7"}


async def test_a_contact_is_named(config: Configure, engine: Engine) -> None:
    async with opened(config(doors={"upload": {"contact": "admin@example.org"}}), engine) as door:
        _, _, body = await files(door, part("file", FORBIDDEN, "a.png"))
        assert json.loads(body)["error"].endswith(" Ask admin@example.org.")


# -- bounds ------------------------------------------------------------------------------------------------------------

SMALL = {"doors": {"upload": {"max_bytes": "64KiB"}}}


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(
    ("settings", "size", "status"),
    [
        (SMALL, 65536, 200),
        (SMALL, 65537, 413),
        ({**SMALL, "on": {"too_large": "record"}}, 65537, 200),
        ({**SMALL, "on": {"too_large": "defer"}}, 65537, 503),
    ],
)
async def test_the_largest_body(
    config: Configure, engine: Engine, settings: dict[str, Any], size: int, status: int, chunked: bool
) -> None:
    body, content_type = form(part("a", b""))
    body, content_type = form(part("a", b"a" * (size - len(body))))
    head = f"POST /api/v1/media HTTP/1.1\r\nHost: a\r\nContent-Type: {content_type}\r\n"
    async with opened(config(**settings), engine) as door:
        async with net.client(door.port) as client:
            if chunked:
                await client.send(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n")
                await client.send(net.chunked(body[:4000], body[4000:]))
            else:
                await client.send(head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
            assert (await client.response())[0] == status
        assert door.arrived == ([body] if status == 200 else [])
        for entry in await door.entries(size > 65536):
            assert entry.cause == "too_large"
        assert door.inbox.upload is not None
        await net.until(lambda: not door.inbox.busy)
        await net.until(lambda: not waiting(door))


def waiting(door: Opened) -> int:
    """Requests that count for their peer."""
    assert door.inbox.upload is not None
    return door.inbox.upload._peers.total()


async def test_a_post_may_be_smaller_than_an_upload(config: Configure, engine: Engine) -> None:
    async with opened(config(), engine) as door, net.client(door.port) as client:
        head = "POST /api/v1/statuses HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: "
        await client.send(f"{head}{MAX_BYTES + 1}\r\n\r\n".encode())
        assert (await client.response())[0] == 413


@pytest.mark.parametrize(("busy", "status"), [("defer", 503), ("record", 200), ("drop", 422)])
async def test_uploads_leave_half_of_the_memory_to_deliveries(
    config: Configure, engine: Engine, busy: str, status: int
) -> None:
    settings = {"limits": {"memory": "16MiB"}, "fetch": {"max_bytes": "1MiB"}, "on": {"busy": busy}}
    body, content_type = form(part("file", ORDINARY + bytes(9 << 20), "a.png"))
    async with opened(config(**settings), engine) as door:
        assert (await send(door, body, content_type))[0] == status
        assert [len(each) for each in door.arrived] == [len(body)] * (status == 200)
        [entry] = await door.entries(1)
        assert entry.cause == "busy"


async def test_a_length_that_is_only_claimed_takes_no_memory(config: Configure, engine: Engine) -> None:
    _, content_type = form()
    async with opened(config(), engine) as door, net.client(door.port) as client:
        head = f"POST /api/v1/media HTTP/1.1\r\nHost: a\r\nContent-Type: {content_type}\r\n"
        await client.send(f"{head}Content-Length: {90 << 20}\r\nExpect: 100-continue\r\n\r\n".encode())
        assert (await client.response(head_only=True))[0] == 100
        assert door.inbox.rules.budget.used == 0


@pytest.mark.parametrize("large", [False, True])
async def test_expect_is_answered_after_the_head_was_judged(config: Configure, engine: Engine, large: bool) -> None:
    body, content_type = form(part("file", ORDINARY + bytes(65536 if large else 0), "a.png"))
    request = net.post("/api/v1/media", body, ("Content-Type", content_type), ("Expect", "100-continue"))
    async with opened(config(**SMALL), engine) as door, net.client(door.port) as client:
        await client.send(request[: -len(body)])
        if large:
            assert (await client.response())[0] == 413
            return
        assert (await client.response(head_only=True))[0] == 100
        await client.send(body)
        assert (await client.response())[0] == 200


async def test_a_body_that_comes_too_slowly(config: Configure, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "SLOWEST", 1 << 30)
    body, content_type = form(part("file", ORDINARY, "a.png"))
    request = net.post("/api/v1/media", body, ("Content-Type", content_type))
    async with opened(config(limits={"body_time": "300ms"}), engine) as door, net.client(door.port) as client:
        await client.send(request[: -len(body) + 1])
        trickling = asyncio.ensure_future(_trickle(client))
        assert (await client.response())[0] == 408
        trickling.cancel()
        assert door.arrived == []


async def _trickle(client: net.RawClient) -> None:
    while True:
        await asyncio.sleep(0.05)
        await client.send(b"a")


@pytest.mark.parametrize(("count", "status"), [(2, 200), (3, 422)])
async def test_how_many_media_one_request_may_bring(config: Configure, engine: Engine, count: int, status: int) -> None:
    async with opened(config(limits={"media": 2}), engine) as door:
        assert (await files(door, *[part("file", ORDINARY, "a.png")] * count))[0] == status
        [entry] = await door.entries(1)
        assert entry.cause == (None if status == 200 else "too_many")


async def test_how_much_text_a_post_may_have(config: Configure, engine: Engine) -> None:
    async with opened(config(limits={"body": "16KiB"}), engine) as door:
        assert (await post(door, status="a b " * 4096))[0] == 200
        assert (await post(door, status="a b " * 4096 + "c"))[0] == 422
        [entry] = await door.entries(1)
        assert entry.cause == "too_large"


async def test_how_many_requests_one_peer_may_have(config: Configure, engine: Engine, host: pictures.Host) -> None:
    gate = asyncio.Event()
    link = host.put("/gated.png", ORDINARY, gate=gate)
    for proxies, second in ([], 503), (["127.0.0.1/32"], 200):
        gate.clear()
        async with opened(config(server={"trusted_proxies": proxies}), engine) as door:
            assert door.inbox.upload is not None
            door.inbox.upload.rules = upload.UploadRules(
                everything=True, trusted_proxies=door.inbox.upload.rules.trusted_proxies, per_peer=1
            )
            first = asyncio.ensure_future(post(door, icon=link))
            await net.until(lambda: host.hits["/gated.png"] > 0)
            assert (await post(door, status="words"))[0] == second
            gate.set()
            assert (await first)[0] == 200
            assert (await post(door, status="words"))[0] == 200
            host.hits.clear()


async def test_undecided_by_the_deadline_is_503(config: Configure, engine: Engine, host: pictures.Host) -> None:
    gate = asyncio.Event()
    link = host.put("/slow.png", FORBIDDEN, gate=gate)
    async with opened(config(doors={"upload": {"deadline": "300ms"}}), engine) as door:
        status, head, body = await post(door, icon=link)
        assert status == 503
        assert b"cache-control: no-store" in head.lower()
        assert "try again" in json.loads(body)["error"]
        gate.set()
        await net.until(lambda: door.service.judge.in_flight == 0)
        assert (await post(door, icon=link))[0] == 422


# -- what cannot be read -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "content_type", "headers", "status"),
    [
        (b"nonsense", "multipart/form-data; boundary=x", (), 400),
        (b"nonsense", "multipart/form-data", (), 400),
        (b"nonsense", "multipart/related; boundary=x", (), 400),
        (b"{", JSON, (), 400),
        (b"[" * 100 + b"]" * 100, JSON, (), 400),
        (b"a=b&" * 1001, "application/x-www-form-urlencoded", (), 400),
        (b"{}", JSON, (("Content-Type", JSON),), 400),
        (b"{}", JSON, (("Content-Encoding", "gzip"),), 415),
        (b"{}", JSON, (("Content-Encoding", "identity"), ("Content-Encoding", "br")), 415),
        (b"{}", JSON, (("Content-Encoding", "identity"),), 200),
    ],
)
async def test_what_servers_could_read_differently(
    config: Configure, engine: Engine, body: bytes, content_type: str, headers: tuple[Any, ...], status: int
) -> None:
    async with opened(config(), engine) as door:
        got, _, told = await send(door, body, content_type, *headers, path="/api/v1/statuses")
        assert got == status
        assert status == 200 or isinstance(json.loads(told)["error"], str)
        assert len(door.arrived) == (status == 200)
        assert door.inbox.rules.budget.used == 0


async def test_a_large_body_is_read_aside(config: Configure, engine: Engine) -> None:
    body, content_type = form(part("file", ORDINARY, "a.png"), part("text", b"a" * 10_000))
    async with opened(config(), engine) as door:
        assert (await send(door, body, content_type))[0] == 200
        assert door.inbox.upload is not None
        door.inbox.upload.uploads._readers = reading.Readers(waiting=0)
        assert (await send(door, body, content_type))[0] == 503
        assert {entry.cause for entry in await door.entries(2)} == {None, "busy"}


async def test_the_client_goes_while_it_is_judged(config: Configure, engine: Engine, host: pictures.Host) -> None:
    gate = asyncio.Event()
    link = host.put("/gone.png", ORDINARY, gate=gate)
    async with opened(config(), engine) as door:
        body = json.dumps({"icon": link}).encode()
        async with net.client(door.port) as client:
            await client.send(net.post("/api/v1/statuses", body, ("Content-Type", JSON)))
            await net.until(lambda: host.hits["/gone.png"] > 0)
            client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.writer.transport.abort()
        gate.set()
        await net.until(lambda: not door.inbox.busy)
