import gzip
import hashlib
import json
import ssl
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from addons.activitypub.signatures import SignatureError, read_public_key, verify
from addons.demo.certificates import Certificate
from addons.demo.pictures import KINDS, draw
from addons.demo.remote import COVERED, Remote
from addons.demo.scenes import Scene, Script

INBOX = "http://example.org/inbox"


@pytest.fixture(scope="module")
def remote() -> Iterator[Remote]:
    remote = Remote()
    with remote.server:
        yield remote


def get(remote: Remote, path: str, *, follow_redirects: bool = False) -> httpx.Response:
    return httpx.get(f"{remote.server.url}{path}", trust_env=False, follow_redirects=follow_redirects)


def scene(remote: Remote) -> Scene:
    return Script(remote.server.url, remote.actor).all()[0]


def proved(remote: Remote, request: httpx.Request, body: bytes) -> str:
    actor = get(remote, "/actor").json()
    key = read_public_key(actor["publicKey"]["publicKeyPem"])
    headers = [(name.decode(), value.decode()) for name, value in request.headers.raw]
    return verify(
        "POST", "/inbox", headers, body, lambda key_id: key, datetime.now(UTC), timedelta(hours=1), scheme="http"
    ).key_id


@pytest.mark.parametrize("software", [*COVERED, "lemmy"])
@pytest.mark.parametrize("scheme", ["cavage", "rfc9421"])
@pytest.mark.parametrize("packed", [False, True])
def test_what_it_sends_is_signed_and_nothing_else_is(remote: Remote, software: str, scheme: str, packed: bool) -> None:
    sent = replace(scene(remote), software=software, gzip=packed, scheme="rfc9421" if scheme == "rfc9421" else "cavage")
    request = remote.signed(sent, INBOX)
    assert proved(remote, request, request.content) == f"{remote.actor}#main-key"
    with pytest.raises(SignatureError):
        proved(remote, request, request.content + b" ")
    body = gzip.decompress(request.content) if packed else request.content
    assert json.loads(body) == sent.document
    assert request.headers.raw[0] == (b"Host", b"example.org")


@pytest.mark.parametrize(
    "name", ["ordinary.jpg", "forbidden.png", "late.gif", "lying.png", "known.jpg", "face.jpg", "film.mp4"]
)
def test_it_serves_its_media(remote: Remote, name: str) -> None:
    answer = get(remote, f"/pictures/7/{name}")
    stem, _, extension = name.partition(".")
    data, media_type = draw(next(kind for kind in KINDS if kind == stem), extension, 7)
    assert (answer.content, answer.headers["content-type"]) == (data, media_type)


def test_a_moved_picture_is_a_redirect(remote: Remote) -> None:
    answer = get(remote, "/pictures/7/moved.jpg")
    assert (answer.status_code, answer.headers["location"]) == (302, "/pictures/7/forbidden.jpg")


def test_a_recovering_one_fails_once_each(remote: Remote) -> None:
    told = [get(remote, f"/pictures/{seed}/recovering.jpg").status_code for seed in (7, 7, 7, 8, 8)]
    assert told == [500, 200, 200, 500, 200]


def test_a_cloaking_one_is_harmless_to_the_first_look_alone(remote: Remote) -> None:
    fine, bad = (draw(kind, "png", 7)[0] for kind in ("ordinary", "forbidden"))
    assert [get(remote, "/pictures/7/cloaking.png").content for _ in range(3)] == [fine, bad, bad]
    assert remote.file(f"{remote.server.url}/pictures/7/cloaking.png")[0] == bad
    assert get(remote, "/pictures/8/cloaking.png").content == draw("ordinary", "png", 8)[0]


@pytest.mark.parametrize(
    "path", ["/posts/7/ordinary", "/people/7/forbidden", "/pages/7/known", "/pictures/7/known.jpg"]
)
def test_what_it_serves_is_what_it_says_lies_there(remote: Remote, path: str) -> None:
    answer = get(remote, path)
    data, media_type = remote.file(f"{remote.server.url}{path}")
    assert (answer.status_code, answer.content) == (200, data)
    assert answer.headers["content-type"].partition(";")[0] == media_type


def test_it_remembers_what_must_be_stopped(remote: Remote) -> None:
    remote.clear()
    get(remote, "/pictures/7/ordinary.jpg")
    assert remote.stopped() == set()
    served = get(remote, "/pictures/7/moved.jpg", follow_redirects=True).content
    assert remote.stopped() == {hashlib.sha256(served).hexdigest()}
    remote.clear()
    assert remote.stopped() == set()


def test_a_delivery_goes_by_the_door_and_names_the_server(remote: Remote) -> None:
    request = remote.delivery(scene(remote), "http://127.0.0.1:9")
    assert str(request.url) == "http://127.0.0.1:9/inbox"
    assert request.headers.raw[0] == (b"Host", b"example.org")
    assert proved(remote, request, request.content) == f"{remote.actor}#main-key"


def test_over_tls_it_serves_the_same(tmp_path: Path) -> None:
    certificate = Certificate.make(tmp_path)
    remote = Remote(certificate)
    trusting = ssl.create_default_context(cafile=certificate.file)
    with remote.server, remote.secure:
        answer = httpx.get(f"{remote.secure.url}/pictures/7/ordinary.jpg", trust_env=False, verify=trusting)
    assert answer.content == draw("ordinary", "jpg", 7)[0]


def test_what_is_not_there_is_not_found(remote: Remote) -> None:
    assert get(remote, "/pictures/7/other.jpg").status_code == 404


@pytest.mark.parametrize("path", ["/video/1-1", "/watch/1-2"])
def test_a_video_has_a_page(remote: Remote, path: str) -> None:
    assert get(remote, path).headers["content-type"].startswith("text/html")
