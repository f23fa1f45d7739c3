"""mitmproxy's HTTP layers as the fetch door needs them: a forward proxy, and HTTP inside of its CONNECTs."""

import math
from collections.abc import Callable

from mitmproxy import http
from mitmproxy.connection import Connection
from mitmproxy.proxy import events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers import http as http_layers
from mitmproxy.proxy.layers.http import HTTPMode

from addons.doors.fetch_stream import FetchStream
from addons.doors.http1 import Bounds, DoorServer
from addons.doors.layers import DoorLayer, Rules
from addons.doors.targets import Place, read_proxied

type Admit = Callable[[http.Request, Place | None], None]
"""Raises MalformedHeadError for a request that may not go where it wants to; the place: where its CONNECT led."""


class FetchServer(DoorServer):
    """The client's side: proxied requests, or those inside of a CONNECT."""

    def __init__(self, context: Context, bounds: Bounds, admit: Admit, inside: Place | None) -> None:
        super().__init__(context, bounds)
        self.admit = admit
        self.inside = inside

    def read_request(self, lines: list[bytes], size: int) -> http.Request:
        """See :func:`read_proxied`; one that may not go where it wants to is refused too."""
        request = read_proxied(lines, size, inside=self.inside, tls=self.context.server.tls)
        self.admit(request, self.inside)
        return request

    def gathers(self, request: http.Request) -> bool:
        """No request's body is: the server's own deliveries go out as they come."""
        return False


class FetchLayer(DoorLayer):
    """All requests of one client connection, or of one CONNECT on it."""

    def __init__(self, context: Context, rules: Rules, admit: Admit, inside: Place | None = None) -> None:
        super().__init__(context, rules)
        self.mode = HTTPMode.transparent if inside else HTTPMode.regular
        self.client_side = FetchServer(context.fork(), rules.bounds, admit, inside)
        self.connections: dict[Connection, layer.Layer] = {context.client: self.client_side}
        self._last: tuple[str, int] | None = None

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        yield from super()._handle_event(event)
        if isinstance(event, events.ConnectionClosed) and isinstance(
            self.connections.get(event.connection), FetchStream
        ):
            del self.connections[event.connection]  # what was inside a CONNECT: nobody comes back to it

    def make_stream(self, stream_id: int) -> layer.CommandGenerator[None]:
        """A stream of ours for each request."""
        stream = FetchStream(self.context.fork(), stream_id, self.rules, self.client_side)
        self.streams[stream_id] = stream
        yield from self.event_to_child(stream, events.Start())

    def get_connection(
        self, event: http_layers.GetHttpConnection, *, reuse: bool = True
    ) -> layer.CommandGenerator[None]:
        """As the inbox door's, whose upstream is always the same: here another host needs another connection."""
        if event.address != self._last:
            self.client_side.last_answer = -math.inf
        self._last = event.address
        yield from super().get_connection(event, reuse=reuse)
