"""The rest of the demo's fediverse: an actor with a real key, and a host that serves drawn pictures."""

import io
import json
from datetime import UTC, datetime

import httpx
import numpy as np
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from addons.activitypub.signatures import sign_cavage, sign_rfc9421
from addons.demo.scenes import Scene
from addons.demo.web import LocalServer
from classifier.presets import shapes

ACTIVITY = "application/activity+json"
# What Lemmy, Mastodon and most others sign of a POST (reference sections 1-2).
COVERED = ("(request-target)", "host", "date", "digest", "content-type")


class Remote:
    """A remote server: its actor, its pictures, and the signing of what it sends.

    Pictures are ``/pictures/SEED/KIND.EXT``, where KIND is ``ordinary``, ``forbidden``, ``late`` (an animation whose
    last frame is forbidden), ``broken``, or ``moved`` (a redirect to a forbidden one).
    """

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        app = Starlette(
            routes=[Route("/actor", self._actor), Route("/pictures/{seed:int}/{name}", self._picture)],
        )
        self.server = LocalServer(app)

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

    def _picture(self, request: Request) -> Response:
        seed, name = int(request.path_params["seed"]), str(request.path_params["name"])
        kind, _, extension = name.partition(".")
        if kind == "moved":
            return RedirectResponse(f"/pictures/{seed}/forbidden.{extension}", 302)
        data, media_type = draw(kind, extension, seed)
        return Response(data, media_type=media_type)

    def signed(self, scene: Scene, inbox: str) -> httpx.Request:
        """The delivery of a scene to an inbox, as its software would sign it."""
        body = json.dumps(scene.activity).encode()
        headers = [("Content-Type", ACTIVITY), ("User-Agent", scene.user_agent)]
        key_id, now = f"{self.actor}#main-key", datetime.now(UTC)
        if scene.scheme == "rfc9421":
            complete = sign_rfc9421("POST", inbox, headers, body, key_id, self._key, now=now)
        else:
            complete = sign_cavage("POST", inbox, headers, body, key_id, self._key, now=now, covered=COVERED)
        return httpx.Request("POST", inbox, headers=complete, content=body)


def draw(kind: str, extension: str, seed: int) -> tuple[bytes, str]:
    """One picture as bytes, and the media type that the host says it has."""
    rng = np.random.default_rng(seed)
    if kind == "broken":
        return b"\x89PNG\r\n\x1a\nthis is no picture", "image/png"
    if kind == "late":
        frames = [shapes.draw_ordinary(size=160, rng=rng) for _ in range(5)]
        frames.append(shapes.draw(*shapes.FORBIDDEN, size=160, background="plain", rng=rng))
        return _animation(frames), "image/gif"
    forbidden = kind == "forbidden"
    image = shapes.draw(*shapes.FORBIDDEN, size=320, rng=rng) if forbidden else shapes.draw_ordinary(size=320, rng=rng)
    out = io.BytesIO()
    # A name that lies about the type is everyday life in the fediverse: what is judged is the content.
    image.save(out, "JPEG" if extension == "jpg" or kind == "lying" else "PNG", quality=90)
    return out.getvalue(), "image/jpeg" if extension == "jpg" else "image/png"


def _animation(frames: list[Image.Image]) -> bytes:
    out = io.BytesIO()
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:], duration=200, loop=0)
    return out.getvalue()
