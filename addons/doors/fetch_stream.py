"""One request of the server's through the fetch door: what a GET brings is gathered, judged, and only then passed."""

from dataclasses import dataclass

from mitmproxy import flow as flows
from mitmproxy import http
from mitmproxy.net.http import http1
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.layers import http as http_layers
from mitmproxy.proxy.layers.http._events import (
    RequestProtocolError,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
    ResponseTrailers,
)
from mitmproxy.proxy.layers.http._hooks import HttpConnectHook, HttpErrorHook, HttpResponseHeadersHook
from mitmproxy.proxy.layers.tcp import TCPLayer

from addons.doors.answers import unstored
from addons.doors.asking import Asked, Cut, UnsatisfiableError, make_partial, span, unsatisfiable
from addons.doors.forwarding import TIMED_OUT
from addons.doors.gathering import Reading, Step
from addons.doors.heads import ERROR_TEXTS
from addons.doors.layers import DoorStream
from addons.doors.observing import Tap

TUNNEL = "fediward.tunnel"
"""Flow metadata of a CONNECT: it goes on as bytes."""
LOOK = "fediward.look"
"""Flow metadata of a GET: the :class:`Look` at what it brings."""
REFUSED = "this destination is refused: "
"""What an error to connect begins with where it is the door's own."""

_FROM_HOST = (ResponseData, ResponseTrailers, ResponseEndOfMessage, ResponseProtocolError)


@dataclass
class Look:
    """One GET whose answer is looked at.

    ``deadline``: seconds for the answer. ``asked``: the part that was asked for. The addon makes ``reading`` once the
    head is there, or ``answer`` where it need not see more; after ``fetched``, ``answer`` None passes it all.
    ``late``: the deadline is over, and not all of it was there. ``tap``: keeps a copy of what passes unheld.
    """

    deadline: float
    asked: Asked | None = None
    began: float = 0.0
    reading: Reading | None = None
    answer: http.Response | None = None
    late: bool = False
    whole: bool = False
    tap: Tap | None = None


@dataclass
class FetchedHook(commands.StartHook):
    """What a GET brought was gathered as far as it will be: ``look.whole``, or why not."""

    flow: http.HTTPFlow


