"""The inbox door: looks into every delivery, has its media judged, and forwards, swallows or refuses it."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from mitmproxy import http
from mitmproxy.connection import Client
from mitmproxy.proxy import layer
from mitmproxy.proxy.mode_specs import ReverseMode

from addons.activitypub.parsing import MalformedActivityError, parse
from addons.activitypub.references import MediaRef, Walk
from addons.activitypub.walk import walk
from addons.doors.answers import inbox_answer, refusal
from addons.doors.deliveries import BodyEncodingError, BodyTooLargeError, decode_body, is_delivery
from addons.doors.layers import UNJUDGED, DoorLayer, Rules, is_websocket
from addons.doors.peers import Network, connection_key, is_trusted, parse_address, sender
from addons.judging.judge import Judge
from addons.judging.local import is_local
from addons.ledger.entry import Entry
from addons.ledger.ledger import Ledger
from addons.policy.decide import Policy, decide, decide_on_context
from addons.policy.hosts import normal_host
from addons.policy.words import Action, Cause, Context, Decision, Medium

logger = logging.getLogger(__name__)

# Larger bodies are parsed in a thread: a mebibyte of JSON would stall every other connection for tens of ms.
PARSE_INLINE = 64 << 10
_UPGRADING = frozenset({b"upgrade", b"http2-settings"})


@dataclass(frozen=True, slots=True)
class InboxSettings:
    """What the inbox door takes from the configuration; ``budget`` in seconds, ``domains`` our own."""

    software: str = "generic"
    domains: frozenset[str] = frozenset()
    trusted_proxies: Sequence[Network] = ()
    judge_local: bool = False
    budget: float = 4.0
    body: int = 1 << 20
    depth: int = 64
    nodes: int = 20_000
    media: int = 32
    deliveries: int = 256
    connections_per_peer: int = 100


@dataclass(frozen=True, slots=True)
class _Delivery:
    """One delivery on its way through the door."""

    body: bytes
    found: Walk
    context: Context
    peer: str
    started: datetime
    began: float


class Inbox:
    """mitmproxy addon. One instance serves all connections of its listener."""

    name = "fediward-inbox"

    def __init__(self, settings: InboxSettings, rules: Rules, policy: Policy, judge: Judge, ledger: Ledger) -> None:
        self.settings = settings
        self.rules = rules
        self.policy = policy
        self.judge = judge
        self.ledger = ledger
        self.in_flight = 0
        self._observing: set[asyncio.Task[None]] = set()
        self._connections: Counter[str] = Counter()

    # -- connections ---------------------------------------------------------------------------------------------------

    def client_connected(self, client: Client) -> None:
        """Bound how many connections one peer has; the admin's own proxies bring everybody's."""
        key = connection_key(client.peername[0])
        self._connections[key] += 1
        address = parse_address(client.peername[0])
        if address and is_trusted(address, self.settings.trusted_proxies):
            return
        if self._connections[key] > self.settings.connections_per_peer:
            client.error = "too many connections from this peer"

    def client_disconnected(self, client: Client) -> None:
        """Forget it."""
        key = connection_key(client.peername[0])
        self._connections[key] -= 1
        if self._connections[key] <= 0:
            del self._connections[key]

    def next_layer(self, nextlayer: layer.NextLayer) -> None:
        """Every connection of a reverse proxy speaks HTTP/1 with our bounds; stock mitmdump's choice is replaced."""
        context = nextlayer.context
        if not isinstance(context.client.proxy_mode, ReverseMode) or len(context.layers) > 2:
            return
        del context.layers[1:]
        context.server.tls = context.client.proxy_mode.scheme == "https"
        nextlayer.layer = DoorLayer(context, self.rules)

    # -- requests ------------------------------------------------------------------------------------------------------

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Stream all but deliveries, and let no protocol be switched to but WebSocket."""
        request = flow.request
        if "upgrade" in request.headers and not is_websocket(request):
            _remove_upgrade(request)
        if not is_delivery(request.method, request.path, request.headers.get_all("content-type")):
            request.stream = True

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """No response is looked at here."""
        if flow.response is not None:
            flow.response.stream = True

    def request(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        """A whole request is there. What needs no judging is settled without waiting."""
        if flow.request.stream:
            if flow.metadata.get(UNJUDGED):
                self.ledger.count("inbox", "unjudged")
            return None
        return self._look(flow)

    def _look(self, flow: http.HTTPFlow) -> Coroutine[Any, Any, None] | None:
        began = time.monotonic()
        try:
            body = decode_body(
                flow.request.raw_content or b"", flow.request.headers.get_all("content-encoding"), self.settings.body
            )
        except BodyTooLargeError:
            flow.response = refusal(413, f"a delivery may have {self.settings.body} bytes at most, decoded")
            self.ledger.count("inbox", "too_large")
            return None
        except BodyEncodingError as error:
            flow.response = refusal(400, str(error))
            self.ledger.count("inbox", "malformed")
            return None
        if len(body) > PARSE_INLINE:
            return self._look_aside(flow, body, began)
        return self._consider(flow, body, self._walk(body), began)

    async def _look_aside(self, flow: http.HTTPFlow, body: bytes, began: float) -> None:
        found = await asyncio.to_thread(self._walk, body)
        if (judging := self._consider(flow, body, found, began)) is not None:
            await judging

    def _walk(self, body: bytes) -> Walk | MalformedActivityError:
        limits = self.settings
        try:
            parsed = parse(body, max_depth=limits.depth, max_nodes=limits.nodes)
        except MalformedActivityError as error:
            return error
        return walk(parsed.document, max_depth=limits.depth, max_nodes=limits.nodes, max_media=limits.media)

    def _consider(
        self, flow: http.HTTPFlow, body: bytes, found: Walk | MalformedActivityError, began: float
    ) -> Coroutine[Any, Any, None] | None:
        """Settle what needs no media; the rest is returned as work to wait for."""
        if isinstance(found, MalformedActivityError):
            flow.response = refusal(400, str(found))
            self.ledger.count("inbox", "malformed")
            return None
        context = Context("inbox", host_of(found.actor), found.actor, found.types, self.settings.software)
        peer = sender(
            flow.client_conn.peername[0], flow.request.headers.items(multi=True), self.settings.trusted_proxies
        )
        delivery = _Delivery(body, found, context, peer, datetime.now(UTC), began)
        media = [
            ref for ref in found.media if self.settings.judge_local or not is_local(ref.url, self.settings.domains)
        ]
        causes = overflow_causes(found)
        decision = decide_on_context(self.policy, context)
        if decision is None and not media:
            decision = decide(self.policy, context, [], causes)
        if decision is not None:
            self._settle(flow, delivery, decision, [])
            return None
        if self.policy.observe:
            self._observe(flow, delivery, media, causes)
            return None
        return self._judge_then_settle(flow, delivery, media, causes)

    # -- judging -------------------------------------------------------------------------------------------------------

    async def _judge_then_settle(
        self, flow: http.HTTPFlow, delivery: _Delivery, refs: Sequence[MediaRef], causes: Sequence[Cause]
    ) -> None:
        decision, media = await self._decide(delivery, refs, causes)
        self._settle(flow, delivery, decision, media)

    async def _decide(
        self, delivery: _Delivery, refs: Sequence[MediaRef], causes: Sequence[Cause]
    ) -> tuple[Decision, list[Medium]]:
        if self.in_flight >= self.settings.deliveries:
            message = f"{self.in_flight} deliveries are being judged already (limits.deliveries)"
            media = [Medium(ref, cause=Cause.BUSY, message=message) for ref in refs]
        else:
            self.in_flight += 1
            try:
                left = self.settings.budget - (time.monotonic() - delivery.began)
                media = await self.judge.judge(refs, timeout=max(0.0, left))
            finally:
                self.in_flight -= 1
        if not self.ledger.healthy:
            causes = [*causes, Cause.LEDGER_ERROR]
        return decide(self.policy, delivery.context, media, causes), media

    def _observe(
        self, flow: http.HTTPFlow, delivery: _Delivery, refs: Sequence[MediaRef], causes: Sequence[Cause]
    ) -> None:
        """Forward now, judge afterwards: no sender waits and nothing is refused."""

        async def later() -> None:
            decision, media = await self._decide(delivery, refs, causes)
            self._settle(flow, delivery, decision, media)

        if len(self._observing) >= self.settings.deliveries:
            self.ledger.count("inbox", "unobserved")
            return
        task = asyncio.get_running_loop().create_task(later())
        self._observing.add(task)
        task.add_done_callback(self._observing.discard)

    def _settle(self, flow: http.HTTPFlow, delivery: _Delivery, decision: Decision, media: Sequence[Medium]) -> None:
        """Act on the decision and write it down. Deliveries without media that pass are only counted."""
        observe = self.policy.observe
        if not observe and (answer := inbox_answer(decision.action)) is not None:
            flow.response = answer
        self.ledger.count("inbox", str(decision.action))
        if not media and decision.action is Action.PASS:
            return
        self.ledger.write(
            Entry.of(
                decision,
                delivery.context,
                media,
                walk=delivery.found,
                peer=delivery.peer,
                started=delivery.started,
                took=time.monotonic() - delivery.began,
                policy_version=self.policy.version,
                engine_version=self.judge.version,
                mode="observe" if observe else "enforce",
                body=delivery.body,
            )
        )

    async def done(self) -> None:
        """On shutdown: let what is being observed end."""
        if self._observing:
            await asyncio.wait(self._observing, timeout=self.settings.budget)


def overflow_causes(found: Walk) -> list[Cause]:
    """The cause of a walk that did not see all: too many media, or too deep or large a document."""
    if found.overflow is None:
        return []
    return [Cause.TOO_MANY if found.overflow == "media" else Cause.TOO_LARGE]


def _remove_upgrade(request: http.Request) -> None:
    """Take out an Upgrade that is not WebSocket: after a 101 nobody could look into what goes by (RFC 9110 7.8)."""
    fields: list[tuple[bytes, bytes]] = []
    for name, value in request.headers.fields:
        match name.lower():
            case b"upgrade" | b"http2-settings":
                continue
            case b"connection":
                tokens = [token.strip() for token in value.split(b",")]
                value = b", ".join(token for token in tokens if token.lower() not in _UPGRADING)
                if value:
                    fields.append((name, value))
            case _:
                fields.append((name, value))
    request.headers.fields = tuple(fields)


@lru_cache(maxsize=4096)
def host_of(iri: str | None) -> str | None:
    """The host of an actor's IRI in its one form, without port; None where there is none."""
    try:
        host = urlsplit(iri or "").hostname
    except ValueError:
        return None
    return normal_host(host) if host else None
