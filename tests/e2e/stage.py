"""Every door of one ``fediward run``, with a real pict-rs and a server behind them, and a host of pictures before."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.e2e.peers import ACTOR
from tests.e2e.pictures import LARGEST, Json, Palette, PictureHost
from tests.e2e.process import Door, end, fediward, free_port, start
from tests.net import OK, Received, upstream
from tests.pictrs import PictRs, pict_rs

SECONDS = 30.0
"""For one answer, on a machine where other work shares the processor."""
DEADLINE = 20
ACTIVITY = "application/activity+json"
CONFIG = """\
server:
  software: lemmy
  upstream: http://127.0.0.1:{upstream}
  listen: 127.0.0.1:{inbox}
  domains: [example.org]
  image_mode: {mode}
doors:
  fetch: {{listen: "127.0.0.1:{fetch}", deadline: {seconds}s}}
  pictrs:
    listen: 127.0.0.1:{pictrs}
    upstream: http://127.0.0.1:{pictrs_upstream}
    origin: 127.0.0.1:{origin}
    origin_url: http://127.0.0.1:{origin}
    deadline: {seconds}s
    api_key: {api_key}
  validate: {{listen: "127.0.0.1:{validate}", deadline: {seconds}s}}
look_ahead: {{links: always, objects: always}}
scan: {scan}
budget: {seconds}s
fetch: {{allow: [127.0.0.0/8], ports: [{media}], max_bytes: {largest}}}
ledger: {{url: "sqlite:///ledger.db"}}
"""
API_KEY = "e2e"


@dataclass(slots=True)
class Stage:
    """The open doors by their ports, pict-rs, what reached the server, and the host of pictures."""

    running: Door
    ports: dict[str, int]
    pict_rs: PictRs
    reached: list[Received]
    host: PictureHost
    palette: Palette
    client: httpx.AsyncClient
    proxied: httpx.AsyncClient
    """As the server's own requests: by way of the fetch door."""
    count: int = 0

    def at(self, door: str, path: str) -> str:
        """A URL of one of the doors."""
        return f"http://127.0.0.1:{self.ports[door]}{path}"

    async def deliver(self, thing: Json | str, kind: str = "Create") -> tuple[int, bool]:
        """Bring an activity around ``thing`` to the inbox door: the answer, and whether it reached the server whole."""
        self.count += 1
        activity = {"id": f"{ACTOR}/activities/{self.count}", "type": kind, "actor": ACTOR, "object": thing}
        body = json.dumps(activity).encode()
        answer = await self.client.post(
            self.at("inbox", "/inbox"), content=body, headers={"Content-Type": ACTIVITY, "Host": "example.org"}
        )
        return answer.status_code, any(request.body == body for request in self.reached)

    def document(self, thing: Json) -> str:
        """A URL of the remote host that gives an ActivityPub document, and is its id."""
        url = self.host.serve(suffix="")
        thing["id"] = url
        body = json.dumps(thing).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {ACTIVITY}\r\nContent-Length: {len(body)}\r\n\r\n"
        self.host.answers[self.host.path(url)] = [head.encode() + body]
        return url

    def page(self, image: str) -> str:
        """A URL of the remote host that gives a page whose preview is ``image``."""
        body = f'<!doctype html><title>News</title><meta property="og:image" content="{image}">'.encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\n\r\n"
        return self.host.serve(head.encode() + body, suffix="")

    async def command(self, *words: str) -> tuple[int, str]:
        """Run a fediward command on this configuration."""
        return await fediward(*words, "-c", str(self.running.config))


@contextlib.asynccontextmanager
async def stage(
    folder: Path, palette: Palette, *, scan: str = "everything", mode: str = "store"
) -> AsyncIterator[Stage]:
    """Open everything."""
    palette.write_lists(folder)
    host = PictureHost(palette)
    names = ("inbox", "fetch", "pictrs", "origin", "validate")
    async with contextlib.AsyncExitStack() as stack:
        pictures = await stack.enter_async_context(upstream(host))
        behind = await stack.enter_async_context(upstream(OK))
        host.port = pictures.port
        ports = {name: free_port() for name in names}
        validation = f"http://127.0.0.1:{ports['validate']}/validate"
        kept = await stack.enter_async_context(
            pict_rs(folder / "pict-rs", validation=validation, allow_local=True, api_key=API_KEY)
        )
        config = folder / "config.yaml"
        text = CONFIG.format(
            **ports,
            seconds=DEADLINE,
            upstream=behind.port,
            pictrs_upstream=kept.port,
            media=pictures.port,
            largest=LARGEST,
            scan=scan,
            mode=mode,
            api_key=API_KEY,
        )
        config.write_text(text + palette.config)
        running = await start(config, ports["inbox"])
        stack.push_async_callback(end, running)
        client = await stack.enter_async_context(httpx.AsyncClient(trust_env=False, timeout=SECONDS))
        proxied = await stack.enter_async_context(
            httpx.AsyncClient(trust_env=False, timeout=SECONDS, proxy=f"http://127.0.0.1:{ports['fetch']}")
        )
        try:
            yield Stage(running, ports, kept, behind.requests, host, palette, client, proxied)
        finally:
            host.release.set()
            await asyncio.sleep(0)
