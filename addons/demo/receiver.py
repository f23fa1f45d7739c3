"""The demo's server behind fediward: takes in deliveries whose signature holds, uploads and posts; fetches media."""

import hashlib
import json
import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from addons.activitypub.parsing import MalformedActivityError, parse
from addons.activitypub.references import Walk
from addons.activitypub.signatures import PublicKey, SignatureError, key_ids, read_public_key, sign_cavage, verify
from addons.activitypub.walk import walk
from addons.demo.arrivals import Arrival
from addons.demo.documents import ACTIVITY
from addons.demo.web import LocalServer
from addons.doors.deliveries import BodyEncodingError, BodyTooLargeError, decode_body

ABOUT = "a page that is no delivery"
KEPT = 1000
"""Deliveries, and refusals, that are remembered until :meth:`Receiver.clear`: the newest."""
BODY = 1 << 20
"""Bytes of a decoded body."""
FETCH_SECONDS = 8.0
"""For one of the media that it fetches."""
UPLOADS = ("/api/v2/media", "/pictrs/image", "/api/v3/post", "/api/v1/statuses")
"""Where its users' uploads and posts come in: at Mastodon's addresses and at Lemmy's."""
_TEXT = ("utf-8", "surrogateescape")


@dataclass(slots=True)
class Receiver:
    """A small ActivityPub server. ``refused`` is why it did not believe a delivery.

    ``proxy``: the URL of the proxy that its own requests go by, as real servers take it from ``http_proxy``.
    """

    kept: int = KEPT
    proxy: str | None = None
    refused: deque[str] = field(init=False)
    _arrivals: deque[Arrival] = field(init=False)
    _uploads: deque[Arrival] = field(init=False)
    _media: deque[str] = field(init=False)
    _own: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    _keys: dict[str, PublicKey] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    server: LocalServer = field(init=False)

    def __post_init__(self) -> None:
        """Make the web server; it runs once entered."""
        self.refused = deque(maxlen=self.kept)
        self._arrivals = deque(maxlen=self.kept)
        self._uploads = deque(maxlen=self.kept)
        self._media = deque(maxlen=self.kept)
        self.server = LocalServer(
            Starlette(
                routes=[
                    Route("/inbox", self._inbox, methods=["POST"]),
                    Route("/about", self._about),
                    *(Route(path, self._upload, methods=["POST"]) for path in UPLOADS),
                ]
            )
        )

    def arrivals(self) -> list[Arrival]:
        """All that reached the server, in order."""
        with self._lock:
            return list(self._arrivals)

    def uploads(self) -> list[Arrival]:
        """The uploads and posts of its users that reached it, in order."""
        with self._lock:
            return list(self._uploads)

    def media(self) -> set[str]:
        """SHA-256 of each file that it fetched."""
        with self._lock:
            return set(self._media)

    def clear(self) -> None:
        """Forget all of it."""
        with self._lock:
            for kept in (self._arrivals, self._uploads, self._media, self.refused):
                kept.clear()

    @property
    def key(self) -> PublicKey:
        """With which others verify its own deliveries."""
        return self._own.public_key()

    def delivery(self, inbox: str, document: dict[str, object]) -> httpx.Request:
        """One of its own deliveries, signed, to the inbox of another server."""
        body = json.dumps(document).encode()
        headers = [
            ("Host", httpx.URL(inbox).netloc.decode()),
            ("Content-Type", ACTIVITY),
            ("Content-Length", str(len(body))),
        ]
        key_id = f"{document['actor']}#main-key"
        complete = sign_cavage("POST", inbox, headers, body, key_id, self._own, now=datetime.now(UTC))
        return httpx.Request("POST", inbox, headers=complete, content=body)

    async def _about(self, request: Request) -> Response:
        return PlainTextResponse(ABOUT)

    async def _inbox(self, request: Request) -> Response:
        arrival = await Arrival.of(request)
        headers = [(name.decode(*_TEXT), value.decode(*_TEXT)) for name, value in arrival.headers]
        try:
            await self._verify(arrival.target.decode(*_TEXT), headers, arrival.body)
            encodings = [value for name, value in headers if name.lower() == "content-encoding"]
            document = parse(decode_body(arrival.body, encodings, BODY), max_depth=64, max_nodes=20_000).document
        except (SignatureError, httpx.HTTPError) as error:
            self.refused.append(f"signature: {error}")
            return PlainTextResponse("signature refused", 401)
        except (MalformedActivityError, BodyEncodingError, BodyTooLargeError) as error:
            self.refused.append(f"body: {error}")
            return PlainTextResponse("no activity", 400)
        found = walk(document, max_depth=64, max_nodes=20_000, max_media=32)
        arrival.id = found.activity_id or ""
        with self._lock:
            self._arrivals.append(arrival)
        # As real servers do: the sender is answered first, media are fetched afterwards.
        return Response(status_code=202, background=BackgroundTask(self._fetch, arrival, found))

    async def _upload(self, request: Request) -> Response:
        arrival = await Arrival.of(request)
        with self._lock:
            self._uploads.append(arrival)
        return JSONResponse({"id": "1"})

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
        async with httpx.AsyncClient(
            trust_env=False, timeout=FETCH_SECONDS, follow_redirects=True, proxy=self.proxy
        ) as client:
            for url in {ref.url for ref in found.media}:
                try:
                    answer = await client.get(url)
                except httpx.HTTPError:
                    continue
                if answer.status_code == 200:
                    with self._lock:
                        self._media.append(hashlib.sha256(answer.content).hexdigest())
                    got[answer.headers.get("content-type", "").partition("/")[0]] += 1
        arrival.videos, arrival.pictures = got["video"], got["image"]


def _from(keys: dict[str, PublicKey]) -> Callable[[str], PublicKey]:
    def find(key_id: str) -> PublicKey:
        if key_id not in keys:
            raise SignatureError(f"no key {key_id}")
        return keys[key_id]

    return find
