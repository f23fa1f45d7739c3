"""Whatever pict-rs reads as a remote image's URL, however it is spelled, is what the door rewrites."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from addons.doors.http1 import Bounds
from addons.doors.layers import Rules
from addons.doors.look_back import LookBack
from addons.doors.pictrs import Pictrs
from addons.fetching.budget import MemoryBudget
from addons.judging.stable import StableUrls
from tests import net
from tests.drawing import encode, textured
from tests.pictrs import PictRs, pict_rs

PICTURE = encode(textured(1))
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n%s" % (len(PICTURE), PICTURE)
NOTHING = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
SECONDS = 60.0

# What pict-rs downloads, when asked for it without a door. {} is the image's URL, {e} the same percent-encoded.
UNDERSTOOD = [
    "GET /image/original?proxy={}",
    "GET /image/original?proxy={e}",
    "GET /image/download?url={}",
    "GET /image/download?url={e}&resize=20",
    "GET /image/download?url={}&backgrounded=true",
    "GET /image/download?proxy=a&url={}",
    "GET /image/blurhash?proxy={}",
    "GET /image/process.png?proxy={}&resize=20",
    "GET /image/process.png?thumbnail=8&proxy={}",
    "GET /%69mage/original?proxy={}",
    "GET /image/%6Frigina%6C?proxy={}",
    "GET /image/original?%70r%6Fxy={}",
    "GET /image/original?a&&proxy={}&",
    "GET /image/original?alias=a.png&proxy={}",
    "GET http://pict-rs/image/original?proxy={}",
    "GET /image/original?proxy=+{}+",
    "GET /image/original?proxy=%0A{}%09",
]
# What it does not, with or without one.
NOT_UNDERSTOOD = [
    "GET //image/original?proxy={}",
    "GET /./image/original?proxy={}",
    "GET /image/../image/original?proxy={}",
    "GET /image//original?proxy={}",
    "GET /image/original/?proxy={}",
    "GET /IMAGE/original?proxy={}",
    "GET /image/original;a?proxy={}",
    "GET /image/original?Proxy={}",
    "GET /image/original?PROXY={}&URL={}",
    "GET /image/original?url={}",
    "GET /image/original?proxy={}&proxy={}",
    "GET /image/original?proxy[]={}",
    "GET /image/original?a;proxy={}",
    "GET /image/original?a#&proxy={}",
    "GET /image/original%3Fproxy={}",
    "GET /image/original?a=%26proxy={}",
    "GET /image/original?alias=a.png?proxy={}",
    "GET /image/download?url={}&url={}",
    "GET /image/download?proxy={}",
    "POST /image/download?url={}",
    "HEAD /image/original?proxy={}",
    "HEAD /image/process.png?proxy={}",
    "GET /image/process_backgrounded.png?proxy={}",
    "GET /image/details/original?proxy={}",
    "GET /image/details/process.png?proxy={}&resize=20",
    "POST /internal/purge?proxy={}",
    "POST /internal/delete?proxy={}",
    "GET /internal/aliases?proxy={}",
    "GET /internal/identifier?proxy={}",
    "GET /image/process.png?src=a.png&proxy={}",
    "GET /image/process.png?proxy={}&resize=20&src",
]


@dataclass
class Place:
    """A pict-rs and its door, the remote host, and the origin that answers in its stead."""

    pict_rs: PictRs
    remote: net.Upstream
    origin: net.Upstream
    urls: StableUrls
    port: int
    count: int = 0

    async def ask(self, spelling: str, port: int) -> tuple[int, str]:
        """Ask for another image; the status, and the URL that was meant."""
        self.count += 1
        url = f"http://127.0.0.1:{self.remote.port}/{self.count}.png"
        target = spelling.replace("{e}", quote(url, safe="")).replace("{}", url)
        async with net.client(port) as client:
            await client.send(f"{target} HTTP/1.1\r\nHost: pict-rs\r\nX-Api-Token: key\r\n\r\n".encode())
            head_only = spelling.startswith("HEAD")
            return (await client.response(timeout=SECONDS, head_only=head_only))[0], url

    def downloads(self) -> list[bytes]:
        """What pict-rs asked the remote host for."""
        return [request.line for request in self.remote.requests]


@contextlib.asynccontextmanager
async def place(folder: Path, answer: bytes = ANSWER, *, look_back: bool = False) -> AsyncIterator[Place]:
    rules = Rules(Bounds(), MemoryBudget(1 << 20), lambda flow: None)
    async with net.upstream(answer) as remote, net.upstream(answer) as origin, pict_rs(folder, api_key="key") as kept:
        urls = StableUrls(b"key", f"http://127.0.0.1:{origin.port}")
        addon = Pictrs(rules, urls, LookBack(kept.url) if look_back else None)
        async with net.running(kept.port, [addon]) as port:
            yield Place(kept, remote, origin, urls, port)


async def test_what_pict_rs_understands_reaches_it_as_a_stable_url(tmp_path: Path) -> None:
    async with place(tmp_path, NOTHING) as there:
        for spelling in UNDERSTOOD:
            without, _ = await there.ask(spelling, there.pict_rs.port)
            assert len(there.downloads()) == 1, f"not what pict-rs understands: {spelling}"
            there.remote.requests.clear()
            before = len(there.origin.requests)
            status, url = await there.ask(spelling, there.port)
            assert (status, without) == (500, 500), spelling
            assert there.downloads() == [], spelling
            [request] = there.origin.requests[before:]
            original = there.urls.original(request.line.split(b" ")[1].decode())
            assert original is not None
            assert url in original, spelling


async def test_what_it_does_not_understand_leads_nowhere(tmp_path: Path) -> None:
    async with place(tmp_path) as there:
        for spelling in NOT_UNDERSTOOD:
            for port in (there.pict_rs.port, there.port):
                await there.ask(spelling, port)
                assert (there.downloads(), there.origin.requests) == ([], []), spelling


async def test_a_pair_from_before_is_still_served_and_none_is_added(tmp_path: Path) -> None:
    async with place(tmp_path, look_back=True) as there:
        status, url = await there.ask("GET /image/original?proxy={}", there.pict_rs.port)
        assert (status, len(there.downloads())) == (200, 1)
        old = url
        for target in (
            f"GET /image/original?proxy={old}",
            f"HEAD /image/original?proxy={old}",
            f"GET /image/blurhash?proxy={old}",
            f"GET /image/details/original?proxy={old}",
            f"GET /image/process.png?proxy={old}&resize=20",
            f"GET /image/details/process.png?proxy={old}&resize=20",
            f"GET /image/process_backgrounded.png?proxy={old}&resize=10",
            f"GET /internal/aliases?proxy={old}",
            f"GET /internal/identifier?proxy={old}",
        ):
            status, _ = await there.ask(target, there.port)
            assert status in (200, 202), target
        assert there.origin.requests == []
        status, new = await there.ask("GET /image/original?proxy={}", there.port)
        assert (status, len(there.origin.requests)) == (200, 1)
        status, _ = await there.ask(f"POST /internal/delete?proxy={old}", there.port)
        assert status == 200
        # Once it is gone (pict-rs deletes in the background), it comes from the origin like any other.
        async with asyncio.timeout(SECONDS):
            while (await there.ask(f"HEAD /image/original?proxy={old}", there.pict_rs.port))[0] != 404:
                pass
        status, _ = await there.ask(f"GET /image/original?proxy={old}", there.port)
        assert (status, len(there.origin.requests)) == (200, 2)
        assert len(there.downloads()) == 1
        assert new != old


async def test_a_pair_with_a_fragment_does_not_stand_for_the_url_without(tmp_path: Path) -> None:
    """pict-rs keeps pairs with fragments, but cuts a request's off: it would download what it does not have."""
    async with place(tmp_path, look_back=True) as there:
        status, old = await there.ask("GET /image/original?proxy={}%23a", there.pict_rs.port)
        assert (status, len(there.downloads())) == (200, 1)
        assert (await there.ask(f"GET /image/original?proxy={old}%23a", there.port))[0] == 200
        assert (await there.ask(f"GET /image/original?proxy={old}#a", there.port))[0] == 400
        assert (len(there.downloads()), there.origin.requests) == (1, [])
        assert (await there.ask(f"GET /image/original?proxy={old}#a", there.pict_rs.port))[0] == 200
        assert len(there.downloads()) == 2


async def test_no_probe_downloads(tmp_path: Path) -> None:
    async with place(tmp_path) as there:
        look_back = LookBack(there.pict_rs.url)
        assert not await look_back.finds(f"http://127.0.0.1:{there.remote.port}/a.png")
        await look_back.close()
        assert there.downloads() == []
