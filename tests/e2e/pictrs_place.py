"""A real pict-rs behind the pict-rs door, with the origin that it fetches from and a host of pictures before it."""

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from addons.judging.stable import StableUrls
from addons.ledger.entry import Entry
from addons.ledger.reading import Reader, Search
from addons.opening import Doors, plans
from addons.service import Service
from addons.web.serving import Listener
from tests import net, pictures
from tests.addons.doors.opened import configured, write_list
from tests.drawing import encode, textured
from tests.pictrs import PictRs, pict_rs
from tests.processes import free_port

FORBIDDEN, ORDINARY = encode(textured(1)), encode(textured(2))
SECONDS = 60.0
"""For one answer, on a machine where other work shares the processor."""
API_KEY = "key"


def pixels(image: bytes) -> bytes:
    """pict-rs takes metadata away and may write a file anew: what is seen stays."""
    return Image.open(io.BytesIO(image)).convert("RGB").tobytes()


@dataclass
class Place:
    """A pict-rs, the doors in front of it, and a host of pictures out in the fediverse."""

    pict_rs: PictRs
    host: pictures.Host
    service: Service
    urls: StableUrls
    client: httpx.AsyncClient
    origin: Listener
    inbox: int

    async def get(self, path: str, **query: str) -> httpx.Response:
        """As Lemmy asks."""
        return await self.client.get(path, params=query)

    async def post(self, path: str, **query: str) -> httpx.Response:
        return await self.client.post(path, params=query, headers={"X-Api-Token": API_KEY})

    async def upload(self, data: bytes, path: str = "/image") -> httpx.Response:
        return await self.client.post(path, files={"images[]": ("a.png", data, "image/png")})

    async def stored(self, answer: httpx.Response) -> bytes:
        """The file that an answer names, from pict-rs itself."""
        assert answer.status_code in (200, 201), answer.text
        name = answer.json()["files"][0]["file"]
        return (await self.client.get(f"{self.pict_rs.url}/image/original/{name}")).content

    async def gone(self, url: str) -> None:
        """Wait until pict-rs, which deletes in the background, has no such pair."""
        async with asyncio.timeout(SECONDS):
            while (await self.get("/image/details/original", proxy=url)).status_code != 404:  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async def again(self, path: str, **query: str) -> httpx.Response:
        """Ask until it is there."""
        async with asyncio.timeout(SECONDS):
            while (answer := await self.get(path, **query)).status_code != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            return answer

    async def entries(self, url: str) -> list[Entry]:
        """The ledger's entries about an image; "" stands for what has no URL."""
        await net.until(lambda: self.service.ledger.waiting == 0, SECONDS)
        with Reader.open(self.service.config.ledger.url) as reader:
            found = reader.find(Search(limit=1000))
        return [entry for entry in found if any(one.url == url for one in entry.media)]


@contextlib.asynccontextmanager
async def place(
    folder: Path,
    *,
    media: int | None = None,
    address: str = "127.0.0.1",
    allow_local: bool = True,
    isolated: bool = False,
    origin: bool = True,
    **settings: Any,
) -> AsyncIterator[Place]:
    """``media``: the port of another host than the one made here. ``origin``: whether it is open."""
    async with contextlib.AsyncExitStack() as stack:
        host = await stack.enter_async_context(pictures.host(address))
        kept = await stack.enter_async_context(
            pict_rs(folder / "pict-rs", allow_local=allow_local, api_key=API_KEY, isolated=isolated)
        )
        inbox, door, at = (free_port() for _ in range(3))
        server = await stack.enter_async_context(net.upstream(net.OK))
        pictrs = {
            "listen": f"127.0.0.1:{door}",
            "upstream": kept.url,
            "origin": f"127.0.0.1:{at}",
            "origin_url": f"http://127.0.0.1:{at}",
            "deadline": "20s",
        }
        whole: dict[str, Any] = {
            "server": {
                "listen": f"127.0.0.1:{inbox}",
                "upstream": f"http://127.0.0.1:{server.port}",
                "software": "lemmy",
            },
            "doors": {"pictrs": pictrs | settings.pop("pictrs", {})},
            "budget": "20s",
            "look_ahead": {"links": "never", "objects": "never"},
        }
        hashes = write_list(folder / "hashes.csv", FORBIDDEN)
        config = configured(folder, hashes, media or host.port, whole | settings)
        service = Service.start(config)
        stack.push_async_callback(service.close)
        planned = plans(service)
        [listener] = [plan.listener for plan in planned if plan.name == "origin"]
        doors = Doors([plan for plan in planned if origin or plan.listener is not listener], config.limits.idle_time)
        stack.push_async_callback(doors.close)
        await doors.open()
        client = await stack.enter_async_context(
            httpx.AsyncClient(trust_env=False, timeout=SECONDS, base_url=f"http://127.0.0.1:{door}")
        )
        assert service.urls is not None
        assert listener is not None
        yield Place(kept, host, service, service.urls, client, listener, inbox)
