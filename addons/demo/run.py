"""Runs the demo: opens a remote host, a server and fediward between them, sends the scenes and checks every outcome."""

import asyncio
import contextlib
import os
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx

from addons.demo.outcome import Asked, Result, finding
from addons.demo.pictures import hash_list
from addons.demo.receiver import ABOUT, Arrival, Receiver
from addons.demo.remote import Remote
from addons.demo.scenes import Scene
from addons.ledger.entry import Entry
from addons.ledger.reading import Reader, Search
from addons.opening import Doors, plans
from addons.policy.conditions import symbol_tests
from addons.policy.config import load
from addons.service import Service

DOMAIN = "example.org"
PREFIX = "fediward-demo-"
"""How the name of the folder begins that holds configuration and ledger while the demo runs."""
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
  hashes: [{{name: known, file: known.csv, variants: true}}]
concepts: demo-shapes
rules:
  - {{name: known, when: {{hash.known: 1}}, do: reject}}
  - {{name: red-circle, when: {{clip.red_circle: ">0.8"}}, do: drop}}
  - {{name: explicit, when: {{nudity.explicit: ">0.7"}}, do: drop}}
  - {{name: face, when: {{nudity.face: ">0.5"}}, do: record}}
ledger: {{url: "sqlite:///demo.db", keep: 1h, keep_dropped: 1h}}
"""
WAIT = 10.0
"""Seconds for the ledger to be written, and for the server to have fetched its media."""
_LOOK = 0.02


@dataclass(frozen=True, slots=True)
class Demo:
    """The open demo: ``door`` is fediward's URL, ``asked`` what symbols each rule asks."""

    remote: Remote
    receiver: Receiver
    door: str
    reader: Reader
    asked: Asked

    async def play(self, scene: Scene, client: httpx.AsyncClient) -> Result:
        """Send one scene through the door and look at what became of it. Raises httpx.HTTPError."""
        before = len(self._arrivals(scene.id))
        request = self.remote.signed(scene, f"http://{DOMAIN}/inbox")
        request.url = httpx.URL(f"{self.door}/inbox")  # the Host header stays the signed one
        since, began = datetime.now(UTC), time.perf_counter()
        answer = await client.send(request)
        ms = 1000 * (time.perf_counter() - began)
        entry = await self._entry(scene, since) if scene.media else None
        arrivals = self._arrivals(scene.id)[before:]
        await _fetched(arrivals)
        return Result(
            scene,
            answer.status_code,
            ms,
            entry,
            finding(entry, self.asked) if entry else None,
            tuple(arrivals),
            tuple(dict.fromkeys(change for arrival in arrivals for change in arrival.changes(request))),
        )

    async def audit(self, results: Sequence[Result], client: httpx.AsyncClient) -> list[str]:
        """What is wrong with a whole round of scenes, in words, beside the single results; then it is forgotten.

        A delivery that was stopped may reach the server late, by a way that nobody thought of: hence at the end again.
        """
        problems = [f"the server refused a delivery: {why}" for why in self.receiver.refused]
        wanted = Counter(result.scene.id for result in results if result.scene.arrives)
        reached = Counter(arrival.id for arrival in self.receiver.arrivals())
        told = {result.scene.id: result.scene for result in results}
        for id in wanted | reached:
            if wanted[id] != reached[id]:
                name = f"{told[id].software}, {told[id].carries}" if id in told else f"unknown activity {id}"
                problems.append(f"{name}: reached the server {reached[id]} times by the end, not {wanted[id]}")
        page = await client.get(f"{self.door}/about")
        if page.status_code != 200 or page.text != ABOUT:
            problems.append(f"a page that is no delivery came as {page.status_code} {page.text[:100]!r}")
        self.receiver.clear()
        return problems

    def _arrivals(self, id: str) -> list[Arrival]:
        return [arrival for arrival in self.receiver.arrivals() if arrival.id == id]

    async def _entry(self, scene: Scene, since: datetime) -> Entry | None:
        deadline = time.monotonic() + WAIT
        search = Search(activity_id=scene.id, since=since, limit=1)
        while time.monotonic() < deadline:
            if found := await asyncio.to_thread(self.reader.find, search):
                return found[0]
            await asyncio.sleep(_LOOK)
        return None


async def _fetched(arrivals: Sequence[Arrival]) -> None:
    """Wait until the server has all media that it can get."""
    deadline = time.monotonic() + WAIT
    for arrival in arrivals:
        while time.monotonic() < deadline:
            if arrival.pictures is not None:
                break
            await asyncio.sleep(_LOOK)


@contextlib.asynccontextmanager
async def opened(config: str = CONFIG, loaded: Callable[[], None] = lambda: None) -> AsyncIterator[Demo]:
    """Open everything on free ports of this machine, with its files in a folder that is deleted afterwards.

    Loading blocks for seconds; ``loaded`` is called after it, before anything is waited for. Raises CannotStartError,
    LedgerError, ConfigError, OSError: each says what to do.
    """
    with tempfile.TemporaryDirectory(prefix=PREFIX) as name:
        folder = Path(name)
        remote, receiver = Remote(), Receiver()
        with remote.server, receiver.server:
            (folder / "known.csv").write_text(hash_list())
            path = folder / "config.yaml"
            path.write_text(
                # Port 1 stands for a free one: the door takes what the system gives it.
                config.format(upstream=receiver.server.url, listen=1, domain=DOMAIN, media=remote.server.port)
            )
            service = Service.start(load(path, env=os.environ))
            try:
                loaded()
                asked = {rule.name: [test.symbol for test in symbol_tests(rule.when)] for rule in service.config.rules}
                async with _doors(service) as doors:
                    with Reader.open(service.config.ledger.url) as reader:
                        yield Demo(remote, receiver, doors["inbox door"], reader, asked)
            finally:
                await service.close()


@contextlib.asynccontextmanager
async def _doors(service: Service) -> AsyncIterator[dict[str, str]]:
    """Open all on free ports; the URL of each by its name."""
    doors = Doors(plans(service, free=True), service.config.limits.idle_time)
    try:
        yield {door.name: f"http://{door.address}" for door in await doors.open()}
    finally:
        await doors.close()
