"""The bypass corpus's table: one row is one way to have a door take a post for something else, and how it has to end.

Every row is tried twice, with a picture that the hash list forbids and with an ordinary one in its place, so that a row
that says "judged" also shows that the same shape passes byte for byte where nothing is wrong with it.
"""

import contextlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from addons.ledger.entry import Entry
from addons.ledger.reading import Reader, Search
from classifier.engine import Engine
from classifier.settings import ClassifierSettings, DecodeSettings, HashListSettings
from tests import net, pictures
from tests.addons.doors.opened import ACTOR, Opened, configured, opened, write_list
from tests.addons.fetching import servers
from tests.drawing import encode, textured

FORBIDDEN = encode(textured(1))
ORDINARY = encode(textured(2))
JUDGED = "judged"
"""The forbidden picture's post is dropped for it, the ordinary one's arrives as it was sent."""
HARMLESS = "harmless"
"""Arrives either way, since no server makes a picture of it: the row's name says why."""

BOTH = pytest.mark.parametrize("bad", [True, False], ids=["forbidden", "ordinary"])
"""Every row with each of the two pictures."""

type Ending = str | int
"""``JUDGED``, ``HARMLESS``, a cause that drops both pictures' posts, or a status that refuses both."""

NAMES = ("evil.example", "xn--bcher-kva.example")
"""Hosts that the pictures lie on."""

SETTINGS: dict[str, Any] = {
    "server": {"upstream": "http://127.0.0.1:1", "listen": "127.0.0.1:2", "domains": ["example.org"]},
    "budget": "60s",
    "look_ahead": {"links": "never"},
    # What could not be judged is dropped at once, so that a row cannot pass for a failure of its own.
    "on": dict.fromkeys(("timeout", "no_worker", "busy", "fetch_failed", "detector_error"), "drop"),
}


@dataclass(frozen=True, slots=True)
class Picture:
    """Where one row's picture lies; ``file``: its bytes."""

    host: pictures.Host
    path: str
    file: bytes

    @property
    def url(self) -> str:
        return self.host.url(self.path)

    @property
    def at(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.host.port}"

    def fill(self, text: str) -> str:
        """``text`` with this picture in the place of ``$URL``, ``$AT``, ``$PORT`` and ``$PATH``."""
        for name, value in (("URL", self.url), ("AT", self.at), ("PORT", str(self.host.port)), ("PATH", self.path)):
            text = text.replace(f"${name}", value)
        return text


@dataclass(frozen=True, slots=True)
class Sent:
    """A request on the wire; ``head`` and ``body`` as they have to arrive; None: the head may change."""

    wire: bytes
    body: bytes
    head: bytes | None = None


def posted(
    body: bytes,
    *fields: bytes,
    line: bytes = b"POST /inbox HTTP/1.1",
    content_type: bytes | None = b"application/activity+json",
    chunked: bool = False,
) -> Sent:
    """One request with its framing."""
    lines = [line, b"Host: example.org", *([b"Content-Type: " + content_type] if content_type else []), *fields]
    lines.append(b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % len(body))
    head = b"\r\n".join(lines)
    return Sent(head + b"\r\n\r\n" + (net.chunked(body) if chunked else body), body, head)


def note(**more: Any) -> dict[str, Any]:
    """A note without media, relative URLs of which are http ones."""
    return {"type": "Note", "id": "http://remote.example/notes/1", "attributedTo": ACTOR, "content": "<p>hi</p>"} | more


def create(inner: object, **more: Any) -> dict[str, Any]:
    return {"type": "Create", "id": f"{ACTOR}/activities/1", "actor": ACTOR, "object": inner} | more


def attached(url: str) -> bytes:
    """The plainest delivery with a picture."""
    return json.dumps(create(note(attachment=[{"type": "Image", "url": url}]))).encode()


@dataclass
class World:
    """An inbox door with a host to fetch from; see :func:`world`."""

    door: Opened
    host: pictures.Host
    reader: Reader
    names: servers.Names
    last: str = ""
    count: int = 0
    fields: dict[str, str] = field(default_factory=dict)

    def picture(self, file: bytes, **how: Any) -> Picture:
        """Serve ``file`` under a path that says nothing of it; ``how``: as :meth:`pictures.Host.put` takes it."""
        self.count += 1
        path = f"/p/{self.count}"
        self.host.put(path, file, **how)
        return Picture(self.host, path, file)

    @property
    def arrived(self) -> list[net.Received]:
        return self.door.door.upstream.requests

    async def send(self, wire: bytes) -> int:
        """The status that the door gives to what is sent on a connection of its own."""
        self.arrived.clear()
        async with net.client(self.door.port) as client:
            await client.send(wire)
            status = 100
            while status == 100:
                status, _, _ = await client.response(timeout=60)
            return status

    async def entry(self) -> Entry | None:
        """What the ledger has since it was last asked."""
        await net.until(lambda: self.door.service.ledger.waiting == 0, timeout=60)
        newest = self.reader.find(Search(limit=1))
        if not newest or newest[0].id == self.last:
            return None
        self.last = newest[0].id
        return newest[0]

    async def holds(self, sent: Sent, ends: Ending, *, bad: bool) -> None:
        """Send it, and check that it ends as it has to; ``bad``: whether the picture in it is the forbidden one."""
        status = await self.send(sent.wire)
        entry = await self.entry()
        if isinstance(ends, int):
            assert (status, self.arrived) == (ends, [])
            return
        if ends == HARMLESS or (ends == JUDGED and not bad):
            assert (status, [request.body for request in self.arrived]) == (200, [sent.body])
            assert sent.head is None or self.arrived[0].head.split(b"\r\n")[0] == sent.head.split(b"\r\n")[0]
            assert sent.head is None or self.arrived[0].headers == net.Received(sent.head, b"").headers
            if ends == JUDGED:
                assert entry is not None
                assert entry.action == "pass"
                assert any(medium.sha256 for medium in entry.media)
            return
        assert (status, self.arrived) == (202, [])
        assert entry is not None
        assert (entry.rule, entry.cause) == (("known", None) if ends == JUDGED else (None, ends))


async def holds(world: World, ends: Ending, bad: bool, make: Callable[[bytes], Sent]) -> None:
    """Check a request that ``make`` makes of the plainest delivery."""
    body = attached(world.picture(FORBIDDEN if bad else ORDINARY).url)
    await world.holds(make(body), ends, bad=bad)


@contextlib.asynccontextmanager
async def engine(folder: Path, *forbidden: bytes) -> AsyncIterator[Engine]:
    """An engine that knows these pictures, by ``hashes.csv`` in ``folder``."""
    lists = (HashListSettings(name="ours", file=write_list(folder / "hashes.csv", *(forbidden or (FORBIDDEN,)))),)
    settings = ClassifierSettings(clip=None, nudity=None, hashes=lists, decode=DecodeSettings(processes=1))
    started = Engine.start(settings, {})
    yield started
    await started.close()


@contextlib.asynccontextmanager
async def world(folder: Path, judges: Engine, names: Sequence[str] = (), **settings: Any) -> AsyncIterator[World]:
    """An inbox door, its hash list in ``folder``; each of ``names`` leads to the host of the pictures."""
    resolver = servers.Names(**{name.replace(".", "_"): ["127.0.0.1"] for name in names})
    async with pictures.host() as host:
        host.put("/other", ORDINARY)
        config = configured(folder, folder / "hashes.csv", host.port, SETTINGS | settings)
        async with opened(config, judges, names=resolver) as door:
            with contextlib.closing(Reader.open(config.ledger.url)) as reader:
                yield World(door, host, reader, resolver)
