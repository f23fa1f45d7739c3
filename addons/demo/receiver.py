"""The demo's server behind fediward: verifies each delivery's signature, takes it in, and fetches its pictures."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from addons.activitypub.parsing import parse
from addons.activitypub.signatures import PublicKey, SignatureError, key_ids, read_public_key, verify
from addons.activitypub.walk import walk
from addons.demo.web import LocalServer


TEXT = ("utf-8", "surrogateescape")


@dataclass(slots=True)
class TakenIn:
    """One delivery that the server accepted: whose signature held, and how many pictures it then fetched."""

    key_id: str
    pictures: int


@dataclass(slots=True)
class Receiver:
    """A small ActivityPub server. ``taken`` is what reached it, by activity id; ``refused`` what it did not believe."""

    taken: dict[str, TakenIn] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    _keys: dict[str, PublicKey] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    server: LocalServer = field(init=False)

    def __post_init__(self) -> None:
        """Make the web server; it runs once entered."""
        self.server = LocalServer(
            Starlette(routes=[Route("/inbox", self._inbox, methods=["POST"]), Route("/about", self._about)])
        )

    async def _about(self, request: Request) -> Response:
        return PlainTextResponse("a page that is no delivery")

    async def _inbox(self, request: Request) -> Response:
        body = await request.body()
        headers = [(name.decode(*TEXT), value.decode(*TEXT)) for name, value in request.headers.raw]
        async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
            try:
                keys = {key_id: await self._key(client, key_id) for key_id in key_ids(headers)}
                verified = verify(
                    "POST",
                    request.url.path,
                    headers,
                    body,
                    _from(keys),
                    datetime.now(UTC),
                    timedelta(hours=1),
                    scheme="http",
                )
            except (SignatureError, httpx.HTTPError) as error:
                self.refused.append(str(error))
                return PlainTextResponse("signature refused", 401)
            parsed = parse(body, max_depth=64, max_nodes=20_000)
            found = walk(parsed.document, max_depth=64, max_nodes=20_000, max_media=32)
            pictures = 0
            for url in {ref.url for ref in found.media if ref.kind != "video"}:
                answer = await client.get(url, follow_redirects=True)
                pictures += answer.status_code == 200
        with self._lock:
            self.taken[found.activity_id or ""] = TakenIn(verified.key_id, pictures)
        return Response(status_code=202)

    async def _key(self, client: httpx.AsyncClient, key_id: str) -> PublicKey:
        if key_id not in self._keys:
            actor = (await client.get(key_id.partition("#")[0])).raise_for_status().json()
            self._keys[key_id] = read_public_key(actor["publicKey"]["publicKeyPem"])
        return self._keys[key_id]


def _from(keys: dict[str, PublicKey]) -> Callable[[str], PublicKey]:
    def find(key_id: str) -> PublicKey:
        if key_id not in keys:
            raise SignatureError(f"no key {key_id}")
        return keys[key_id]

    return find
