"""Runs the demo: opens remote host, server, pict-rs's stand-in and fediward between them; checks every outcome."""

import asyncio
import contextlib
import hashlib
import os
import ssl
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx

from addons.demo.arrivals import Arrival
from addons.demo.awaiting import Sent, end_of, entry_of, fetched
from addons.demo.certificates import Certificate
from addons.demo.expected import as_expected, expected
from addons.demo.no_gpu import SECONDS, in_order
from addons.demo.outcome import Asked, Result, finding
from addons.demo.pictures import LISTS, hash_list
from addons.demo.ports import Port
from addons.demo.receiver import ABOUT, Receiver
from addons.demo.remote import DOMAIN, Remote
from addons.demo.scenes import INBOX, Scene
from addons.demo.slow import slow_service
from addons.demo.store import Store
from addons.demo.visited import Visited
from addons.demo.visits import Visit
from addons.demo.ways import Ends
from addons.doors.authority import Authority
from addons.ledger.reading import Reader, Search
from addons.opening import Doors, Plan, plans
from addons.policy.conditions import symbol_tests
from addons.policy.config import Config, load
from addons.service import Service

PREFIX = "fediward-demo-"
"""How the name of the folder begins that holds configuration, ledger and authorities while the demo runs."""
CONFIG = """\
server:
  software: generic
  upstream: {server}
  listen: 127.0.0.1:1
  domains: [{domain}]
doors:
  fetch: {{listen: 127.0.0.1:2, ports: [443, {secure}], deadline: 20s, ca: authority}}
  pictrs:
    listen: 127.0.0.1:3
    upstream: {store}
    origin: 127.0.0.1:{origin}
    origin_url: http://127.0.0.1:{origin}
    deadline: 20s
  validate: {{listen: 127.0.0.1:4, deadline: 20s}}
  upload: {{contact: {contact}}}
look_ahead: {{links: always, objects: always}}
scan: everything
fetch: {{allow: [127.0.0.0/8], ports: [80, 443, {media}, {secure}]}}
budget: 20s
classifier:
  clip: {{model: fediward-tiny, pretrained: demo-shapes}}
  nudity: {{}}
  hashes: [{{name: known, file: known.csv, variants: true}}, {{name: unwanted, file: unwanted.csv}}]
concepts: demo-shapes
rules:
  - {{name: no-uploads, when: {{address: 192.0.2.0/24, door: upload}}, do: reject}}
  - {{name: known, when: {{hash.known: 1}}, do: reject}}
  - {{name: red-circle, when: {{clip.red_circle: ">0.8"}}, do: drop}}
  - {{name: explicit, when: {{nudity.explicit: ">0.9"}}, do: drop}}
  - {{name: unwanted, when: {{hash.unwanted: 1, door: [fetch, pictrs]}}, do: strip}}
  - {{name: face, when: {{nudity.face: ">0.5"}}, do: record}}
ledger: {{url: "sqlite:///demo.db", keep: 1h, keep_dropped: 1h}}
"""
"""Ports 1 to 4 stand for free ones; the origin's own stands in its URL."""
CONTACT = f"the admins of {DOMAIN}"
TIMEOUT = 60.0
"""Seconds for one answer."""