class FetchStream(DoorStream):
    """One request and its answer."""

    answered = False
    """Whether the client has its answer before the host has said all: what still comes of it is nothing."""

    @property
    def look(self) -> Look | None:
        """The look at the answer, where there is one."""
        found = self.flow.metadata.get(LOOK)
        assert found is None or isinstance(found, Look)
        return found

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        if isinstance(event, events.Wakeup):
            yield from self._deadline()
        elif not (self.answered and isinstance(event, _FROM_HOST)):
            yield from super()._handle_event(event)

    # -- where it goes -------------------------------------------------------------------------------------------------

    def handle_connect(self) -> layer.CommandGenerator[None]:
        """A CONNECT: refused by the addon, passed on as bytes, or looked into."""
        self.client_state = self.state_done
        yield HttpConnectHook(self.flow)
        if (yield from self.check_killed(False)):
            return
        if self.flow.response is not None:
            self.flow.response.headers["Connection"] = "close"
            yield from self._finish(http1.assemble_response(self.flow.response))
            return
        self.context.server.address = (self.flow.request.host, self.flow.request.port)
        tunnel = self.flow.metadata.get(TUNNEL)
        self.child_layer = TCPLayer(self.context, ignore=True) if tunnel else layer.NextLayer(self.context)
        yield from self.handle_connect_finish()  # type: ignore[no-untyped-call]  # mitmproxy's own

    def make_server_connection(self) -> layer.CommandGenerator[bool]:
        """Open the connection; where that fails, an answer that says so."""
        if look := self.look:
            look.began = self.client_side.clock()
            yield commands.RequestWakeup(look.deadline)
        to = (self.flow.request.host, self.flow.request.port)
        connection, error = yield http_layers.GetHttpConnection(to, self.flow.request.scheme == "https", None, "tcp")
        if error is None:
            self.context.server = self.flow.server_conn = connection
            return True
        late = look is not None and self.client_side.clock() - look.began >= look.deadline
        status = 403 if error.startswith(REFUSED) else 504 if late or error == TIMED_OUT else 502
        yield from self._fail(status, error)
        return False

    def _fail(self, status: int, message: str) -> layer.CommandGenerator[None]:
        """Answer with an error of ours, and be done with this client."""
        self.flow.error = flows.Error(message)
        yield HttpErrorHook(self.flow)
        said = message.removeprefix(REFUSED) if status == 403 else ERROR_TEXTS.get(status, message)
        if message.startswith("Certificate verify failed"):
            said = "the host's certificate is not valid"
        self.server_state = self.state_errored
        answer = unstored(status, said)
        answer.headers["Connection"] = "close"
        yield from self._finish(http1.assemble_response(answer))

    # -- what it brings ------------------------------------------------------------------------------------------------

    def state_wait_for_response_headers(self, event: ResponseHeaders) -> layer.CommandGenerator[None]:
        """The head is there: what is looked at is held back from here on."""
        look = self.look
        if look is None or event.response.status_code == 101:
            yield from super().state_wait_for_response_headers(event)
            return
        self.flow.response = event.response
        if (yield from self.check_invalid(False)):
            return
        yield HttpResponseHeadersHook(self.flow)
        if (yield from self.check_killed(True)):
            return
        if look.answer is not None:
            yield from self._give(look.answer, ended=False)
        elif look.reading is None:
            yield from self._let_go(ended=False)
        else:
            self.server_state = self.state_gather

    def state_gather(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Told by its first bytes what it is; media and documents are gathered whole."""
        look = self.look
        assert look is not None
        assert look.reading is not None
        if isinstance(event, ResponseData):
            step, ended = look.reading.feed(event.data), False
        elif isinstance(event, ResponseEndOfMessage):
            step, ended = look.reading.finish(), True
        else:
            return
        if step is Step.STREAM:
            yield from self._let_go(ended=ended)
        elif step is not Step.MORE:
            look.whole = step is Step.WHOLE
            yield from self._settle(look, ended=ended)

    def _deadline(self) -> layer.CommandGenerator[None]:
        look = self.look
        if look is None:
            return
        if self.server_state == self.state_wait_for_response_headers:
            yield commands.CloseConnection(self.context.server)
            yield from self._fail(504, TIMED_OUT)
        elif self.server_state == self.state_gather:
            look.late = True
            yield from self._settle(look, ended=False)

    def _settle(self, look: Look, *, ended: bool) -> layer.CommandGenerator[None]:
        """Ask the addon, and do as it says."""
        yield FetchedHook(self.flow)
        if (yield from self.check_killed(True)):
            self._drop()
        elif look.answer is not None:
            yield from self._give(look.answer, ended=ended)
        elif look.whole:
            yield from self._pass_whole(look)
        else:
            yield from self._let_go(ended=ended)

    def _pass_whole(self, look: Look) -> layer.CommandGenerator[None]:
        """The bytes that were judged, all of them or the part asked for."""
        assert self.flow.response is not None
        assert look.reading is not None
        body = look.reading.raw
        try:
            part = span(look.asked, len(body), self.flow.response)
        except UnsatisfiableError:
            yield from self._give(unsatisfiable(len(body)), ended=True)
            return
        response = self.flow.response
        if part is not None:
            make_partial(response, part, len(body))
            body = body[part[0] : part[1]]
        response.headers.pop("transfer-encoding", None)
        response.headers["Content-Length"] = str(len(body))
        response.data.content = body
        yield from self._give(response, ended=True)

    def _give(self, answer: http.Response, *, ended: bool) -> layer.CommandGenerator[None]:
        """Answer with a whole response. ``ended``: nothing more comes from the host."""
        self.flow.response = answer
        yield from self.send_response()
        answer.data.content = b""
        self._drop()
        if not ended:
            self.answered = True
            yield commands.CloseConnection(self.context.server)

    def _let_go(self, *, ended: bool) -> layer.CommandGenerator[None]:
        """Pass on what there is and what comes, as it comes; of a known length, only the part asked for."""
        look = self.look
        assert self.flow.response is not None
        assert look is not None
        gathered = look.reading.raw if look.reading else b""
        length = self.flow.response.headers.get("content-length", "")
        self.flow.response.stream = look.tap or True
        if look.asked and length.isascii() and length.isdecimal():
            try:
                part = span(look.asked, int(length), self.flow.response)
            except UnsatisfiableError:
                yield from self._give(unsatisfiable(int(length)), ended=ended)
                return
            if part is not None:
                make_partial(self.flow.response, part, int(length))
                self.flow.response.stream = Cut(part)
        yield from self.start_response_stream()
        if look.reading:
            look.reading.lease.release()
        if gathered:
            yield from self.state_stream_response_body(ResponseData(self.stream_id, gathered))
        if ended and self.server_state == self.state_stream_response_body:
            yield from self.state_stream_response_body(ResponseEndOfMessage(self.stream_id))

    def state_stream_response_body(self, event: events.Event) -> layer.CommandGenerator[None]:
        """On its way; once the part asked for went by, the rest is not waited for."""
        yield from super().state_stream_response_body(event)
        cut = self.flow.response.stream if self.flow.response else None
        if isinstance(cut, Cut) and cut.done and self.server_state == self.state_stream_response_body:
            yield from self.send_response(already_streamed=True)
            self.answered = True
            yield commands.CloseConnection(self.context.server)

    def handle_protocol_error(
        self, event: RequestProtocolError | ResponseProtocolError
    ) -> layer.CommandGenerator[None]:
        """One side is gone, and with it the need for what was gathered: nothing passes as complete."""
        self._drop()
        yield from super().handle_protocol_error(event)

    def _drop(self) -> None:
        """Give back the memory of what was gathered; judging may hold on to it."""
        look = self.look
        if look is not None and look.reading is not None:
            look.reading.lease.release()
        if look is not None and look.tap is not None:
            look.tap.stop()
