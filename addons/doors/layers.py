"""mitmproxy's HTTP layer as a door needs it: deliveries are gathered within a bound, everything else is streamed."""

import base64
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field

from mitmproxy import http
from mitmproxy.connection import Server
from mitmproxy.flow import Error
from mitmproxy.net.http import http1
from mitmproxy.proxy import commands, events, layer, tunnel
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers import http as http_layers
from mitmproxy.proxy.layers import tls
from mitmproxy.proxy.layers.http import HTTPMode, SendHttp
from mitmproxy.proxy.layers.http._events import (
    ErrorCode,
    RequestData,
    RequestProtocolError,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
)
from mitmproxy.proxy.layers.http._hooks import HttpErrorHook
from mitmproxy.proxy.layers.tcp import TCPLayer
from mitmproxy.proxy.mode_specs import ReverseMode

from addons.doors.answers import refusal
from addons.doors.http1 import Bounds, DoorClient, DoorServer
from addons.fetching.budget import BudgetSpentError, Lease, MemoryBudget

WEBSOCKET_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
REUSE_SECONDS = 1.0
"""How long a connection to the server may have been idle: servers close theirs after 2 s (gunicorn) and more."""
UNJUDGED = "fediward.unjudged"
"""Flow metadata: the policy lets this delivery by unjudged, since there was no memory to gather it."""
UNREACHED = "fediward.unreached"
"""Flow metadata: no connection to the server could be had for it."""
GATHER = "fediward.gather"
"""Flow metadata: a :class:`Gather`, which an addon's ``requestheaders`` puts there where a body that is no delivery is
to be gathered; the request's ``stream`` stays off."""


@dataclass(frozen=True, slots=True)
class Gather:
    """How a body is gathered: at most ``limit`` bytes under ``budget``, within ``seconds`` for the whole of it.

    ``large`` and ``busy`` make the answers where it is larger, or the budget has no room; None lets it by unjudged.
    ``ahead``: the length that it says is taken from the budget before it comes.
    """

    limit: int
    budget: MemoryBudget
    large: Callable[[http.HTTPFlow], http.Response | None]
    busy: Callable[[http.HTTPFlow], http.Response | None]
    seconds: float
    ahead: bool = True


@dataclass(frozen=True, slots=True)
class Rules:
    """What a door's layers need to know: bounds, and the budget that bodies are gathered under.

    ``busy`` makes the answer to a delivery that the budget has no room for; None lets it by unjudged. ``refuse_large``:
    whether a delivery over the bound is refused; with ``mode: observe`` it is let by unjudged.
    """

    bounds: Bounds
    budget: MemoryBudget
    busy: Callable[[http.HTTPFlow], http.Response | None]
    refuse_large: bool = True
    deliveries: Gather = field(init=False)
    """How deliveries are gathered."""

    def __post_init__(self) -> None:
        gather = Gather(self.bounds.body, self.budget, self._large, self.busy, self.bounds.body_time)
        object.__setattr__(self, "deliveries", gather)

    def _large(self, flow: http.HTTPFlow) -> http.Response | None:
        message = f"a delivery may have {self.bounds.body} bytes at most"
        return refusal(413, message) if self.refuse_large else None


def is_websocket(request: http.Request, response: http.Response | None = None) -> bool:
    """Whether this is a WebSocket handshake, and, with a response, one that the server really took up (RFC 6455)."""
    if request.headers.get("upgrade", "").strip().lower() != "websocket" or request.method != "GET":
        return False
    if response is None:
        return True
    key = request.headers.get("sec-websocket-key", "").encode("latin-1", "replace")
    expected = base64.b64encode(hashlib.sha1(key + WEBSOCKET_GUID).digest())
    given = response.headers.get("sec-websocket-accept", "").encode("latin-1", "replace")
    return response.headers.get("upgrade", "").strip().lower() == "websocket" and hmac.compare_digest(expected, given)


