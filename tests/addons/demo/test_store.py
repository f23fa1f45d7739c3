from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from addons.demo.store import PIECE, Store
from addons.demo.web import LocalServer

PNG = b"\x89PNG\r\n\x1a\n" + b"x" * 2 * PIECE


@dataclass
class Peers:
    """A host of files and a validation: what each was asked, and what validation says."""

    status: int = 200
    found: int = 200
    fetched: list[str] = field(default_factory=list)
    shown: list[tuple[bytes, dict[str, str]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        routes = [Route("/file/{name}", self._file), Route("/validate", self._validate, methods=["POST"])]
        self.server = LocalServer(Starlette(routes=routes))

    async def _file(self, request: Request) -> Response:
        self.fetched.append(request.url.path)
        return Response(PNG, self.found, media_type="image/png")

    async def _validate(self, request: Request) -> Response:
        self.shown.append((await request.body(), dict(request.headers)))
        return Response(status_code=self.status)

    def url(self, name: str = "a.png") -> str:
        return f"{self.server.url}/file/{name}"


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Peers, Store]]:
    peers, store = Peers(), Store()
    with peers.server, store.server:
        yield peers, store


@pytest.fixture
def pair(servers: tuple[Peers, Store]) -> tuple[Peers, Store]:
    peers, store = servers
    store.clear()
    store.validation = f"{peers.server.url}/validate"
    peers.status = peers.found = 200
    peers.fetched.clear()
    peers.shown.clear()
    return servers


def ask(store: Store, path: str, method: str = "GET", **more: str) -> httpx.Response:
    return httpx.request(method, f"{store.server.url}{path}", params=more, trust_env=False)


def upload(store: Store, name: str = "images[]", data: bytes = PNG) -> httpx.Response:
    return httpx.post(f"{store.server.url}/image", files={name: ("a.png", data, "image/png")}, trust_env=False)


def test_what_it_takes_in_is_shown_to_validation_in_chunks_as_pict_rs_does(pair: tuple[Peers, Store]) -> None:
    peers, store = pair
    answer = upload(store)
    assert answer.status_code == 201
    name = answer.json()["files"][0]["file"]
    assert ask(store, f"/image/original/{name}").content == PNG
    assert store.kept() == [PNG]
    ((shown, headers),) = peers.shown
    assert shown == PNG
    assert (headers["transfer-encoding"], headers["content-type"]) == ("chunked", "image/png")
    assert "content-length" not in headers


def test_a_download_is_fetched_and_validated(pair: tuple[Peers, Store]) -> None:
    peers, store = pair
    answer = ask(store, "/image/download", url=peers.url())
    assert (answer.status_code, answer.json()["msg"]) == (201, "ok")
    assert (peers.fetched, len(peers.shown), store.kept()) == (["/file/a.png"], 1, [PNG])


def test_a_proxied_image_is_fetched_once(pair: tuple[Peers, Store]) -> None:
    peers, store = pair
    for _ in range(2):
        answer = ask(store, "/image/original", proxy=peers.url())
        assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, PNG, "image/png")
    assert (len(peers.fetched), len(peers.shown), store.kept()) == (1, 1, [PNG])


def test_head_only_looks_whether_it_is_there(pair: tuple[Peers, Store]) -> None:
    peers, store = pair
    assert ask(store, "/image/original", "HEAD", proxy=peers.url()).status_code == 404
    assert peers.fetched == []
    ask(store, "/image/original", proxy=peers.url())
    assert ask(store, "/image/original", "HEAD", proxy=peers.url()).status_code == 200


def test_what_validation_refuses_is_not_kept(pair: tuple[Peers, Store]) -> None:
    peers, store = pair
    peers.status = 403
    answer = upload(store)
    assert (answer.status_code, answer.json()["code"]) == (400, "failed-external-validation")
    assert ask(store, "/image/download", url=peers.url()).status_code == 400
    assert ask(store, "/image/original", proxy=peers.url()).status_code == 400
    assert store.kept() == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "nonsense", ""])
def test_a_host_that_is_not_there(pair: tuple[Peers, Store], url: str) -> None:
    answer = ask(pair[1], "/image/download", url=url)
    assert (answer.status_code, answer.json()["code"]) == (500, "download-file-error")


def test_a_host_that_refuses_is_told(pair: tuple[Peers, Store]) -> None:
    peers, store = pair
    peers.found = 451
    answer = ask(store, "/image/original", proxy=peers.url())
    assert (answer.status_code, answer.json()["code"]) == (500, "download-file-error")
    assert "451" in answer.json()["msg"]
    assert store.kept() == []


def test_a_validation_that_is_not_there_keeps_everything_out(pair: tuple[Peers, Store]) -> None:
    pair[1].validation = "http://127.0.0.1:1/validate"
    answer = upload(pair[1])
    assert (answer.status_code, answer.json()["code"]) == (500, "http-client-error")
    assert pair[1].kept() == []


def test_without_a_validation_it_keeps_whatever_comes(pair: tuple[Peers, Store]) -> None:
    pair[1].validation = None
    assert upload(pair[1]).status_code == 201
    assert pair[0].shown == []


def test_what_is_no_upload_is_not_taken(pair: tuple[Peers, Store]) -> None:
    store = pair[1]
    answer = httpx.post(f"{store.server.url}/image", content=b"x", trust_env=False)
    assert (answer.status_code, answer.json()["code"]) == (400, "validate-file")
    assert upload(store, "other").json()["files"] == []
    assert ask(store, "/image/original/unknown").status_code == 404
    assert store.kept() == []


def test_what_was_cleared_is_forgotten(pair: tuple[Peers, Store]) -> None:
    peers, store = pair
    ask(store, "/image/original", proxy=peers.url())
    store.clear()
    assert store.kept() == []
    assert ask(store, "/image/original", "HEAD", proxy=peers.url()).status_code == 404