@dataclass(frozen=True, slots=True)
class Demo:
    """The open demo: ``asked`` is what symbols each rule asks; ``slow``: the ledger of the fediward without a GPU."""

    ends: Ends
    reader: Reader
    asked: Asked
    slow: Reader

    @property
    def remote(self) -> Remote:
        """The remote host."""
        return self.ends.remote

    @property
    def receiver(self) -> Receiver:
        """The server behind fediward."""
        return self.ends.receiver

    async def play(self, scene: Scene) -> Result:
        """Send one scene through its inbox door and look at what became of it. Raises httpx.HTTPError."""
        return await self.finish(await self.send(scene))

    async def send_slowly(self, scenes: Sequence[Sequence[Scene]]) -> list[Sent]:
        """Send what is sent at a time, then what is once that is answered; :meth:`finish` each. Raises
        httpx.HTTPError."""
        sent: list[Sent] = []
        for at_once in scenes:
            sent += await asyncio.gather(*map(self.send, at_once))
        return sent

    async def send(self, scene: Scene) -> Sent:
        """Send one scene, and have its answer. Raises httpx.HTTPError."""
        before = len(self._arrivals(scene.id))
        request = self.remote.delivery(scene, self.ends.doors[scene.door])
        since, began = datetime.now(UTC), time.perf_counter()
        answer = await self.ends.client.send(request)
        return Sent(scene, request, since, 1000 * (time.perf_counter() - began), answer.status_code, before)

    async def finish(self, sent: Sent) -> Result:
        """Wait until all that is to become of it has, and look at that. Raises httpx.HTTPError."""
        scene, reader = sent.scene, self.reader if sent.scene.door == INBOX else self.slow
        search = Search(door="inbox", activity_id=scene.id, since=sent.since, limit=10)
        entry = await entry_of(reader, search, scene.written)
        end = None
        if entry is not None and entry.action == "hold":
            if scene.seen is not None:
                await self.ends.proxied.get(scene.seen)
            end = await end_of(reader, entry.id, sent.since, self.asked)
        arrivals = self._arrivals(scene.id)[sent.before :]
        await fetched(arrivals)
        return Result(
            scene,
            sent.status,
            sent.ms,
            entry,
            finding(entry, self.asked) if entry else None,
            tuple(arrivals),
            tuple(dict.fromkeys(change for arrival in arrivals for change in arrival.changes(sent.request))),
            end,
        )

    async def visit(self, visit: Visit) -> Visited:
        """Go one visit's way and look at what arrived at its end. Raises httpx.HTTPError."""
        since = datetime.now(UTC)
        gone = await visit.way.go(self.ends)
        entry = await entry_of(self.reader, Search(door=visit.door, url=visit.url, since=since, limit=1), visit.ledger)
        found = finding(entry, self.asked) if entry else None
        wanted = expected(visit, gone, self.remote.actor)
        return Visited(visit, as_expected(visit, gone), wanted, entry, found, CONTACT)

    async def audit(self, results: Sequence[Result], visited: Sequence[Visited] = ()) -> list[str]:
        """What is wrong with a whole round, in words, beside the single results; then it is forgotten.

        What was stopped may reach the server late, by a way that nobody thought of: hence at the end again.
        """
        problems = [f"the server refused a delivery: {why}" for why in self.receiver.refused]
        problems += self._late(results, visited)
        problems += in_order([one.scene for one in results], [arrival.id for arrival in self.receiver.arrivals()])
        files = {hashlib.sha256(data).hexdigest() for data in self.ends.store.kept()}
        for name, held in (("the server", self.receiver.media()), ("pict-rs", files)):
            if count := len(held & self.remote.stopped()):
                problems.append(f"{name} has {count} files that were to be stopped")
        page = await self.ends.client.get(f"{self.ends.doors['inbox door']}/about")
        if page.status_code != 200 or page.text != ABOUT:
            problems.append(f"a page that is no delivery came as {page.status_code} {page.text[:100]!r}")
        for end in (self.receiver, self.remote, self.ends.store):
            end.clear()
        return problems

    def _late(self, results: Sequence[Result], visited: Sequence[Visited]) -> Iterator[str]:
        """What has reached the server by the end, and should not have; or not, and should."""
        told = {result.scene.id: f"{result.who}: {result.carries}" for result in results}
        wanted = Counter(result.scene.id for result in results if result.scene.arrives)
        for one in visited:
            if (id := one.gone.delivered) is not None:
                told[id], wanted[id] = f"{one.who}: {one.carries}", wanted[id] + 1
        reached = Counter(arrival.id for arrival in self.receiver.arrivals())
        for id in wanted | reached:
            if wanted[id] != reached[id]:
                name = told.get(id, f"unknown activity {id}")
                yield f"{name}: reached the server {reached[id]} times by the end, not {wanted[id]}"
        brought = sum(len(one.gone.arrived) for one in visited if one.gone.end == "server")
        kept = sum(len(one.gone.arrived) for one in visited if one.gone.end == "pict-rs")
        for name, here, then in (
            ("uploads and posts at the server", len(self.receiver.uploads()), brought),
            ("files in pict-rs", len(self.ends.store.kept()), kept),
        ):
            if here != then:
                yield f"{name}: {here} by the end, not {then}"

    def _arrivals(self, id: str) -> list[Arrival]:
        return [arrival for arrival in self.receiver.arrivals() if arrival.id == id]


