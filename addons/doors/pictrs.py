"""The pict-rs door: pict-rs gets every remote image from the origin, where it is judged, and from nowhere else."""

import asyncio
import json
import time
from collections.abc import Awaitable

from mitmproxy import http
from mitmproxy.proxy import layer

from addons.doors.layers import Rules, speak_http1
from addons.doors.look_back import LookBack
from addons.doors.pictrs_paths import Target, UnreadableTargetError, read_target
from addons.doors.upgrades import remove_upgrade
from addons.doors.upload import VISIT, Upload
from addons.judging.stable import StableUrls


class Pictrs:
    """mitmproxy addon. One instance serves all connections of its listener; both ways everything is streamed.

    ``look_back``: finds what pict-rs kept under its raw URL before fediward was there; None does not ask. ``upload``:
    what local users send in forms (``POST image``, ``image/backgrounded``, ``internal/import``), by the upload door's
    rules; None lets them by. ``observe``: nothing is refused, what cannot be read goes on as it is.
    """

    name = "fediward-pictrs"

    def __init__(
        self,
        rules: Rules,
        urls: StableUrls,
        look_back: LookBack | None = None,
        upload: Upload | None = None,
        *,
        observe: bool = False,
    ) -> None:
        self.rules = rules
        self.urls = urls
        self.look_back = look_back
        self.upload = upload
        self.observe = observe
        self._open: set[str] = set()

    def next_layer(self, nextlayer: layer.NextLayer) -> None:
        """HTTP/1 with our bounds."""
        speak_http1(nextlayer, self.rules)

    def requestheaders(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        """Rewrite the remote images that it names; what cannot be read for certain is refused."""
        if "upgrade" in flow.request.headers:
            remove_upgrade(flow.request)
        self._open.add(flow.id)
        try:
            target = read_target(flow.request.data.path)
        except UnreadableTargetError as error:
            if self.observe:
                self._go_on(flow)
            else:
                self._refuse(flow, str(error))
            return None
        if target is None:
            self._go_on(flow)
            return None
        if self.look_back and (url := target.pair) and not self.urls.owns(url) and not self.look_back.absent(url):
            return self._looked_back(flow, target, url, self.look_back)
        self._rewrite(flow, target)
        return None

    async def _looked_back(self, flow: http.HTTPFlow, target: Target, url: str, look_back: LookBack) -> None:
        if await look_back.finds(url):
            self._go_on(flow)
        else:
            self._rewrite(flow, target)

    def _rewrite(self, flow: http.HTTPFlow, target: Target) -> None:
        flow.request.data.path = target.rewritten(lambda url: url if self.urls.owns(url) else self.urls.of(url))
        self._go_on(flow)

    def _go_on(self, flow: http.HTTPFlow) -> None:
        if self.upload is None or not self.upload.takes(flow):
            flow.request.stream = True

    def _refuse(self, flow: http.HTTPFlow, message: str) -> None:
        """400 in the form of pict-rs's own errors; the layer sends it without waiting for a body, or for its end."""
        body = json.dumps({"msg": message, "code": "invalid-url"}).encode()
        headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
        flow.response = http.Response.make(400, body, headers)

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """No response is looked at here."""
        if flow.response is not None:
            flow.response.stream = True

    def request(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        """A whole request is there: if it is an upload, it is judged."""
        return self.upload.request(flow) if self.upload is not None and VISIT in flow.metadata else None

    def response(self, flow: http.HTTPFlow) -> None:
        """The request is done."""
        self._over(flow)

    def error(self, flow: http.HTTPFlow) -> None:
        """The request is done too: one of the sides is gone."""
        self._over(flow)

    def _over(self, flow: http.HTTPFlow) -> None:
        self._open.discard(flow.id)
        if self.upload is not None:
            self.upload.over(flow)

    async def done(self) -> None:
        """mitmproxy is closing."""
        if self.upload is not None:
            self.upload.uploads.close()
        if self.look_back is not None:
            await self.look_back.close()

    @property
    def busy(self) -> bool:
        """Whether a request is under way, or an upload is judged that nobody waits for."""
        return bool(self._open or (self.upload is not None and self.upload.busy))

    async def drained(self, timeout: float) -> bool:
        """Wait until no request is under way, for at most ``timeout`` seconds; whether it came to that."""
        deadline = time.monotonic() + timeout
        while self.busy and time.monotonic() < deadline:  # noqa: ASYNC110  # several things end it, none has an event
            await asyncio.sleep(0.02)
        return not self.busy
