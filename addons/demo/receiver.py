"""The demo's server behind fediward: verifies each delivery's signature, takes it in, and fetches its media."""

import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import httpx
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from addons.activitypub.parsing import MalformedActivityError, parse
from addons.activitypub.references import Walk
from addons.activitypub.signatures import PublicKey, SignatureError, key_ids, read_public_key, verify
from addons.activitypub.walk import walk
from addons.demo.web import LocalServer
from addons.doors.deliveries import BodyEncodingError, BodyTooLargeError, decode_body

ABOUT = "a page that is no delivery"
KEPT = 1000
"""Deliveries, and refusals, that are remembered until :meth:`Receiver.clear`: the newest."""
BODY = 1 << 20
"""Bytes of a decoded body."""
_TEXT = ("utf-8", "surrogateescape")


@dataclass(slots=True)
class Arrival:
    """One delivery as it reached the server, its signature verified: ``headers`` lower-cased, ``body`` as on the wire.

    ``pictures`` and ``videos`` are how many the server could then fetch; None while it is still fetching.
    """

    id: str
    target: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes
    pictures: int | None = None
    videos: int | None = None

    def changes(self, sent: httpx.Request) -> list[str]:
        """What is not as it was sent: path, headers (names, values and order), body."""
        headers = [(name.lower(), value) for name, value in sent.headers.raw]
        pairs = {
            "path": (self.target, sent.url.raw_path),
            "headers": (self.headers, headers),
            "body": (self.body, sent.content),
        }
        return [name for name, (got, wanted) in pairs.items() if got != wanted]


@dataclass(slots=True)
class Receiver:
    """A small ActivityPub server. ``refused`` is why it did not believe a delivery."""

    kept: int = KEPT
    refused: deque[str] = field(init=False)
    _arrivals: deque[Arrival] = field(init=False)
    _keys: dict[str, PublicKey] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    server: LocalServer = field(init=False)

    def __post_init__(self) -> None:
        """Make the web server; it runs once entered."""
        self.refused = deque(maxlen=self.kept)
        self._arrivals = deque(maxlen=self.kept)
        self.server = LocalServer(
            Starlette(routes=[Route("/inbox", self._inbox, methods=["POST"]), Route("/about", self._about)])
        )

    def arrivals(self) -> list[Arrival]:
        """All that reached the server, in order."""
        with self._lock:
            return list(self._arrivals)

    def clear(self) -> None:
        """Forget all deliveries."""
        with self._lock:
            self._arrivals.clear()
            self.refused.clear()

    async def _about(self, request: Request) -> Response:
        return PlainTextResponse(ABOUT)

    async def _inbox(self, request: Request) -> Response:
        body = await request.body()
        headers = [(name.decode(*_TEXT), value.decode(*_TEXT)) for name, value in request.headers.raw]
        target: bytes = request.scope["raw_path"]
        if request.scope["query_string"]:
            target += b"?" + request.scope["query_string"]
        try:
            await self._verify(target.decode(*_TEXT), headers, body)
            encodings = [value for name, value in headers if name.lower() == "content-encoding"]
            document = parse(decode_body(body, encodings, BODY), max_depth=64, max_nodes=20_000).document
        except (SignatureError, httpx.HTTPError) as error:
            self.refused.append(f"signature: {error}")
            return PlainTextResponse("signature refused", 401)
        except (MalformedActivityError, BodyEncodingError, BodyTooLargeError) as error:
            self.refused.append(f"body: {error}")
            return PlainTextResponse("no activity", 400)
        found = walk(document, max_depth=64, max_nodes=20_000, max_media=32)
        arrival = Arrival(found.activity_id or "", target, list(request.headers.raw), body)
        with self._lock:
            self._arrivals.append(arrival)
        # As real servers do: the sender is answered first, media are fetched afterwards.
        return Response(status_code=202, background=BackgroundTask(self._fetch, arrival, found))

    async def _verify(self, target: str, headers: list[tuple[str, str]], body: bytes) -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
            keys = {key_id: await self._key(client, key_id) for key_id in key_ids(headers)}
        verify("POST", target, headers, body, _from(keys), datetime.now(UTC), timedelta(hours=1), scheme="http")

    async def _key(self, client: httpx.AsyncClient, key_id: str) -> PublicKey:
        if key_id not in self._keys:
            actor = (await client.get(key_id.partition("#")[0])).raise_for_status().json()
            self._keys[key_id] = read_public_key(actor["publicKey"]["publicKeyPem"])
        return self._keys[key_id]

    async def _fetch(self, arrival: Arrival, found: Walk) -> None:
        got: Counter[str] = Counter()
        async with httpx.AsyncClient(trust_env=False, timeout=5, follow_redirects=True) as client:
            for url in {ref.url for ref in found.media}:
                try:
                    answer = await client.get(url)
                except httpx.HTTPError:
                    continue
                if answer.status_code == 200:
                    got[answer.headers.get("content-type", "").partition("/")[0]] += 1
        arrival.videos, arrival.pictures = got["video"], got["image"]


def _from(keys: dict[str, PublicKey]) -> Callable[[str], PublicKey]:
    def find(key_id: str) -> PublicKey:
        if key_id not in keys:
            raise SignatureError(f"no key {key_id}")
        return keys[key_id]

    return find
