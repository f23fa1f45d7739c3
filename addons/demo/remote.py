"""The rest of the demo's fediverse: an actor with a real key who signs deliveries, and a host that serves media."""

import gzip
import json
from datetime import UTC, datetime

import httpx
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from addons.activitypub.signatures import sign_cavage, sign_rfc9421
from addons.demo.pictures import KINDS, Kind, draw
from addons.demo.scenes import Scene
from addons.demo.web import LocalServer

ACTIVITY = "application/activity+json"
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
    """A remote server: its actor, its pictures, and the signing of what it sends.

    Pictures are ``/pictures/SEED/KIND.EXT``, where KIND is one of :data:`addons.demo.pictures.KINDS`, ``moved`` (a
    redirect to a forbidden one), or ``recovering`` (an error when asked first, an ordinary picture from then on).
    """

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._failed: int | None = None
        self.server = LocalServer(
            Starlette(
                routes=[
                    Route("/actor", self._actor),
                    Route("/pictures/{seed:int}/{name}", self._picture),
                    # A video's id and its page: a server that does not know PeerTube may take either for a picture.
                    Route("/video/{name}", self._page),
                    Route("/watch/{name}", self._page),
                ]
            )
        )

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
        kind = _kind("ordinary" if stem == "recovering" else stem)
        if kind is None:
            return PlainTextResponse("no such picture", 404)
        data, media_type = draw(kind, extension, seed)
        return Response(data, media_type=media_type)

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
    return next((kind for kind in KINDS if kind == name), None)
