"""A real pict-rs behind its door where something is other than usual: settings, hosts, what is not there."""

import asyncio
from pathlib import Path

import pytest

from tests import net
from tests.addons.doors.opened import create
from tests.e2e.pictrs_place import API_KEY, FORBIDDEN, ORDINARY, pixels, place


class Cloak:
    """A host that shows each of these pictures once, in turn, and the last of them for ever."""

    def __init__(self, *shown: bytes) -> None:
        self.shown = list(shown)
        self.heads: list[bytes] = []

    async def __call__(self, request: net.Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append(request.head)
        data = self.shown.pop(0) if len(self.shown) > 1 else self.shown[0]
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n" % len(data) + data)
        await writer.drain()


async def test_a_refused_image_is_not_stored(tmp_path: Path) -> None:
    rules = [{"name": "known", "when": {"hash.ours": 1}, "do": "reject"}]
    async with place(tmp_path, rules=rules) as there:
        url = there.host.put("/a.png", FORBIDDEN)
        answer = await there.get("/image/original", proxy=url)
        assert (answer.status_code, answer.json()["code"]) == (500, "download-file-error")
        assert "451" in answer.json()["msg"]
        assert (await there.get("/image/details/original", proxy=url)).status_code == 404


async def test_what_takes_too_long_is_stored_by_a_later_request(tmp_path: Path) -> None:
    async with place(tmp_path, pictrs={"deadline": "100ms"}) as there:
        gate = asyncio.Event()
        url = there.host.put("/slow.png", ORDINARY, gate=gate)
        answer = await there.get("/image/original", proxy=url)
        assert answer.status_code == 500
        assert "503" in answer.json()["msg"]
        gate.set()
        assert pixels((await there.again("/image/original", proxy=url)).content) == pixels(ORDINARY)


async def test_without_the_origin_nothing_is_fetched(tmp_path: Path) -> None:
    async with place(tmp_path, origin=False) as there:
        url = there.host.put("/a.png", ORDINARY)
        answer = await there.get("/image/original", proxy=url)
        assert (answer.status_code, answer.json()["code"]) == (500, "http-client-error")
        assert there.host.hits.total() == 0
        await there.origin.open()
        try:
            assert (await there.get("/image/original", proxy=url)).status_code == 200
        finally:
            await there.origin.close()


async def test_pict_rs_as_it_is_by_default_refuses_and_asks_nobody(tmp_path: Path) -> None:
    """So it has to be told ``client.allow_local_connections``, where the origin's address is a private one."""
    async with place(tmp_path, allow_local=False) as there:
        url = there.host.put("/a.png", ORDINARY)
        for answer in (await there.get("/image/original", proxy=url), await there.get("/image/download", url=url)):
            assert answer.status_code == 400
            assert "local address" in answer.json()["msg"]
        assert there.host.hits.total() == 0


async def test_pict_rs_needs_no_way_to_the_world(tmp_path: Path) -> None:
    async with place(tmp_path, address="127.0.0.2", isolated=True) as there:
        there.host.put("/a.png", ORDINARY)
        url = f"http://127.0.0.2:{there.host.port}/a.png"
        alone = await there.client.get(f"{there.pict_rs.url}/image/original", params={"proxy": url})
        assert (alone.status_code, there.host.hits.total()) == (500, 0)
        answer = await there.get("/image/original", proxy=url)
        assert (answer.status_code, pixels(answer.content)) == (200, pixels(ORDINARY))


@pytest.mark.parametrize("delivered", [True, False])
async def test_a_cloaking_host_has_the_judged_bytes_stored(tmp_path: Path, delivered: bool) -> None:
    """It shows a scanner one picture, and the next who asks another: each is judged as it comes."""
    cloak = Cloak(ORDINARY, FORBIDDEN)
    async with net.upstream(cloak) as remote, place(tmp_path, media=remote.port) as there:
        url = f"http://127.0.0.1:{remote.port}/a.png"
        if delivered:
            headers = {"Content-Type": "application/activity+json"}
            there_ = f"http://127.0.0.1:{there.inbox}/inbox"
            assert (await there.client.post(there_, json=create(url), headers=headers)).status_code == 200
        answer = await there.get("/image/original", proxy=url)
        assert answer.status_code == 200
        if delivered:
            assert pixels(answer.content) not in (pixels(FORBIDDEN), pixels(ORDINARY))
        else:
            assert pixels(answer.content) == pixels(ORDINARY)
        assert len(cloak.heads) == 1 + delivered
        assert not any(b"pict-rs" in head for head in cloak.heads)


async def test_uploads_are_judged_where_everything_is_scanned(tmp_path: Path) -> None:
    async with place(tmp_path, scan="everything") as there:
        there.client.headers["X-Api-Token"] = API_KEY
        for path in ("/image", "/%69mage", "/image/backgrounded", "/internal/import"):
            refused = await there.upload(FORBIDDEN, path)
            assert 400 <= refused.status_code < 500
            assert "msg" in refused.json()
        done = await there.upload(ORDINARY)
        assert pixels(await there.stored(done)) == pixels(ORDINARY)
        begun = (await there.upload(ORDINARY, "/image/backgrounded")).json()["uploads"]
        done = await there.again("/image/backgrounded/claim", upload_id=begun[0]["upload_id"])
        assert pixels(await there.stored(done)) == pixels(ORDINARY)
