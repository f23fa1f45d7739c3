import gzip
import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import httpx
import pytest

from addons.activitypub.walk import walk
from addons.demo.receiver import ABOUT, BODY, UPLOADS, Receiver
from addons.demo.remote import Remote
from addons.demo.scenes import Scene, Script

INBOX = "http://example.org/inbox"


@dataclass(frozen=True)
class Pair:
    """A sender and a server with nothing between them."""

    remote: Remote
    receiver: Receiver
    scenes: list[Scene]

    def scene(self, carries: str) -> Scene:
        return next(scene for scene in self.scenes if scene.carries == carries)

    def send(self, request: httpx.Request) -> int:
        with httpx.Client(trust_env=False) as client:
            request.url = httpx.URL(f"{self.receiver.server.url}{request.url.raw_path.decode()}")
            return client.send(request).status_code

    def pictures(self) -> int | None:
        """Of the newest arrival, once it has them."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if (pictures := self.receiver.arrivals()[-1].pictures) is not None:
                return pictures
            time.sleep(0.01)
        return None


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Remote, Receiver]]:
    remote, receiver = Remote(), Receiver(kept=3)
    with remote.server, receiver.server:
        yield remote, receiver


@pytest.fixture
def pair(servers: tuple[Remote, Receiver]) -> Pair:
    remote, receiver = servers
    receiver.clear()
    return Pair(remote, receiver, Script(remote.server.url, remote.actor).all())


@pytest.mark.parametrize(
    "carries",
    [
        "words alone",
        "two ordinary pictures",
        "an ordinary video",
        "a gzip body, its picture ordinary",
        "a collection of two videos",
    ],
)
def test_a_signed_delivery_is_taken_in_and_its_media_are_fetched(pair: Pair, carries: str) -> None:
    scene = pair.scene(carries)
    request = pair.remote.signed(scene, INBOX)
    assert pair.send(request) == 202
    (arrival,) = pair.receiver.arrivals()
    assert arrival.id == scene.id
    assert arrival.changes(request) == []
    assert (pair.pictures(), arrival.videos) == (scene.pictures, scene.videos)


def test_a_picture_that_cannot_be_had_does_not_count(pair: Pair) -> None:
    assert pair.send(pair.remote.signed(pair.scene("a picture whose host is out of order"), INBOX)) == 202
    assert pair.pictures() == 0


def test_what_was_changed_is_named(pair: Pair) -> None:
    scene = pair.scene("words alone")
    request = pair.remote.signed(scene, INBOX)
    pair.send(request)
    (arrival,) = pair.receiver.arrivals()
    (name, value), *rest = arrival.headers
    assert replace(arrival, body=arrival.body + b" ").changes(request) == ["body"]
    assert replace(arrival, headers=[*rest, (name, value)]).changes(request) == ["headers"]
    assert replace(arrival, headers=[*arrival.headers, (b"via", b"1.1 x")]).changes(request) == ["headers"]
    assert replace(arrival, target=b"/inbox?").changes(request) == ["path"]


def test_an_added_header_is_seen_on_the_wire(pair: Pair) -> None:
    scene = pair.scene("words alone")
    request = pair.remote.signed(scene, INBOX)
    more = httpx.Request("POST", INBOX, headers=[*request.headers.raw, (b"Via", b"1.1 x")], content=request.content)
    assert pair.send(more) == 202
    assert pair.receiver.arrivals()[0].changes(request) == ["headers"]


def test_a_body_that_was_not_signed_is_refused(pair: Pair) -> None:
    request = pair.remote.signed(pair.scene("words alone"), INBOX)
    forged = httpx.Request(
        "POST", INBOX, headers=request.headers.raw, content=request.content.replace(b"Good", b"Evil")
    )
    assert pair.send(forged) == 401
    assert pair.receiver.arrivals() == []
    assert "signature" in pair.receiver.refused[0]


@pytest.mark.parametrize(("more", "status"), [(0, 202), (1, 400)])
def test_a_decoded_body_has_a_bound(pair: Pair, more: int, status: int) -> None:
    scene = pair.scene("words alone")
    padding = BODY + more - len(json.dumps({**_only(scene), "padding": ""}))
    padded = replace(scene, document={**_only(scene), "padding": "x" * padding}, gzip=True)
    request = pair.remote.signed(padded, INBOX)
    assert len(gzip.decompress(request.content)) == BODY + more
    assert pair.send(request) == status


def _only(scene: Scene) -> dict[str, object]:
    assert isinstance(scene.document, dict)
    return scene.document


def test_the_newest_are_remembered_until_they_are_cleared(pair: Pair) -> None:
    arriving = [scene for scene in pair.scenes if not scene.media or scene.arrives][:4]
    for scene in arriving[:3]:
        pair.send(pair.remote.signed(scene, INBOX))
    assert [arrival.id for arrival in pair.receiver.arrivals()] == [scene.id for scene in arriving[:3]]
    pair.send(pair.remote.signed(arriving[3], INBOX))
    assert [arrival.id for arrival in pair.receiver.arrivals()] == [scene.id for scene in arriving[1:]]
    pair.receiver.clear()
    assert pair.receiver.arrivals() == []


@pytest.mark.parametrize("path", UPLOADS)
def test_uploads_and_posts_of_its_users_are_taken_in(pair: Pair, path: str) -> None:
    url = f"{pair.receiver.server.url}{path}?a=1"
    with httpx.Client(trust_env=False) as client:
        request = client.build_request("POST", url, files={"file": ("a.png", b"png", "image/png")})
        request.read()
        assert client.send(request).status_code == 200
    (upload,) = pair.receiver.uploads()
    assert upload.changes(request) == []
    assert pair.receiver.arrivals() == []
    pair.receiver.clear()
    assert pair.receiver.uploads() == []


def test_it_knows_the_files_that_it_fetched(pair: Pair) -> None:
    scene = pair.scene("a post with an ordinary picture")
    pair.send(pair.remote.signed(scene, INBOX))
    assert pair.pictures() == 1
    url = str(walk(scene.document, max_depth=8, max_nodes=99, max_media=4).media[0].url)
    fetched = hashlib.sha256(pair.remote.file(url)[0]).hexdigest()
    assert fetched in pair.receiver.media()
    pair.receiver.clear()
    assert fetched not in pair.receiver.media()


def test_its_own_requests_go_by_the_proxy(pair: Pair) -> None:
    pair.receiver.proxy = "http://127.0.0.1:1"
    try:
        pair.send(pair.remote.signed(pair.scene("a post with an ordinary picture"), INBOX))
        assert pair.pictures() == 0
    finally:
        pair.receiver.proxy = None


def test_its_own_deliveries_are_signed(pair: Pair) -> None:
    inbox = f"{pair.remote.server.url}/inbox"
    request = pair.receiver.delivery(inbox, {"id": "http://example.org/1", "actor": "http://example.org/actor"})
    pair.remote.clear()
    with httpx.Client(trust_env=False) as client:
        pair.remote.peer = None
        assert client.send(request).status_code == 401
        pair.remote.peer = pair.receiver.key
        assert client.send(request).status_code == 202
        forged = httpx.Request("POST", inbox, headers=request.headers.raw, content=request.content.replace(b"1", b"2"))
        assert client.send(forged).status_code == 401
    (delivered,) = pair.remote.delivered()
    assert delivered.changes(request) == []


def test_it_has_a_page_too(pair: Pair) -> None:
    assert httpx.get(f"{pair.receiver.server.url}/about", trust_env=False).text == ABOUT
