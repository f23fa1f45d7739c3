"""The fetch door: a forward proxy for the server's own requests; what they bring is judged before the server has it."""

import asyncio
import logging
import time
from collections.abc import Awaitable

from mitmproxy import http
from mitmproxy.connection import Client
from mitmproxy.proxy import layer
from mitmproxy.proxy.layers.tls import ClientTLSLayer
from mitmproxy.tls import TlsData

from addons.doors.answers import refusal, unstored
from addons.doors.asking import ask_for_all
from addons.doors.destinations import DestinationRefusedError, Destinations
from addons.doors.fetch_layers import FetchLayer
from addons.doors.fetch_settings import FetchDoorSettings
from addons.doors.fetch_stream import LOOK, REFUSED, TUNNEL, FetchStream, Look
from addons.doors.forwarding import TIMED_OUT, Dial
from addons.doors.gathering import Reading, Step, What
from addons.doors.layers import Rules
from addons.doors.media import Media
from addons.doors.observing import Afterwards, Tap
from addons.doors.peers import is_trusted, parse_address
from addons.doors.targets import ForbiddenError, Place, url_of
from addons.doors.upgrades import remove_upgrade
from addons.fetching.resolving import ResolveError, ResolverBusyError
from addons.judging.local import is_local
from addons.policy.hosts import normal_host
from addons.policy.words import Cause, Context

logger = logging.getLogger(__name__)

_NOT_WHOLE = frozenset({206, 304})
_FIND_ANYTHING = frozenset({"gotosocial"})
"""Servers that take what ffmpeg finds, a JPEG behind any bytes as `mjpeg` (GTS:internal/media/ffmpeg.go)."""


