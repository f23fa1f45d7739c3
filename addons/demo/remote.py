"""The rest of the demo's fediverse: an actor with a real key who signs deliveries, and a host that serves media."""

import gzip
import hashlib
import json
import threading
from collections import deque
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import httpx
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from addons.activitypub.signatures import PublicKey, SignatureError, sign_cavage, sign_rfc9421, verify
from addons.demo import documents
from addons.demo.arrivals import Arrival
from addons.demo.certificates import Certificate
from addons.demo.documents import ACTIVITY
from addons.demo.pictures import KINDS, STOPPED, Kind, draw
from addons.demo.scenes import Scene
from addons.demo.web import LocalServer

DOMAIN = "example.org"
"""The demo's server's own."""
KEPT = 1000
"""Deliveries that are remembered, and files that were served and must be stopped: the newest."""
DEFAULT_COVERED = ("(request-target)", "host", "date", "digest", "content-type")
# What each of them signs of a POST (reference sections 1-2).
COVERED = {
    "gotosocial": ("(request-target)", "host", "date", "digest"),
    "misskey": ("(request-target)", "date", "host", "digest"),
    "akkoma": ("(request-target)", "content-length", "date", "digest", "host"),
    "pleroma": ("(request-target)", "content-length", "date", "digest", "host"),
    "mastodon": ("host", "date", "digest", "content-type", "(request-target)"),
}
AGENTS = {
    "lemmy": "Lemmy/0.19.13; +{remote}",
    "mastodon": "Mastodon/4.4.0 (http.rb/5.3.1; +{remote}/)",
    "gotosocial": "gotosocial/0.19.1 (+{remote})",
}


