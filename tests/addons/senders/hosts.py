"""A host of the fediverse over real TLS that gives out its actors' keys, as many as a test likes and as badly."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization

from addons.activitypub.signatures import PrivateKey
from addons.fetching.budget import MemoryBudget
from addons.fetching.client import Fetcher
from addons.senders.keys import Keys
from tests.addons.fetching.servers import Authority, Names, Served, answer, authority, fetcher, serve

ACTIVITY = "application/activity+json; charset=utf-8"
NAMES = ("remote.example", "other.example", "xn--bcher-kva.example")


@cache
def trusted_authority() -> Authority:
    """The one that all hosts of this run have their certificates from."""
    return authority()


def pem(key: PrivateKey) -> str:
    """The public half, as actors publish it."""
    public = key.public_key()
    return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


@dataclass
class Host:
    """What is served under each path, whatever the name it is asked by; how often each was asked for; and by whom."""

    served: Served
    scheme: str = "https"
    answers: dict[str, bytes] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    """Answers wait for it."""

    def url(self, path: str, name: str = NAMES[0]) -> str:
        """Of a path on this host."""
        return f"{self.scheme}://{name}:{self.served.port}{path}"

    def gives(self, path: str, document: object, *, content_type: str = ACTIVITY, status: str = "200 OK") -> None:
        """From now on under this path."""
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.answers[path] = answer(data, status, {"Content-Type": content_type})

    def refuses(self, path: str, status: str) -> None:
        """Answer with an error from now on."""
        self.gives(path, {"error": status}, status=status)

    def actor(self, path: str, key: PrivateKey, *, key_id: str | None = None, **more: object) -> str:
        """Serve an actor as Mastodon writes it; its key's id."""
        url = self.url(path)
        key_id = key_id or f"{url}#main-key"
        entry = {"id": key_id, "owner": url, "publicKeyPem": pem(key)}
        self.gives(path, {"id": url, "type": "Person", "inbox": f"{url}/inbox", "publicKey": entry} | more)
        return key_id

    async def handle(self, head: bytes, writer: asyncio.StreamWriter) -> None:
        """One request."""
        path = head.split(b" ", 2)[1].decode()
        self.asked[path] += 1
        await self.opened.wait()
        writer.write(self.answers.get(path) or answer(b"nothing here", "404 Not Found"))
        await writer.drain()


@asynccontextmanager
async def a_host(folder: Path, *, tls: bool = True) -> AsyncIterator[Host]:
    """Serve until the block ends. It answers at once unless ``opened`` is cleared."""
    context = trusted_authority().server(folder, *NAMES) if tls else None
    host = Host(Served(0), "https" if tls else "http")
    host.opened.set()
    async with serve(host.handle, tls=context) as served:
        host.served = served
        yield host


def client(host: Host, budget: MemoryBudget | None = None, **settings: Any) -> Fetcher:
    """The real safe client, for which each of the names is at this host."""
    names: Mapping[str, list[str]] = {name: ["127.0.0.1"] for name in NAMES}
    tls = trusted_authority().trusted()
    return fetcher(host.served.port, names=Names(**names), budget=budget, tls=tls, **settings)


class Clock:
    """Seconds that a test lets go by."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


@asynccontextmanager
async def the_keys(host: Host, clock: Clock | None = None, **settings: Any) -> AsyncIterator[Keys]:
    """Keys fetched from it; at the end nothing is under way and no memory is leased."""
    budget = MemoryBudget(64 << 20)
    keys = Keys(client(host, budget, **settings), clock=clock or Clock())
    try:
        yield keys
    finally:
        await keys.close()
        assert keys.in_flight == 0
        assert budget.used == 0
