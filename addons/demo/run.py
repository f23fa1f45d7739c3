"""Runs the demo: opens a remote host, a server and fediward between them, sends the scenes and checks every outcome."""

import asyncio
import contextlib
import os
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from addons.demo.receiver import Receiver
from addons.demo.remote import Remote
from addons.demo.scenes import Scene, Script
from addons.ledger.entry import Entry
from addons.ledger.reading import Reader, Search
from addons.policy.config import load
from addons.service import Service

DOMAIN = "example.org"
CONFIG = """\
server:
  software: generic
  upstream: {upstream}
  listen: 127.0.0.1:{listen}
  domains: [{domain}]
fetch: {{allow: [127.0.0.0/8], ports: [80, 443, {media}]}}
budget: 20s
classifier:
  clip: {{model: fediward-tiny, pretrained: demo-shapes}}
  nudity: {{}}
concepts: demo-shapes
rules:
  - {{name: forbidden-shape, when: {{clip.red_circle: ">0.8"}}, do: drop}}
  - {{name: explicit, when: {{nudity.explicit: ">0.7"}}, do: drop}}
ledger: {{url: "sqlite:///demo.db"}}
"""
LEDGER_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one scene: the answer the sender got, what the ledger says, what the server received."""

    scene: Scene
    status: int
    ms: float
    entry: Entry | None
    pictures: int | None

    @property
    def right(self) -> bool:
        """Whether the outcome is the one that the scene asks for, and for the reason it asks for."""
        arrived = self.pictures is not None
        decided = (self.entry.rule or self.entry.cause) if self.entry else None
        return (
            self.status == self.scene.status
            and arrived == (self.scene.outcome == "arrives")
            and decided == self.scene.found
        )


@dataclass(frozen=True, slots=True)
class Demo:
    """The open demo: ``door`` is fediward's URL, ``folder`` holds its configuration and ledger."""

    remote: Remote
    receiver: Receiver
    door: str
    folder: Path
    reader: Reader

    async def play(self, scene: Scene, client: httpx.AsyncClient) -> Result:
        """Send one scene through the door and look at what became of it."""
        request = self.remote.signed(scene, f"http://{DOMAIN}/inbox")
        request.url = httpx.URL(f"{self.door}/inbox")  # the Host header stays the signed one
        began = time.perf_counter()
        answer = await client.send(request)
        ms = 1000 * (time.perf_counter() - began)
        entry = await self._entry(scene)
        taken = self.receiver.taken.get(scene.id)
        return Result(scene, answer.status_code, ms, entry, taken.pictures if taken else None)

    async def _entry(self, scene: Scene) -> Entry | None:
        """The ledger's entry; deliveries without media have none, so nothing is waited for there."""
        if "words alone" in scene.carries:
            return None
        deadline = time.monotonic() + LEDGER_SECONDS
        while time.monotonic() < deadline:
            found = await asyncio.to_thread(self.reader.find, Search(activity_id=scene.id, limit=1))
            if found:
                return found[0]
            await asyncio.sleep(0.02)
        return None


@contextlib.asynccontextmanager
async def opened(say: Callable[[str], None]) -> AsyncIterator[Demo]:
    """Open everything on free ports of this machine, with its files in a folder that is deleted afterwards."""
    with tempfile.TemporaryDirectory(prefix="fediward-demo-") as name:
        folder = Path(name)
        remote, receiver = Remote(), Receiver()
        with remote.server, receiver.server:
            path = folder / "config.yaml"
            path.write_text(
                # Port 1 stands for a free one: the door takes what the system gives it.
                CONFIG.format(upstream=receiver.server.url, listen=1, domain=DOMAIN, media=remote.server.port)
            )
            say("loading the tiny model and NudeNet …")
            service = Service.start(load(path, env=os.environ))
            try:
                async with _door(service, receiver.server.url) as door:
                    with Reader.open(service.config.ledger.url) as reader:
                        yield Demo(remote, receiver, door, folder, reader)
            finally:
                await service.close()


@contextlib.asynccontextmanager
async def _door(service: Service, upstream: str) -> AsyncIterator[str]:
    master = service.master(f"door:{upstream}@127.0.0.1:0")
    running = asyncio.get_running_loop().create_task(master.run())
    try:
        host, port = (await master.listening())[0]
        yield f"http://{host}:{port}"
    finally:
        master.shutdown()
        await running


def script(demo: Demo, *, forever: bool) -> Iterator[Scene]:
    """The scenes once, or again and again with new pictures."""
    seed = 0
    while True:
        scenes = Script(demo.remote.server.url, demo.remote.actor, seed)
        yield from scenes.all()
        seed = scenes.seed
        if not forever:
            return
