"""The ways by which a picture comes to the demo's server beside deliveries: each is gone, and tells what arrived."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import httpx

from addons.activitypub.pages import preview_images
from addons.demo.activities import Json
from addons.demo.arrivals import Arrival
from addons.demo.documents import ACTIVITY
from addons.demo.pictures import Kind, draw
from addons.demo.receiver import Receiver
from addons.demo.remote import Remote
from addons.demo.scenes import Scene
from addons.demo.store import Store

EXTENSION = "png"
"""Of pictures that users upload."""


@dataclass(frozen=True, slots=True)
class Ends:
    """Everything between which the ways lie.

    ``doors``: the URL of each by its name; ``client`` goes straight, ``proxied`` by the fetch door, as the server does.
    """

    remote: Remote
    receiver: Receiver
    store: Store
    doors: Mapping[str, str]
    client: httpx.AsyncClient
    proxied: httpx.AsyncClient


@dataclass(frozen=True, slots=True)
class Gone:
    """A way that was gone: the answer's ``status`` after ``ms``, and what ``arrived`` of what was ``sent``.

    ``changes`` names what else arrived otherwise than it was sent; ``words`` is the answer to a user; ``end`` is where
    it arrived, if it is kept there; ``delivered`` the activity that went to the server's inbox before.
    """

    status: int
    ms: float
    sent: bytes
    arrived: tuple[bytes, ...]
    changes: tuple[str, ...] = ()
    words: str = ""
    end: Literal["server", "pict-rs"] | None = None
    delivered: str | None = None


class Way(Protocol):
    """How a picture comes."""

    async def go(self, ends: Ends) -> Gone:
        """Go it once. Raises httpx.HTTPError."""
        ...


@dataclass(frozen=True, slots=True)
class Fetches:
    """The server fetches a picture or document."""

    url: str

    async def go(self, ends: Ends) -> Gone:
        """Through the fetch door."""
        began = time.perf_counter()
        answer = await ends.proxied.get(self.url, headers={"Accept": f"{ACTIVITY}, image/*, */*"})
        return Gone(answer.status_code, _since(began), ends.remote.file(self.url)[0], _body(answer))


@dataclass(frozen=True, slots=True)
class Previews:
    """The server fetches a page that somebody links to, and the preview image that the page names."""

    page: str

    async def go(self, ends: Ends) -> Gone:
        """Through the fetch door, twice."""
        began = time.perf_counter()
        page = await ends.proxied.get(self.page)
        (image,) = preview_images(page.content, page.headers.get("content-type", ""), self.page)[:1] or ("",)
        changes = () if page.content == ends.remote.file(self.page)[0] else ("page",)
        if not image:
            return Gone(page.status_code, _since(began), b"", (), changes)
        answer = await ends.proxied.get(image)
        return Gone(answer.status_code, _since(began), ends.remote.file(image)[0], _body(answer), changes)


@dataclass(frozen=True, slots=True)
class Delivers:
    """The server delivers an activity of its own to another server."""

    document: Json

    async def go(self, ends: Ends) -> Gone:
        """Through the fetch door."""
        request = ends.receiver.delivery(f"{ends.remote.server.url}/inbox", self.document)
        return await _sent(request, ends.proxied, ends.remote.delivered)


@dataclass(frozen=True, slots=True)
class Downloads:
    """The server has pict-rs download a picture, as Lemmy does for thumbnails."""

    url: str

    async def go(self, ends: Ends) -> Gone:
        """Through the pict-rs door; pict-rs then comes to the origin, and to validation."""
        return await _stored(ends, "/image/download", {"url": self.url}, ends.remote.file(self.url)[0])


@dataclass(frozen=True, slots=True)
class Proxies:
    """The server has pict-rs fetch, keep and show a picture."""

    url: str

    async def go(self, ends: Ends) -> Gone:
        """As :class:`Downloads`."""
        return await _stored(ends, "/image/original", {"proxy": self.url}, ends.remote.file(self.url)[0])


@dataclass(frozen=True, slots=True)
class Cloaks:
    """A host shows one picture to who looks first, at a delivery, and another one to pict-rs."""

    scene: Scene
    url: str

    async def go(self, ends: Ends) -> Gone:
        """Through the inbox door, which must let the harmless picture pass, then as :class:`Proxies`."""
        delivery = ends.remote.delivery(self.scene, ends.doors["inbox door"])
        first = await _sent(delivery, ends.client, ends.receiver.arrivals)
        gone = await Proxies(self.url).go(ends)
        changes = () if first.arrived == (first.sent,) and not first.changes else ("delivery before",)
        return replace(gone, changes=(*gone.changes, *changes), delivered=self.scene.id)


@dataclass(frozen=True, slots=True)
class Stores:
    """A file comes to pict-rs: by its door or, where ``past`` it, straight."""

    kind: Kind
    seed: int
    past: bool = False

    async def go(self, ends: Ends) -> Gone:
        """To pict-rs, which asks validation."""
        data = draw(self.kind, EXTENSION, self.seed)[0]
        base = ends.store.server.url if self.past else ends.doors["pict-rs door"]
        before, began = len(ends.store.kept()), time.perf_counter()
        answer = await ends.client.post(f"{base}/image", files=_form("images[]", data))
        words = "" if self.past else answer.text
        kept = tuple(ends.store.kept()[before:])
        return Gone(answer.status_code, _since(began), data, kept, words=words, end="pict-rs")


@dataclass(frozen=True, slots=True)
class Uploads:
    """A user of the server uploads a file; ``peer``: the address that the proxy before fediward names."""

    path: str
    field: str
    kind: Kind
    seed: int
    peer: str | None = None

    async def go(self, ends: Ends) -> Gone:
        """Through the listener of the inbox door."""
        form = _form(self.field, draw(self.kind, EXTENSION, self.seed)[0])
        headers = {} if self.peer is None else {"X-Forwarded-For": self.peer}
        request = ends.client.build_request(
            "POST", f"{ends.doors['inbox door']}{self.path}", files=form, headers=headers
        )
        await request.aread()
        return await _sent(request, ends.client, ends.receiver.uploads, "server")


@dataclass(frozen=True, slots=True)
class Posts:
    """A user of the server writes a post."""

    path: str
    document: Json

    async def go(self, ends: Ends) -> Gone:
        """Through the listener of the inbox door."""
        url = f"{ends.doors['inbox door']}{self.path}"
        return await _sent(
            ends.client.build_request("POST", url, json=self.document), ends.client, ends.receiver.uploads, "server"
        )


async def _sent(
    request: httpx.Request,
    client: httpx.AsyncClient,
    reached: Callable[[], Sequence[Arrival]],
    end: Literal["server"] | None = None,
) -> Gone:
    """Send a request, and see what of it arrives at its end."""
    before, began = len(reached()), time.perf_counter()
    answer = await client.send(request)
    ms, arrived = _since(began), reached()[before:]
    changes = dict.fromkeys(change for one in arrived for change in one.changes(request) if change != "body")
    bodies = tuple(one.body for one in arrived)
    return Gone(answer.status_code, ms, request.content, bodies, tuple(changes), answer.text, end)


async def _stored(ends: Ends, path: str, query: Mapping[str, str], sent: bytes) -> Gone:
    before, began = len(ends.store.kept()), time.perf_counter()
    answer = await ends.client.get(f"{ends.doors['pict-rs door']}{path}", params=dict(query))
    ms, kept = _since(began), tuple(ends.store.kept()[before:])
    # A download (201) is told by its file's name, a proxied picture is shown.
    shown = answer.status_code != 200 or kept == (answer.content,)
    return Gone(answer.status_code, ms, sent, kept, () if shown else ("shown picture",), end="pict-rs")


def _body(answer: httpx.Response) -> tuple[bytes, ...]:
    return (answer.content,) if answer.status_code == 200 else ()


def _form(field: str, data: bytes) -> dict[str, tuple[str, bytes, str]]:
    return {field: (f"drawing.{EXTENSION}", data, "image/png")}


def _since(began: float) -> float:
    return 1000 * (time.perf_counter() - began)