class Remote:
    """A remote server: its actor, its pictures, the signing of what it sends, and an inbox of its own.

    Pictures are ``/pictures/SEED/KIND.EXT``, where KIND is one of :data:`addons.demo.pictures.KINDS`, ``moved`` (a
    redirect to a forbidden one), ``recovering`` (an error when asked first, an ordinary picture from then on), or
    ``cloaking`` (ordinary when asked first, forbidden from then on). Documents with a JPEG of them are
    ``/posts/SEED/KIND``, ``/people/…`` and ``/pages/…``. ``peer``: the key of who may deliver to its inbox.
    """

    def __init__(self, certificate: Certificate | None = None) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._failed: int | None = None
        self._cloaked: int | None = None
        self._lock = threading.Lock()
        self._delivered: deque[Arrival] = deque(maxlen=KEPT)
        self._stopped: deque[str] = deque(maxlen=KEPT)
        self.peer: PublicKey | None = None
        app = Starlette(
            routes=[
                Route("/actor", self._actor),
                Route("/inbox", self._inbox, methods=["POST"]),
                Route("/pictures/{seed:int}/{name}", self._picture),
                *(Route(f"/{kind}/{{seed:int}}/{{name}}", self._document) for kind in documents.KINDS),
                # A video's id and its page: a server that does not know PeerTube may take either for a picture.
                Route("/video/{name}", self._page),
                Route("/watch/{name}", self._page),
            ]
        )
        self.server = LocalServer(app)
        self.secure = LocalServer(app, certificate) if certificate else self.server
        """The same again over TLS, where there is a certificate for it."""

    @property
    def actor(self) -> str:
        """The actor's id."""
        return f"{self.server.url}/actor"

    def _actor(self, request: Request) -> Response:
        pem = self._key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        key = {"id": f"{self.actor}#main-key", "owner": self.actor, "publicKeyPem": pem.decode()}
        document = {"id": self.actor, "type": "Person", "inbox": f"{self.actor}/inbox", "publicKey": key}
        return JSONResponse(document, media_type=ACTIVITY)

    def _page(self, request: Request) -> Response:
        return HTMLResponse("<!doctype html><title>How to draw</title><p>A page with a player.</p>")

    def _picture(self, request: Request) -> Response:
        seed, name = int(request.path_params["seed"]), str(request.path_params["name"])
        stem, _, extension = name.partition(".")
        if stem == "moved":
            return RedirectResponse(f"/pictures/{seed}/forbidden.{extension}", 302)
        if stem == "recovering" and self._failed != seed:
            self._failed = seed
            return PlainTextResponse("out of order", 500)
        if stem == "cloaking" and self._cloaked != seed:
            self._cloaked = seed
            stem = "ordinary"
        kind = _kind(stem)
        if kind is None:
            return PlainTextResponse("no such picture", 404)
        data, media_type = draw(kind, extension, seed)
        if kind in STOPPED:
            with self._lock:
                self._stopped.append(hashlib.sha256(data).hexdigest())
        return Response(data, media_type=media_type)

    def _document(self, request: Request) -> Response:
        data, media_type = self.file(f"{self.server.url}{request.url.path}")
        return Response(data, media_type=media_type)

    def file(self, url: str) -> tuple[bytes, str]:
        """What lies at the URL of a picture or document, whoever asks and how often; and its media type."""
        parts = urlsplit(url)
        kind, seed, name = parts.path.strip("/").split("/")
        for about in documents.KINDS:
            if kind == about:
                picture = url.replace(f"/{kind}/", "/pictures/") + ".jpg"
                return documents.document(about, url, picture, self.actor)
        stem, _, extension = name.partition(".")
        found = _kind(stem)
        assert found is not None, f"{url} is no picture"
        return draw(found, extension, int(seed))

    # -- its inbox -----------------------------------------------------------------------------------------------------

    async def _inbox(self, request: Request) -> Response:
        arrival = await Arrival.of(request)
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in arrival.headers]
        try:
            verify(
                "POST",
                arrival.target.decode("latin-1"),
                headers,
                arrival.body,
                self._peer,
                datetime.now(UTC),
                timedelta(hours=1),
                scheme="http",
            )
        except SignatureError as error:
            return PlainTextResponse(f"signature refused: {error}", 401)
        with self._lock:
            self._delivered.append(arrival)
        return Response(status_code=202)

    def _peer(self, key_id: str) -> PublicKey:
        if self.peer is None:
            raise SignatureError(f"no key {key_id}")
        return self.peer

    def delivered(self) -> list[Arrival]:
        """The deliveries that reached its inbox, each signature verified, in order."""
        with self._lock:
            return list(self._delivered)

    def stopped(self) -> set[str]:
        """SHA-256 of each file that it served and that the demo's server must never have."""
        with self._lock:
            return set(self._stopped)

    def clear(self) -> None:
        """Forget both."""
        with self._lock:
            self._delivered.clear()
            self._stopped.clear()

    # -- its deliveries ------------------------------------------------------------------------------------------------

    def delivery(self, scene: Scene, door: str) -> httpx.Request:
        """The signed delivery of a scene to the demo's server, by way of the door in front of it."""
        request = self.signed(scene, f"http://{DOMAIN}/inbox")
        request.url = httpx.URL(f"{door}/inbox")  # the Host header stays the signed one
        return request

    def signed(self, scene: Scene, inbox: str) -> httpx.Request:
        """The delivery of a scene to an inbox, as its software would sign it."""
        body = json.dumps(scene.document).encode()
        agent = AGENTS.get(scene.software, f"{scene.software}/demo (+{{remote}})").format(remote=self.server.url)
        # Host stands first, where httpx would put it anyway: what is compared later is then what was on the wire.
        headers = [("Host", httpx.URL(inbox).netloc.decode()), ("Content-Type", ACTIVITY), ("User-Agent", agent)]
        if scene.gzip:
            body = gzip.compress(body)
            headers.append(("Content-Encoding", "gzip"))
        headers.append(("Content-Length", str(len(body))))
        key_id, now = f"{self.actor}#main-key", datetime.now(UTC)
        if scene.scheme == "rfc9421":
            complete = sign_rfc9421("POST", inbox, headers, body, key_id, self._key, now=now)
        else:
            covered = COVERED.get(scene.software, DEFAULT_COVERED)
            complete = sign_cavage("POST", inbox, headers, body, key_id, self._key, now=now, covered=covered)
        return httpx.Request("POST", inbox, headers=complete, content=body)


def _kind(name: str) -> Kind | None:
    """``cloaking`` and ``recovering`` as they are in the end."""
    name = {"cloaking": "forbidden", "recovering": "ordinary"}.get(name, name)
    return next((kind for kind in KINDS if kind == name), None)
