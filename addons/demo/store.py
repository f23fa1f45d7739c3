"""A stand-in for pict-rs: as much of it as Lemmy asks for, its files in memory. Tests (tests/e2e) run the real one.

Each file that it takes in it shows to its external validation first, as pict-rs does (reference section 8): a chunked
POST of the bytes, of which any 2xx means yes. It neither re-encodes nor scales anything.
"""

import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from addons.demo.web import LocalServer
from addons.doors.multipart import MalformedFormError, boundary_of, read_form
from classifier import media_type_of

PIECE = 16 << 10
"""Bytes that it sends to its validation at a time."""
TIMEOUT = 30.0
"""Seconds for a download, and for validation."""


class _NotTakenError(Exception):
    """It does not take a file in; ``answer`` says so as pict-rs does."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.answer = JSONResponse({"msg": message, "code": code}, status)


@dataclass(slots=True)
class Store:
    """Keeps files. ``validation``: the URL of its external validation; without one it keeps whatever comes."""

    validation: str | None = None
    _files: dict[str, bytes] = field(default_factory=dict)
    _pairs: dict[str, str] = field(default_factory=dict)
    """URL of a proxied image to the name of its file."""
    _made: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    server: LocalServer = field(init=False)

    def __post_init__(self) -> None:
        """Make the web server; it runs once entered."""
        self.server = LocalServer(
            Starlette(
                routes=[
                    Route("/image", self._upload, methods=["POST"]),
                    Route("/image/download", self._download),
                    Route("/image/original", self._original),
                    Route("/image/original/{name}", self._file),
                ]
            )
        )

    def kept(self) -> list[bytes]:
        """All its files, in the order in which they came."""
        with self._lock:
            return list(self._files.values())

    def clear(self) -> None:
        """Forget them."""
        with self._lock:
            self._files.clear()
            self._pairs.clear()

    async def _upload(self, request: Request) -> Response:
        body = await request.body()
        try:
            parts = read_form(body, boundary_of(request.headers.getlist("content-type")))
            return _taken([await self._take(body[part.start : part.end]) for part in parts if part.name == "images[]"])
        except MalformedFormError as error:
            return _NotTakenError(400, "validate-file", str(error)).answer
        except _NotTakenError as error:
            return error.answer

    async def _download(self, request: Request) -> Response:
        try:
            return _taken([await self._take(await self._fetched(request.query_params.get("url", "")))])
        except _NotTakenError as error:
            return error.answer

    async def _original(self, request: Request) -> Response:
        url = request.query_params.get("proxy", "")
        if request.method == "HEAD":  # what it keeps already is all that is asked for
            return Response(status_code=200 if url in self._pairs else 404)
        try:
            if url not in self._pairs:
                self._pairs[url] = await self._take(await self._fetched(url))
        except _NotTakenError as error:
            return error.answer
        return self._shown(self._pairs[url])

    async def _file(self, request: Request) -> Response:
        return self._shown(request.path_params["name"])

    def _shown(self, name: str) -> Response:
        data = self._files.get(name)
        if data is None:
            return _NotTakenError(404, "not-found", "there is no such file").answer
        return Response(data, media_type=media_type_of(data))

    async def _fetched(self, url: str) -> bytes:
        async with httpx.AsyncClient(trust_env=False, timeout=TIMEOUT) as client:
            try:
                answer = await client.get(url)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise _NotTakenError(500, "download-file-error", f"not downloaded: {error}") from error
        if answer.status_code != 200:
            raise _NotTakenError(500, "download-file-error", f"the host answered {answer.status_code}")
        return answer.content

    async def _take(self, data: bytes) -> str:
        """Keep a file if validation says yes; its name. Raises _NotTakenError."""
        if self.validation is not None:
            async with httpx.AsyncClient(trust_env=False, timeout=TIMEOUT) as client:
                try:
                    headers = {"Content-Type": media_type_of(data)}
                    answer = await client.post(self.validation, content=_chunks(data), headers=headers)
                except httpx.HTTPError as error:
                    raise _NotTakenError(500, "http-client-error", f"no validation: {error}") from error
            if not answer.is_success:
                raise _NotTakenError(400, "failed-external-validation", "Failed external validation")
        with self._lock:
            self._made += 1
            self._files[name := f"file-{self._made}"] = data
        return name


def _taken(names: list[str]) -> Response:
    return JSONResponse({"msg": "ok", "files": [{"file": name} for name in names]}, 201)


async def _chunks(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), PIECE):
        yield data[start : start + PIECE]
