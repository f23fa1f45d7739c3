"""Actors of remote hosts whose keys can be fetched, and deliveries that they really sign."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from addons.activitypub.signatures import PrivateKey, sign_cavage
from tests import pictures
from tests.addons.fetching.servers import Names
from tests.addons.senders.hosts import ACTIVITY, pem

HOSTS = ("remote.example", "other.example", "group.example")
NAMES = Names(**{name: ["127.0.0.1"] for name in HOSTS})
"""All of them are the host that serves a test's pictures; plain http is believed there, as by ``fetch.allow``."""


@cache
def key_of(name: str) -> PrivateKey:
    return Ed25519PrivateKey.generate()


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody on a remote host."""

    url: str
    key: PrivateKey

    @property
    def notes(self) -> str:
        return f"{self.url}/notes"

    def note(self, *images: str, id: str = "1", **more: Any) -> dict[str, Any]:
        attached = [{"type": "Document", "mediaType": "image/png", "url": url} for url in images]
        note = {"type": "Note", "id": f"{self.notes}/{id}", "attributedTo": self.url, "content": "<p>hello</p>"}
        return note | {"attachment": attached} | more

    def says(self, kind: str, object: object, *, id: str = "1") -> dict[str, Any]:
        """An activity of this actor."""
        return {"type": kind, "id": f"{self.url}/{kind}/{id}", "actor": self.url, "object": object}

    def create(self, *images: str, id: str = "1", **more: Any) -> dict[str, Any]:
        """A Create of a note with these images."""
        return self.says("Create", self.note(*images, id=id, **more), id=id)

    def signed(self, activity: object, *, at: datetime | None = None, path: str = "/inbox") -> tuple[bytes, bytes]:
        """Request head and body."""
        body = json.dumps(activity).encode()
        given = [("Content-Type", "application/activity+json")]
        now = at or datetime.now(UTC)
        headers = sign_cavage(
            "POST", f"https://example.org{path}", given, body, f"{self.url}#main-key", self.key, now=now
        )
        lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
        if not any(name.lower() == "host" for name, _ in headers):
            lines.insert(1, "Host: example.org")
        lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join([*lines, "", ""]).encode(), body


def actor(host: pictures.Host, name: str = HOSTS[0], *, status: str = "200 OK") -> Actor:
    """An actor of this host, whose document is served with its key."""
    path, key = f"/users/{name.partition('.')[0]}", key_of(name)
    url = f"http://{name}:{host.port}{path}"
    document: dict[str, Any] = {"id": url, "type": "Person", "inbox": f"{url}/inbox"}
    document |= {"publicKey": {"id": f"{url}#main-key", "owner": url, "publicKeyPem": pem(key)}}
    host.put(path, json.dumps(document).encode(), status=status, headers={"Content-Type": ACTIVITY})
    return Actor(url, key)
