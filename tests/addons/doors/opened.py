"""An inbox door with all that stands behind it real but the models: configuration, fetching, a hash list, ledger."""

import contextlib
import hashlib
import io
import json
import os
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pdqhash
from PIL import Image

from addons.delivering import Known
from addons.doors.inbox import Inbox
from addons.fetching.resolving import Resolver
from addons.ledger.entry import Entry
from addons.ledger.ledger import Ledger
from addons.ledger.reading import Kept, Reader, Search
from addons.policy.config import Config, load
from addons.service import Service
from classifier.engine import Engine
from classifier.frames import MIN_PDQ_QUALITY
from tests import net

ACTOR = "https://remote.example/users/a"
NOWHERE = "http://127.0.0.1:1"
"""The server of a configuration that names none: what stands in for it in each test."""
KNOWN = [{"name": "known", "when": {"hash.ours": 1}, "do": "drop"}]


def write_list(path: Path, *images: bytes) -> Path:
    """A hash list of these images: the SHA-256 of each, and its PDQ where it has one."""
    lines = ["kind,hash,source,note"]
    for image in images:
        lines.append(f"sha256,{hashlib.sha256(image).hexdigest()},drawn,")
        vector, quality = pdqhash.compute(np.asarray(Image.open(io.BytesIO(image)).convert("RGB")))
        if quality >= MIN_PDQ_QUALITY:
            lines.append(f"pdq,{np.packbits(vector).tobytes().hex()},drawn,")
    path.write_text("\n".join(lines) + "\n")
    return path


def configured(folder: Path, hashes: Path, media: int, settings: Mapping[str, Any]) -> Config:
    """The configuration that ``settings`` make of the smallest one; media are fetched from this port of 127.*."""
    whole: dict[str, Any] = {
        "server": {"upstream": NOWHERE, "listen": "127.0.0.1:2", "domains": ["example.org"]},
        "fetch": {"allow": ["127.0.0.0/8"], "ports": [media]},
        "classifier": {"clip": None, "nudity": None, "hashes": [{"name": "ours", "file": str(hashes)}]},
        "rules": KNOWN,
    }
    for key, value in settings.items():
        whole[key] = whole[key] | value if isinstance(whole.get(key), dict) else value
    path = folder / "config.yaml"
    path.write_text(json.dumps(whole))
    return load(path, env=os.environ)


@dataclass
class Opened:
    """A running inbox door."""

    door: net.Door
    inbox: Inbox
    service: Service

    @property
    def port(self) -> int:
        return self.door.port

    async def deliver(self, activity: object, *headers: tuple[str, str], local: str | None = None) -> int:
        """POST an activity to the inbox; the status."""
        return (await self.answer(activity, *headers, local=local))[0]

    async def answer(
        self, activity: object, *headers: tuple[str, str], local: str | None = None
    ) -> tuple[int, bytes, bytes]:
        """POST an activity, or the bytes given, to the inbox; status, head and body of the answer."""
        body = activity if isinstance(activity, bytes) else json.dumps(activity).encode()
        async with net.client(self.port, local) as client:
            await client.send(net.post("/inbox", body, ("Content-Type", "application/activity+json"), *headers))
            return await client.response()

    @property
    def arrived(self) -> list[bytes]:
        """The bodies that reached the server."""
        return [request.body for request in self.door.upstream.requests]

    async def entries(self, count: int) -> list[Entry]:
        """The ledger's entries, once there are ``count``."""
        await net.until(lambda: self.service.ledger.waiting == 0)
        with Reader.open(self.service.config.ledger.url) as reader:
            found = reader.find(Search())
        assert len(found) == count, found
        return found

    def kept(self, entry: Entry) -> Kept | None:
        with Reader.open(self.service.config.ledger.url) as reader:
            return reader.kept(entry.id)

    async def counts(self) -> dict[str, int]:
        """The ledger's counters, after it was closed."""
        self.service.ledger.close()
        with Reader.open(self.service.config.ledger.url) as reader:
            return {counted.action: counted.count for counted in reader.counts()}


@contextlib.asynccontextmanager
async def opened(
    config: Config,
    engine: Engine,
    answer: bytes | net.Answer = net.OK,
    *,
    busy: float = 5,
    queue: int = 100,
    early: bool = False,
    names: Resolver | None = None,
    keeps: bool = False,
    down: bool = False,
) -> AsyncIterator[Opened]:
    """Open a door with a server behind it and the configuration's ledger. ``engine`` is not closed.

    ``busy`` and ``queue`` are the ledger's: seconds to wait for its lock, entries that may wait. ``early``: what a list
    knows is judged no further (``classifier.stop_early``). ``names``: in place of the system's resolver.
    ``keeps``: what is held is worked on, as while a service runs. ``down``: the server takes no connection.
    """
    async with contextlib.AsyncExitStack() as stack:
        served = await stack.enter_async_context(net.upstream(answer))
        if down:
            unused = stack.enter_context(socket.socket())
            unused.bind(("127.0.0.1", 0))
            served.port = unused.getsockname()[1]
        if str(config.server.upstream) == NOWHERE:
            server = config.server.model_copy(update={"upstream": f"http://127.0.0.1:{served.port}"})
            config = replace(config, server=server)
        ledger = stack.enter_context(Ledger.open(config.ledger.url, busy=busy, queue=queue))
        known = Known.load(config, ledger)
        service = Service.of(config, ledger, engine, known, early=early, names=names)
        stack.push_async_callback(service.delivering.close)
        inbox = service.inbox()
        port = await stack.enter_async_context(net.running(served.port, [inbox]))
        if keeps:
            service.delivering.start()
        yield Opened(net.Door(port, served), inbox, service)
        assert await inbox.drained(5)
        judging = (service.judge.in_flight, service.look_ahead.in_flight, inbox.judging)
        assert (service.budget.used, *judging) == (0, 0, 0, 0)


def create(*images: str, actor: str = ACTOR, **more: Any) -> dict[str, Any]:
    """A Create of a Note with these images."""
    attached = [{"type": "Document", "mediaType": "image/png", "url": url} for url in images]
    note = {"type": "Note", "id": f"{actor}/notes/1", "content": "<p>hello</p>", "attachment": attached}
    return {"type": "Create", "id": f"{actor}/activities/1", "actor": actor, "object": note, **more}