class DoorStream(http_layers.HttpStream):
    """One request and its answer. Bodies of deliveries, and what an addon asks for, are gathered within bounds."""

    def __init__(self, context: Context, stream_id: int, rules: Rules, client: DoorServer) -> None:
        super().__init__(context, stream_id)
        self.rules = rules
        self.client_side = client
        self.lease: Lease | None = None

    def check_body_size(self, request: bool) -> layer.CommandGenerator[bool]:
        """mitmproxy asks this before and while it gathers a body. True: the request was answered, stop."""
        if not request or self.flow.request.stream:
            return False
        if self.flow.response is not None:
            # Answered on its head alone: the body is not waited for, let alone kept.
            self.flow.response.headers["Connection"] = "close"
            yield from self._finish(http1.assemble_response(self.flow.response))
            return True
        gather = self.gather()
        if gather is None:
            return False
        size = told = len(self.request_body_buf)
        if not size and "content-length" in self.flow.request.headers:
            told = int(self.flow.request.headers["content-length"])  # its form was checked with the head
        if told > gather.limit:
            return (yield from self._answer(gather.large(self.flow)))
        size = told if gather.ahead else size
        try:
            if self.lease is None:
                self.lease = gather.budget.take(size)
            elif size > self.lease.size:
                self.lease.grow(size - self.lease.size)
        except BudgetSpentError:
            return (yield from self._answer(gather.busy(self.flow)))
        return False

    def gather(self) -> Gather | None:
        """How this body is gathered, if it is."""
        asked: Gather | None = self.flow.metadata.get(GATHER)
        return asked or (self.rules.deliveries if self.client_side.delivery else None)

    def check_killed(self, emit_error_hook: bool) -> layer.CommandGenerator[bool]:
        """mitmproxy asks this after each hook: after the head's, what an addon made of it holds at once, before a
        client is told to go on (Expect) or sends anything."""
        if (yield from super().check_killed(emit_error_hook)):
            return True
        if self.client_state != self.state_wait_for_request_headers:
            return False
        if self.flow.request.stream:
            self._release()  # an addon streams what looks like a delivery
            self.client_side.whole = None
            return False
        headers = self.flow.request.headers
        if headers.get("content-length") == "0":
            return False
        if (gather := self.flow.metadata.get(GATHER)) is not None:
            self.client_side.whole = gather.seconds
        elif self.flow.response is None:
            return False
        if "content-length" not in headers and "transfer-encoding" not in headers:
            return False
        return (yield from self.check_body_size(True))

    def _answer(self, answer: http.Response | None) -> layer.CommandGenerator[bool]:
        """Answer instead of gathering, or let it by unjudged. True: it was answered."""
        if answer is None:
            yield from self._let_by()
            return False
        answer.headers["Connection"] = "close"
        yield from self._finish(http1.assemble_response(answer))
        return True

    def _finish(self, answer: bytes) -> layer.CommandGenerator[None]:
        self.request_body_buf.clear()
        self._release()
        self.flow.live = False
        self.client_state = self.state_errored
        yield from self.client_side.finish(answer)
        # As of every flow, the addons hear that this one is over.
        self.flow.error = Error("answered before its body was there")
        yield HttpErrorHook(self.flow)

    def _let_by(self) -> layer.CommandGenerator[None]:
        """Stop gathering and stream, as mitmproxy does for large bodies."""
        self.flow.metadata[UNJUDGED] = True
        self.flow.request.stream = True
        self.flow.metadata.pop(GATHER, None)
        self.client_side.delivery = False
        self.client_side.whole = None  # from here on it is timed like any other stream
        self._release()
        if self.request_body_buf:
            gathered = bytes(self.request_body_buf)
            self.request_body_buf.clear()
            yield from self.start_request_stream()
            yield from self.handle_event(RequestData(self.stream_id, gathered))

    def state_consume_request_body(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Gather; the memory is given back once the request is on its way, answered, or its connection is gone."""
        try:
            yield from super().state_consume_request_body(event)
        finally:
            if self.client_state != self.state_consume_request_body:
                self._release()
                self.flow.request.data.content = None  # what the budget no longer counts must not be kept

    def handle_protocol_error(
        self, event: RequestProtocolError | ResponseProtocolError
    ) -> layer.CommandGenerator[None]:
        """One side is gone, and with it the need for what was gathered."""
        if isinstance(event, ResponseProtocolError) and event.code is ErrorCode.CONNECT_FAILED:
            self.flow.metadata[UNREACHED] = True
        self.request_body_buf.clear()
        self._release()
        if (
            isinstance(event, ResponseProtocolError)
            and self.server_state == self.state_done
            and self.client_state == self.state_stream_request_body
        ):
            # The server refused an upload half-way and hung up: its answer is complete, and the client has to see that.
            yield SendHttp(ResponseEndOfMessage(self.stream_id), self.context.client)
        yield from super().handle_protocol_error(event)

    def _release(self) -> None:
        if self.lease is not None:
            self.lease.release()
            self.lease = None

    def state_wait_for_response_headers(self, event: ResponseHeaders) -> layer.CommandGenerator[None]:
        """A 101 that nobody asked for as a WebSocket would open a tunnel past every check: refused."""
        if event.response.status_code == 101 and not is_websocket(self.flow.request, event.response):
            self.flow.response = event.response
            message = "the server switched to a protocol that is not let through"
            yield from self.handle_protocol_error(
                ResponseProtocolError(self.stream_id, message, ErrorCode.GENERIC_SERVER_ERROR)
            )
            yield commands.CloseConnection(self.context.server)
            return
        yield from super().state_wait_for_response_headers(event)

    def flow_done(self) -> layer.CommandGenerator[None]:
        """A WebSocket goes on as bytes relayed both ways: nothing is parsed, so nothing piles up."""
        assert self.flow.response
        if self.flow.response.status_code != 101:
            yield from super().flow_done()
            return
        self.flow.live = False
        self.child_layer = TCPLayer(self.context, ignore=True)
        self._handle_event = self.passthrough
        yield from self.child_layer.handle_event(events.Start())
        yield SendHttp(ResponseEndOfMessage(self.stream_id), self.context.client)


class DoorHttpClient(http_layers.HttpClient):
    """Opens the connection to the upstream and speaks HTTP/1 with our bounds."""

    def __init__(self, context: Context, bounds: Bounds) -> None:
        super().__init__(context)
        self.bounds = bounds

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        error = None
        if not self.context.server.connected:
            error = yield commands.OpenConnection(self.context.server)
        if not error:
            self.child_layer = DoorClient(self.context, self.bounds)
            self._handle_event = self.child_layer.handle_event  # type: ignore[method-assign]  # as mitmproxy does
            yield from self.child_layer.handle_event(event)
        yield http_layers.RegisterHttpConnection(self.context.server, error)


class DoorLayer(http_layers.HttpLayer):
    """All requests of one client connection, over at most one connection to the upstream at a time."""

    def __init__(self, context: Context, rules: Rules) -> None:
        super().__init__(context, HTTPMode.transparent)
        self.rules = rules
        self.client_side = DoorServer(context.fork(), rules.bounds)
        self.connections = {context.client: self.client_side}

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        if isinstance(event, events.ConnectionEvent) and event.connection not in self.connections:
            # Forgotten below, or opened ahead and not used yet: there is nobody to tell.
            if isinstance(event, events.ConnectionClosed):
                yield commands.CloseConnection(event.connection)
            return
        yield from super()._handle_event(event)

    def make_stream(self, stream_id: int) -> layer.CommandGenerator[None]:
        """A stream of ours for each request."""
        stream = DoorStream(self.context.fork(), stream_id, self.rules, self.client_side)
        self.streams[stream_id] = stream
        yield from self.event_to_child(stream, events.Start())

    def get_connection(
        self, event: http_layers.GetHttpConnection, *, reuse: bool = True
    ) -> layer.CommandGenerator[None]:
        """Reuse the open connection or open one. Dead ones are forgotten: mitmproxy would keep all of them.

        One that was idle may be closed by the server in the very moment that a delivery is sent on it, and that
        delivery would be lost to senders that never try again: it is reused only while it is fresh.
        """
        fresh = self.client_side.clock() - self.client_side.last_answer < REUSE_SECONDS
        for connection in [c for c in self.connections if isinstance(c, Server)]:
            usable = connection.connected and connection not in self.waiting_for_establishment
            if usable and not fresh:
                yield commands.CloseConnection(connection)
            elif usable:
                stream = self.command_sources.pop(event)
                reply = http_layers.GetHttpConnectionCompleted(event, (connection, None))
                yield from self.event_to_child(stream, reply)
                return
            del self.connections[connection]
        context = self.context.fork()
        stack = tunnel.LayerStack()
        # mitmdump opens one connection ahead (its connection_strategy is "eager"): that one is taken first.
        if not fresh or not context.server.connected or context.server in self.connections:
            context.server = Server(address=event.address)
            if event.tls:
                context.server.sni = self.context.server.sni or event.address[0]
                stack /= tls.ServerTLSLayer(context)
        stack /= DoorHttpClient(context, self.rules.bounds)
        self.connections[context.server] = stack[0]
        self.waiting_for_establishment[context.server].append(event)
        yield from self.event_to_child(stack[0], events.Start())


def speak_http1(nextlayer: layer.NextLayer, rules: Rules) -> None:
    """Every connection of a reverse proxy speaks HTTP/1 with our bounds; stock mitmdump's choice is replaced."""
    context = nextlayer.context
    if not isinstance(context.client.proxy_mode, ReverseMode) or len(context.layers) > 2:
        return
    del context.layers[1:]
    context.server.tls = context.client.proxy_mode.scheme == "https"
    nextlayer.layer = DoorLayer(context, rules)


__all__ = ["GATHER", "UNJUDGED", "UNREACHED", "DoorLayer", "Gather", "Rules", "is_websocket", "speak_http1"]