@contextlib.asynccontextmanager
async def opened(
    config: str = CONFIG, loaded: Callable[[], None] = lambda: None, *, slow: float = SECONDS
) -> AsyncIterator[Demo]:
    """Open everything on free ports of this machine, with its files in a folder that is deleted afterwards.

    Loading blocks for seconds; ``loaded`` is called after it, before anything is waited for. ``slow``: seconds that the
    fediward without a GPU takes for a picture. Raises CannotStartError, LedgerError, ConfigError, OSError: each says
    what to do.
    """
    with tempfile.TemporaryDirectory(prefix=PREFIX) as name:
        folder = Path(name)
        certificate = Certificate.make(folder)
        remote, receiver, store = Remote(certificate), Receiver(), Store()
        with remote.server, remote.secure, receiver.server, store.server, certificate.believed(), Port() as origin:
            for each in LISTS:
                (folder / f"{each}.csv").write_text(hash_list(each))
            path = folder / "config.yaml"
            path.write_text(
                config.format(
                    server=receiver.server.url,
                    domain=DOMAIN,
                    store=store.server.url,
                    origin=origin.number,
                    media=remote.server.port,
                    secure=remote.secure.port,
                    contact=CONTACT,
                )
            )
            service = Service.start(load(path, env=os.environ))
            try:
                loaded()
                asked = {rule.name: [test.symbol for test in symbol_tests(rule.when)] for rule in service.config.rules}
                origin.release()
                async with (
                    slow_service(service.config, service.engine, slow) as second,
                    _doors(service, second.plan) as doors,
                    _clients(service.config, doors) as (client, proxied),
                ):
                    service.delivering.start()
                    receiver.proxy, remote.peer = doors["fetch door"], receiver.key
                    store.validation = f"{doors['validation']}/validate"
                    with Reader.open(service.config.ledger.url) as reader:
                        yield Demo(Ends(remote, receiver, store, doors, client, proxied), reader, asked, second.reader)
            finally:
                await service.close()


@contextlib.asynccontextmanager
async def _doors(service: Service, more: Plan) -> AsyncIterator[dict[str, str]]:
    """Open all, the origin where its URL says and the others on free ports; the URL of each by its name."""
    doors = Doors([*plans(service, free=True, fixed=["origin"]), more], service.config.limits.idle_time)
    try:
        yield {door.name: f"http://{door.address}" for door in await doors.open()}
    finally:
        await doors.close()


@contextlib.asynccontextmanager
async def _clients(
    config: Config, doors: Mapping[str, str]
) -> AsyncIterator[tuple[httpx.AsyncClient, httpx.AsyncClient]]:
    """One that goes straight, and one that goes by the fetch door and trusts its authority, as servers are told to."""
    assert config.doors.fetch is not None
    trusting = ssl.create_default_context(cafile=Authority.open(config.doors.fetch.ca).certificate)
    async with (
        httpx.AsyncClient(trust_env=False, timeout=TIMEOUT) as client,
        httpx.AsyncClient(trust_env=False, timeout=TIMEOUT, proxy=doors["fetch door"], verify=trusting) as proxied,
    ):
        yield client, proxied
