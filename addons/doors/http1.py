"""HTTP/1 on both sides of a door, with the bounds that mitmproxy's own connections lack: head size, trailers, waits."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import h11
from mitmproxy import http
from mitmproxy.connection import ConnectionState
from mitmproxy.net.http import http1
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import _http1
from mitmproxy.proxy.layers.http._base import HttpEvent, ReceiveHttp
from mitmproxy.proxy.layers.http._events import (
    ErrorCode,
    RequestHeaders,
    RequestProtocolError,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
)

from addons.doors.deliveries import is_delivery, is_disguised
from addons.doors.heads import ERROR_TEXTS, MalformedHeadError, StrictChunkedReader, error_response, read_head
from addons.doors.messages import IndexedHeaders

# What a refused client may still send: closing on unread bytes resets the connection, and the reset can overtake our
# answer (RFC 9112 section 9.6).
LINGER_BYTES = 8 << 20
LINGER_SECONDS = 5.0
# A chunk's size line with its extensions, or the start of trailers, waiting for its end.
CHUNK_LINE_BYTES = 16 << 10


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a client of a door may take: bytes of head and of a delivery's body, seconds of each phase.

    ``head_time``: first byte of a request to the end of its head. ``body_time``: a delivery's whole body; of any other
    request, the time between two pieces. ``idle_time``: between two requests. ``quiet_time``: a response or tunnel in
    which neither side says anything.
    """

    head: int = 64 << 10
    body: int = 1 << 20
    head_time: float = 10.0
    body_time: float = 60.0
    idle_time: float = 120.0
    quiet_time: float = 600.0

    @property
    def tick(self) -> float:
        """Seconds between two looks at the clock: fine enough for the shortest bound."""
        return max(0.05, min(5.0, min(self.head_time, self.body_time, self.idle_time, self.quiet_time) / 4))


