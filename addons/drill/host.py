"""A remote host of the drill's, on this machine, whose files are in trouble until it is mended."""

import threading
from typing import Literal

from anyio import sleep
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from addons.demo.pictures import draw
from addons.demo.web import LocalServer

type File = Literal["good", "hanging", "failing", "hidden", "broken", "vector", "large"]

LARGE = 96 << 10
"""Bytes of the large file."""
_HANG = 0.05
_SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>'


class Host:
    """Serves ``/FILE``, whatever the query. ``hanging`` and ``failing`` are good once :meth:`mend` was called."""

    def __init__(self) -> None:
        self._mended = threading.Event()
        self._picture = draw("ordinary", "png", 1)[0]
        self.server = LocalServer(Starlette(routes=[Route("/{name}", self._file)]))

    def url(self, name: File) -> str:
        """Where a file is."""
        return f"{self.server.url}/{name}"

    def mend(self) -> None:
        """End the trouble."""
        self._mended.set()

    async def _file(self, request: Request) -> Response:
        name = request.path_params["name"]
        while name == "hanging" and not self._mended.is_set():  # another thread's event ends it
            if await request.is_disconnected():
                break
            await sleep(_HANG)
        if name == "failing" and not self._mended.is_set():
            return PlainTextResponse("out of order", 500)
        if name == "hidden":
            return PlainTextResponse("who asks?", 401)
        if name == "broken":
            return Response(b"\x89PNG\r\n\x1a\nthis is no picture", media_type="image/png")
        if name == "vector":
            return Response(_SVG, media_type="image/svg+xml")
        if name == "large":
            return Response(self._picture + bytes(max(0, LARGE - len(self._picture))), media_type="image/png")
        return Response(self._picture, media_type="image/png")