class Fetch:
    """mitmproxy addon. One instance serves all connections of its listener."""

    name = "fediward-fetch"

    def __init__(self, settings: FetchDoorSettings, rules: Rules, destinations: Destinations, media: Media) -> None:
        self.settings = settings
        self.rules = rules
        self.destinations = destinations
        self.media = media
        self.gate = media.gate
        self.ledger = media.gate.ledger
        self.observe = media.gate.policy.observe
        self._connections = 0
        self._open: set[str] = set()
        self._afterwards = Afterwards()

    # -- connections ---------------------------------------------------------------------------------------------------

    def client_connected(self, client: Client) -> None:
        """Nobody but the configured clients: this is no proxy for the world."""
        self._connections += 1
        address = parse_address(client.peername[0])
        if address is None or not is_trusted(address, self.settings.clients):
            client.error = "this client may not use the fetch door (doors.fetch.clients)"
            logger.warning("a connection from %s was closed: it is none of doors.fetch.clients", client.peername[0])
        elif self._connections > self.settings.connections:
            client.error = "too many connections"

    def client_disconnected(self, client: Client) -> None:
        """Forget it."""
        self._connections -= 1

    def next_layer(self, nextlayer: layer.NextLayer) -> None:
        """HTTP/1 with our bounds; inside of a CONNECT, TLS first, where the client speaks it."""
        context = nextlayer.context
        above = context.layers[-1]
        place = context.server.address
        if isinstance(above, FetchStream) and nextlayer.data_client().startswith(b"\x16"):
            context.server.tls = True
            nextlayer.layer = ClientTLSLayer(context)
        elif isinstance(above, FetchStream | ClientTLSLayer):
            assert place is not None
            nextlayer.layer = FetchLayer(context, self.rules, self.admit, (place[0], place[1]))
        else:
            nextlayer.layer = FetchLayer(context, self.rules, self.admit)

    def admit(self, request: http.Request, inside: Place | None) -> None:
        """Only to the ports that are open; of a CONNECT that was asked before. Raises ForbiddenError."""
        if inside is None:
            try:
                self.destinations.check_port(request.port, tunnel=request.method == "CONNECT")
            except DestinationRefusedError as error:
                self._refused(request.host, error)
                raise ForbiddenError(str(error)) from error

    async def http_connect(self, flow: http.HTTPFlow) -> None:
        """Where does it lead, and may it be looked into?"""
        request = flow.request
        try:
            await self.destinations.find(request.host, request.port, door=flow.client_conn.sockname[1])
        except DestinationRefusedError as error:
            flow.response = self._refused(request.host, error)
            return
        except (ResolveError, ResolverBusyError, TimeoutError) as error:
            flow.response = unstored(502, f"the host was not found: {error or TIMED_OUT}")
            return
        if request.host in self.settings.tunnel_hosts or self._tunnels(flow.client_conn):
            flow.metadata[TUNNEL] = True
            self.ledger.count("fetch", "tunnel")

    def _tunnels(self, client: Client) -> bool:
        address = parse_address(client.peername[0])
        return address is not None and is_trusted(address, self.settings.tunnel_clients)

    async def dial(self, dial: Dial) -> None:
        """The addresses for a connection, found and checked for this very one."""
        assert dial.server.address is not None
        host, port = dial.server.address[:2]
        dial.seconds = self.settings.deadline
        try:
            dial.addresses = await self.destinations.find(host, port, door=dial.client.sockname[1])
        except DestinationRefusedError as error:
            self._refused(host, error)
            dial.error = f"{REFUSED}{error}"
        except (ResolverBusyError, ResolveError) as error:
            dial.error = str(error)
        except TimeoutError:
            dial.error = TIMED_OUT

    def _refused(self, host: str, error: DestinationRefusedError) -> http.Response:
        logger.warning("the server asked for %s, and was refused: %s", host, error)
        self.ledger.count("fetch", "refused")
        return refusal(403, str(error))

    def tls_failed_client(self, tls: TlsData) -> None:
        """Mostly a server that does not trust our authority: say so where its admin will look."""
        place = tls.context.server.address
        logger.warning(
            "no TLS with %s for %s: %s. Does the server trust fediward's authority? See `fediward ca`",
            tls.context.client.peername[0],
            place[0] if place else "?",
            tls.conn.error,
        )
        self.ledger.count("fetch", "untrusted")

    # -- requests ------------------------------------------------------------------------------------------------------

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """A GET is looked at; all else streams through as it is, both ways."""
        request = flow.request
        if "upgrade" in request.headers:
            remove_upgrade(request)  # WebSockets too: nothing that a server fetches needs one
        self._open.add(flow.id)
        if request.method != "GET":
            request.stream = True
            self.ledger.count("fetch", "unjudged")
        elif self._may_go(flow) and (self.settings.judge_local or not is_local(url_of(request), self.settings.domains)):
            asked = None if self.observe else ask_for_all(request)
            flow.metadata[LOOK] = Look(self.settings.deadline, asked)

    def _may_go(self, flow: http.HTTPFlow) -> bool:
        """Whether anything is asked for at all, or a rule refuses the host."""
        passage = None if self.observe else self.gate.on_context(self._context(flow))
        if passage is None or passage.passes:
            return True
        if passage.undecided:
            flow.response = unstored(503, "not now, please try again later")
        elif "json" in flow.request.headers.get("accept", "").lower():
            # It may be an actor, for which some servers take a 4xx as the end of it.
            flow.response = unstored(502, "nothing is fetched from this host")
        else:
            flow.response = refusal(403, "nothing is fetched from this host")
        return False

    def _context(self, flow: http.HTTPFlow) -> Context:
        address = parse_address(flow.client_conn.peername[0])
        return Context(
            "fetch",
            host=normal_host(flow.request.host),
            software=self.gate.software,
            address=str(address) if address else None,
        )

    # -- responses -----------------------------------------------------------------------------------------------------

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """What is looked at is held back from here on; in ``mode: observe`` a copy is kept as it passes."""
        response, look = flow.response, flow.metadata.get(LOOK)
        assert response is not None
        if look is None:
            response.stream = True
            return
        assert isinstance(look, Look)
        said = ", ".join(response.headers.get_all("content-type"))
        if unseen := _unseen(response, said):
            if self.observe:
                self.ledger.count("fetch", "unobserved")
            else:
                look.answer = self._unreadable(unseen)
            return
        length = response.headers.get("content-length", "")
        reading = Reading(
            said,
            ", ".join(response.headers.get_all("content-encoding")),
            int(length) if length.isascii() and length.isdecimal() else None,
            lease=self.rules.budget.take(0),
            most=self.settings.max_bytes,
            # Errors are no documents, whatever they say: a 410 has to stay one.
            most_document=self.settings.document_bytes if 200 <= response.status_code < 300 else None,
            anything=self.gate.software in _FIND_ANYTHING,
        )
        if self.observe:
            look.tap = Tap(reading, lambda reading, step: self._passed(flow, reading, step))
        else:
            look.reading = reading

    def fetched(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        """All of it is there, or it is known that it will not be."""
        look = flow.metadata[LOOK]
        assert isinstance(look, Look)
        assert look.reading is not None
        if look.late:
            if look.reading.what is not What.MEDIA:
                look.answer = unstored(504, TIMED_OUT)
                return None
            return self._failed(flow, look, Cause.TIMEOUT, f"not fetched within {look.deadline:g} s")
        if look.whole:
            return self._judge(flow, look)
        if look.reading.cause is None:
            look.answer = self._unreadable(look.reading.message)
            return None
        return self._failed(flow, look, look.reading.cause, look.reading.message)

    def _unreadable(self, message: str) -> http.Response:
        logger.info("an answer is refused: %s", message)
        self.ledger.count("fetch", "malformed")
        return unstored(502, f"the host's answer cannot be read: {message}")

    async def _judge(self, flow: http.HTTPFlow, look: Look) -> None:
        assert look.reading is not None
        assert flow.response is not None
        look.answer = await self.media.answer(
            self._context(flow), url_of(flow.request), look.reading, flow.response, timeout=self._left(look)
        )

    async def _failed(self, flow: http.HTTPFlow, look: Look, cause: Cause, message: str) -> None:
        assert look.reading is not None
        look.answer = await self.media.failed(self._context(flow), url_of(flow.request), look.reading, cause, message)

    def _left(self, look: Look) -> float:
        return max(0.0, look.began + look.deadline - time.monotonic())

    def response(self, flow: http.HTTPFlow) -> None:
        """The answer is on its way, or has passed."""
        self._open.discard(flow.id)

    def error(self, flow: http.HTTPFlow) -> None:
        """One of the sides is gone."""
        self._open.discard(flow.id)

    # -- mode: observe -------------------------------------------------------------------------------------------------

    def _passed(self, flow: http.HTTPFlow, reading: Reading, step: Step) -> None:
        """What is looked at has passed, or passes without us having all of it: judge it now, nobody waits."""
        assert flow.response is not None
        context, url = self._context(flow), url_of(flow.request)
        if step is Step.WHOLE:
            work = self.media.observe(context, url, reading, flow.response, timeout=self.settings.deadline)
        else:
            work = self.media.observe_failed(context, url, reading)
        if not self._afterwards.begin(work, reading):
            self.ledger.count("fetch", "unobserved")

    # -- the end -------------------------------------------------------------------------------------------------------

    def done(self) -> None:
        """mitmproxy is closing."""
        self.media.documents.close()

    @property
    def busy(self) -> bool:
        """Whether an exchange is under way: fetched, judged, answered or observed."""
        return bool(self._open or len(self._afterwards))

    async def drained(self, timeout: float) -> bool:
        """Wait until no exchange is under way, for at most ``timeout`` seconds; whether it came to that."""
        deadline = time.monotonic() + timeout
        while self.busy and time.monotonic() < deadline:  # noqa: ASYNC110  # several things end it, none has an event
            await asyncio.sleep(0.02)
        return not self.busy


def _unseen(response: http.Response, content_type: str) -> str:
    """Why what follows this head cannot be looked into; "" where it can."""
    if response.status_code in _NOT_WHOLE or "multipart/" in content_type.lower():
        return "a part of something was sent where all of it was asked for"
    # Compressed for the transfer: who undoes that would have what nobody here has seen (RFC 9112 section 7.2).
    if response.headers.get("transfer-encoding", "chunked").strip().lower() not in ("chunked", "identity"):
        return "it is encoded for the transfer in a way that was not asked for"
    return ""
