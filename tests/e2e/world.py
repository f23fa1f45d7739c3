"""A running door between a signing sender and a server, with a host of pictures, for deliveries to be judged."""

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from tests.e2e.fedify import Fedify
from tests.e2e.peers import ACTOR, SENDERS, VALID, Headers, Sender, Verifiers, described, pairs, wire
from tests.e2e.pictures import CONFIG, LARGEST, Json, Palette, PictureHost
from tests.e2e.process import Door, door
from tests.net import OK, RawClient, Received, client, upstream

ANSWER_SECONDS = 30.0
OWN = [sender for sender in SENDERS if sender.covered]


@dataclass(slots=True)
class Sent:
    """One signed delivery, before it is sent: its id, its head and body, and the bytes of both."""

    id: str
    headers: Headers
    body: bytes

    @property
    def bytes(self) -> bytes:
        return wire("/inbox", self.headers, self.body)


@dataclass(slots=True)
class World:
    """A door, the server behind it, a host of pictures, and a signer."""

    running: Door
    reached: list[Received]
    host: PictureHost
    palette: Palette
    verifiers: Verifiers
    count: int = 0

    async def signed(self, thing: Json | str, kind: str = "Create", sender: Sender | None = None) -> Sent:
        """A new activity around ``thing``, signed by one of the senders in turn."""
        number = self.count
        self.count += 1
        activity = {"id": f"{ACTOR}/activities/{number}", "type": kind, "actor": ACTOR, "object": thing}
        body = json.dumps(activity, ensure_ascii=number % 2 == 0).encode()
        chosen = sender or OWN[number % len(OWN)]
        key = self.verifiers.key
        headers = await chosen.sign(self.verifiers.fedify, key, "/inbox", described("length", body), body)
        return Sent(str(activity["id"]), headers, body)

    async def deliver(self, sent: Sent, over: RawClient | None = None) -> int:
        """Send it, over an open connection or one of its own; the status that it is answered with."""
        if over is not None:
            await over.send(sent.bytes)
            return (await over.response(timeout=ANSWER_SECONDS))[0]
        async with client(self.running.port) as own:
            return await self.deliver(sent, own)

    def arrived(self, sent: Sent) -> Received | None:
        """What of it reached the server."""
        found = [request for request in self.reached if request.body == sent.body]
        assert len(found) < 2
        return found[0] if found else None

    async def must_arrive(self, sent: Sent) -> None:
        """It reached the server byte for byte, and its signature holds."""
        got = self.arrived(sent)
        assert got is not None
        assert got.headers == pairs(sent.headers)
        assert await self.verifiers.refusals(got) == VALID

    async def stopped(self, sent: Sent) -> int:
        """Send what must not reach the server; the answer."""
        before = len(self.reached)
        status = await self.deliver(sent)
        assert len(self.reached) == before
        return status

    async def all_entries(self) -> list[Json]:
        """What ``fediward log`` prints once every delivery with media, all those signed here, is in the ledger."""
        for _ in range(10):
            found = await self.running.entries()
            if len(found) >= self.count:
                break
        return found


@contextlib.asynccontextmanager
async def opened(
    folder: Path, palette: Palette, fedify: Fedify, key: RSAPrivateKey, budget: float
) -> AsyncIterator[World]:
    """Everything open: the door with the palette's policy, ``budget`` seconds for each delivery."""
    palette.write_lists(folder)
    host = PictureHost(palette)
    async with upstream(host) as pictures, upstream(OK) as behind:
        host.port = pictures.port
        text = CONFIG.format(port=pictures.port, largest=LARGEST, budget=f"{budget:g}s") + palette.config
        async with door(folder, text, behind.port) as running:
            try:
                yield World(running, behind.requests, host, palette, Verifiers(fedify, key))
            finally:
                host.release.set()
