"""How fediward is, for programs that look after it: ``/healthz``, ``/readyz`` and ``/metrics``."""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CONTENT_TYPE_LATEST, Metric
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from addons.metrics import Metrics
from addons.web.readiness import Readiness

logger = logging.getLogger(__name__)

FRESH = 1.0
"""Seconds that figures may be old: who asks all the time costs no more than that."""
PATIENCE = 2.0
"""Seconds for the figures of the database; without them the others are told."""
NO_STORE = {"Cache-Control": "no-store"}

type Slow = Callable[[], Iterable[Metric]]


class Status:
    """ASGI application. Anything but ``GET`` and ``HEAD`` is 405, any other path 404; it reads no body."""

    def __init__(
        self,
        metrics: Metrics,
        readiness: Readiness,
        slow: Slow | None = None,
        *,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``slow``: figures that block, read in a thread."""
        self._metrics = metrics
        self._readiness = readiness
        self._slow = slow
        self._patience = patience
        self._clock = clock
        self._reading: asyncio.Future[list[Metric]] | None = None
        self._text: tuple[float, bytes] | None = None
        self._lock = asyncio.Lock()
        self._told = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        await (await self._answer(scope))(scope, receive, send)

    async def _answer(self, scope: Scope) -> Response:
        path = scope["raw_path"]
        if path not in (b"/healthz", b"/readyz", b"/metrics"):
            return PlainTextResponse("there is nothing here but /healthz, /readyz and /metrics\n", 404, NO_STORE)
        if scope["method"] not in ("GET", "HEAD"):
            return PlainTextResponse("GET it\n", 405, NO_STORE | {"Allow": "GET, HEAD"})
        if path == b"/healthz":
            return PlainTextResponse("alive\n", headers=NO_STORE)
        if path == b"/metrics":
            return Response(await self._figures(), media_type=CONTENT_TYPE_LATEST, headers=NO_STORE)
        return await self._ready(wants_json(scope["headers"]))

    async def _ready(self, as_json: bool) -> Response:
        checks = await self._readiness.checks()
        ready = all(check.ok for check in checks)
        if as_json:
            lines = [json.dumps(check.as_json()) for check in checks]
        else:
            lines = ["ready" if ready else "not ready", *map(str, checks)]
        media_type = "application/x-ndjson" if as_json else "text/plain"
        return Response("".join(f"{line}\n" for line in lines), 200 if ready else 503, NO_STORE, media_type)

    async def _figures(self) -> bytes:
        async with self._lock:
            if self._text is None or self._clock() - self._text[0] >= FRESH:
                slow = await self._slowly()
                self._metrics.snapshot(slow)
                self._text = (self._clock(), await asyncio.to_thread(self._metrics.text))
            return self._text[1]

    async def _slowly(self) -> list[Metric]:
        """The database's figures; none while it does not answer, and it is asked once at a time."""
        if self._slow is None:
            return []
        if self._reading is None:
            slow = self._slow
            self._reading = asyncio.ensure_future(asyncio.to_thread(lambda: list(slow())))
            # Nobody may ask again.
            self._reading.add_done_callback(lambda task: None if task.cancelled() else task.exception())
        done, _ = await asyncio.wait((self._reading,), timeout=self._patience)
        if not done:
            return []
        reading, self._reading = self._reading, None
        try:
            found, self._told = reading.result(), False
        except Exception:
            if not self._told:
                logger.exception("what is held cannot be read for /metrics")
            found, self._told = [], True
        return found


def wants_json(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether the client asks for JSON before text."""
    accepts: Mapping[bytes, bytes] = dict(headers)
    return b"json" in accepts.get(b"accept", b"").lower()