class _BoundedBody(_http1.Http1Connection):
    """Reads bodies like mitmproxy, but neither crashes on trailers nor buffers an endless chunk line."""

    def read_body(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Hand on what the body reader gives, until it wants more."""
        assert self.stream_id is not None
        is_request = isinstance(self, DoorServer)
        while True:
            try:
                if isinstance(event, events.DataReceived):
                    part = self.body_reader(self.buf)
                else:
                    part = self.body_reader.read_eof()
                if part is None:
                    if len(self.buf) > CHUNK_LINE_BYTES:
                        raise h11.RemoteProtocolError("a chunk's size line or the trailers have no end")
                    return
            except h11.ProtocolError as error:
                yield from self.broken(f"HTTP/1 protocol error: {error}")
                return
            if isinstance(part, h11.Data):
                if part.data:
                    yield ReceiveHttp(self.ReceiveData(self.stream_id, bytes(part.data)))
                    if self.state != self.read_body:
                        return  # what was read ended the reading: too large, or the other side is gone
            else:
                assert isinstance(part, h11.EndOfMessage)
                # A CONNECT has no end of its own: what follows is the tunnel.
                if self.request is None or self.request.method != "CONNECT":
                    yield ReceiveHttp(self.ReceiveEndOfMessage(self.stream_id))
                yield from self.mark_done(request=is_request, response=not is_request)
                return

    def broken(self, message: str) -> layer.CommandGenerator[None]:
        """The peer's body cannot be read."""
        assert self.stream_id is not None
        yield commands.CloseConnection(self.conn)
        yield ReceiveHttp(self.ReceiveProtocolError(self.stream_id, message, code=self.ReceiveProtocolError.code))


class DoorServer(_BoundedBody, _http1.Http1Server):
    """The client's side of a door."""

    def __init__(self, context: Context, bounds: Bounds, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(context)
        self.bounds = bounds
        self.clock = clock
        self.delivery = False
        self.whole: float | None = None
        """Seconds that the whole of a body that is gathered may take."""
        self._heard = self.last_answer = clock()
        self._phase_began = self._heard
        self._lingered = 0

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        if isinstance(event, events.Wakeup):
            yield from self._tick()
            return
        if isinstance(event, events.Start):
            yield commands.RequestWakeup(self.bounds.tick)
        now = self.clock()
        if isinstance(event, events.DataReceived):
            if self.state == self.read_headers and not self.buf:
                self._phase_began = now
            if self.state == self.linger:
                yield from self.linger(event)
                return
        self._heard = now
        if isinstance(event, HttpEvent):
            yield from self.send(event)
            return
        if isinstance(event, events.DataReceived) and self.state != self.passthrough:
            self.buf += event.data
        yield from self.state(event)

    def _tick(self) -> layer.CommandGenerator[None]:
        """Look at the clock: has the client taken longer than its phase may last?"""
        now = self.clock()
        bounds = self.bounds
        if self.state == self.linger:
            if now - self._phase_began > LINGER_SECONDS:
                yield commands.CloseConnection(self.conn)
                return
        elif self.state == self.read_headers:
            if self.buf and now - self._phase_began > bounds.head_time:
                yield from self.refuse(408, "the request head took too long")
            elif not self.buf and now - self._heard > bounds.idle_time:
                yield commands.CloseConnection(self.conn)
                return
        elif self.state == self.read_body:
            if now - self._heard > bounds.body_time or now - self._phase_began > (self.whole or math.inf):
                yield from self.refuse(408, "the request body took too long")
                yield ReceiveHttp(RequestProtocolError(self.stream_id, "body too slow", ErrorCode.CLIENT_DISCONNECTED))
        elif now - self._heard > bounds.quiet_time:
            yield commands.CloseConnection(self.conn)
            return
        if self.conn.state is not ConnectionState.CLOSED:
            yield commands.RequestWakeup(bounds.tick)

    def refuse(self, status: int, message: str) -> layer.CommandGenerator[None]:
        """Answer with an error, and be done with this client."""
        yield from self.finish(error_response(status, message))

    def finish(self, answer: bytes) -> layer.CommandGenerator[None]:
        """Send a whole answer unless one has begun, then hear the client out."""
        if self.conn.state & ConnectionState.CAN_WRITE:
            if not self.response:
                yield commands.SendData(self.conn, answer)
            yield commands.CloseTcpConnection(self.conn, half_close=True)
        self._phase_began = self.clock()
        self.buf = h11._receivebuffer.ReceiveBuffer()
        self.state = self.linger

    def linger(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Throw away what still comes, within bounds, so that our answer is read before the connection is gone."""
        if isinstance(event, events.DataReceived):
            self._lingered += len(event.data)
            if self._lingered <= LINGER_BYTES:
                return
        yield commands.CloseConnection(self.conn)

    def read_headers(self, event: events.ConnectionEvent) -> layer.CommandGenerator[None]:
        """Read a request head of at most ``bounds.head`` bytes."""
        if not isinstance(event, events.DataReceived):
            yield commands.CloseConnection(self.conn)
            return
        lines: list[bytearray] | None = []
        while lines == []:  # blank lines before a request are skipped (RFC 9112 section 2.2)
            before = len(self.buf)
            lines = self.buf.maybe_extract_lines()
        if before - len(self.buf) > self.bounds.head or (lines is None and before > self.bounds.head):
            yield from self.refuse(431, "the request head is too large")
            return
        if lines is None:
            return
        try:
            request = self.request = self.read_request([bytes(line) for line in lines], before - len(self.buf))
            size = http1.expected_http_body_size(request)
        except ValueError as error:
            self.request = None
            known = (
                error if isinstance(error, MalformedHeadError) else MalformedHeadError("the request head is malformed")
            )
            yield from self.refuse(known.status, str(known))
            return
        self.delivery = self.gathers(request)
        self.whole = self.bounds.body_time if self.delivery else None
        self._phase_began = self.clock()
        # The body's state comes first: what the stream answers to the head may already end the reading.
        self.body_reader = StrictChunkedReader() if size is None else _http1.make_body_reader(size)
        self.state = self.read_body
        yield ReceiveHttp(RequestHeaders(self.stream_id, request, size == 0))
        if self.state == self.read_body:
            yield from self.state(event)

    def read_request(self, lines: list[bytes], size: int) -> http.Request:
        """The request whose head, of ``size`` bytes, has these lines. Raises MalformedHeadError."""
        request = read_head(lines, size)
        if is_disguised(request.method, request.path, request.headers.fields):
            raise MalformedHeadError("a header or the query says another method or path than the request line")
        return request

    def gathers(self, request: http.Request) -> bool:
        """Whether this request's body is gathered before it goes on."""
        return is_delivery(request.method, request.path, request.headers.get_all("content-type"))

    def broken(self, message: str) -> layer.CommandGenerator[None]:
        """400, and the stream hears that its client is gone."""
        yield from self.refuse(400, message)
        yield ReceiveHttp(RequestProtocolError(self.stream_id, message, ErrorCode.CLIENT_DISCONNECTED))

    def wait(self, event: events.Event) -> layer.CommandGenerator[None]:
        """A client that goes on sending while it waits for its answer is pipelining: kept, but within bounds."""
        if isinstance(event, events.DataReceived):
            if len(self.buf) > self.bounds.head:
                yield commands.CloseConnection(self.conn)
                yield ReceiveHttp(
                    RequestProtocolError(self.stream_id, "pipelined too much", ErrorCode.CLIENT_DISCONNECTED)
                )
            return
        yield from super().wait(event)

    def send(self, event: HttpEvent) -> layer.CommandGenerator[None]:
        """Errors go out in our own neutral form; everything else as mitmproxy sends it."""
        if self.state == self.linger:
            return
        if isinstance(event, ResponseHeaders) and event.response.status_code == 100:
            # mitmproxy takes it for the answer, and no refusal could follow. An HTTP/1.0 client did not mean to wait
            # for it (RFC 9110 section 10.1.1).
            if self.request and self.request.is_http11:
                yield commands.SendData(self.conn, http1.assemble_response_head(event.response))
            return
        if isinstance(event, ResponseEndOfMessage) and self.response and self.response.status_code == 304:
            # It may say that a GET would be chunked, yet has no body (RFC 9112 section 6.1): mitmproxy would end one.
            yield from self.mark_done(response=True)
            return
        if isinstance(event, ResponseProtocolError):
            status = event.code.http_status_code()
            if status is None:
                yield commands.CloseConnection(self.conn)
            else:
                # mitmproxy's own wording speaks of mitmproxy and its options, which is none of a sender's business.
                yield from self.refuse(status, ERROR_TEXTS.get(status, "the request could not be handled"))
            return
        yield from super().send(event)

    def mark_done(self, *, request: bool = False, response: bool = False) -> layer.CommandGenerator[None]:
        """One side of an exchange is over; after both, the next request may be in the buffer, and its time begins."""
        if self.state == self.linger:
            return
        self._heard = self._phase_began = self.clock()
        if response:
            self.last_answer = self._heard
        yield from super().mark_done(request=request, response=response)


class DoorClient(_BoundedBody, _http1.Http1Client):
    """The upstream's side of a door."""

    def __init__(self, context: Context, bounds: Bounds) -> None:
        super().__init__(context)
        self.bounds = bounds

    def read_headers(self, event: events.ConnectionEvent) -> layer.CommandGenerator[None]:
        """Read a response head; interim ones (100, 103) end here, since mitmproxy takes them for the answer."""
        if not isinstance(event, events.DataReceived) or not self.request or self.stream_id is None:
            yield from super().read_headers(event)
            return
        while True:
            before = len(self.buf)
            lines = self.buf.maybe_extract_lines()
            if before - len(self.buf) > self.bounds.head or (lines is None and before > self.bounds.head):
                yield from self.broken("the server's response head is too large")
                return
            if lines is None:
                return
            if not lines:
                continue
            try:
                response = http1.read_response_head([bytes(line) for line in lines])
                size = http1.expected_http_body_size(self.request, response)
            except ValueError as error:
                yield from self.broken(f"the server's response cannot be read: {error}")
                return
            if 100 <= response.status_code < 200 and response.status_code != 101:
                continue
            break
        response.data.headers = IndexedHeaders.of(response.headers)
        self.response = response
        self.body_reader = _http1.make_body_reader(size)
        self.state = self.read_body
        yield ReceiveHttp(ResponseHeaders(self.stream_id, response, size == 0))
        yield from self.state(event)

    def mark_done(self, *, request: bool = False, response: bool = False) -> layer.CommandGenerator[None]:
        """One side of an exchange is over."""
        yield from super().mark_done(request=request, response=response)
        if self.response_done and not self.request_done:
            self.state = self.answered

    def answered(self, event: events.Event) -> layer.CommandGenerator[None]:
        """The server answered before it had the whole request, and now it is gone, or says what belongs to nothing."""
        yield from self.broken("the server ended the connection before it had the whole request")
