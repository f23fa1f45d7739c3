"""The inbox door: looks into every delivery, has its media judged, and forwards, swallows or refuses it."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from mitmproxy import http
from mitmproxy.connection import Client
from mitmproxy.proxy import layer

from addons.activitypub.parsing import MalformedActivityError
from addons.doors.answers import inbox_answer, refusal
from addons.doors.assessing import Delivery, Verdict, read, unread, with_media, with_named, without_media
from addons.doors.deliveries import BodyEncodingError, BodyTooLargeError, decode_body, is_delivery, unknown_charset
from addons.doors.layers import UNJUDGED, Rules, is_websocket, speak_http1
from addons.doors.peers import Network, connection_key, is_trusted, parse_address, sender
from addons.doors.reading import Readers, ReadersBusyError
from addons.doors.stripping import strip
from addons.doors.upgrades import remove_upgrade
from addons.doors.upload import VISIT, Upload
from addons.fetching.budget import BudgetSpentError
from addons.judging.gate import with_standings
from addons.judging.lookahead import Ahead, LookAhead
from addons.judging.looking import Scope
from addons.ledger.entry import Entry, new_id
from addons.ledger.ledger import Ledger
from addons.policy.decide import Policy
from addons.policy.words import Action, Cause, Medium

logger = logging.getLogger(__name__)

READ_INLINE = 8 << 10
"""Bytes of a plain body read on the event loop; more, and all that is compressed, would stall other connections."""

type _Work = Coroutine[Any, Any, None]
type _Unreadable = MalformedActivityError | BodyEncodingError | BodyTooLargeError


@dataclass(frozen=True, slots=True)
class InboxSettings:
    """What the inbox door takes from the configuration; ``budget`` in seconds from a request's end."""

    scope: Scope = field(default_factory=Scope)
    trusted_proxies: Sequence[Network] = ()
    budget: float = 4.0
    deliveries: int = 256
    connections_per_peer: int = 100


@dataclass(frozen=True, slots=True)
class _Visit:
    """One delivery at the door: who brings it, its body as it came, and since when (``began``: monotonic seconds)."""

    raw: bytes
    encodings: Sequence[str]
    peer: str
    started: datetime
    began: float


class Inbox:
    """mitmproxy addon. One instance serves all connections of its listener."""

    name = "fediward-inbox"

    def __init__(
        self,
        settings: InboxSettings,
        rules: Rules,
        policy: Policy,
        look_ahead: LookAhead,
        ledger: Ledger,
        upload: Upload | None = None,
    ) -> None:
        """``upload``: the upload door, which looks at what comes to the same listener; None where no rule asks it."""
        self.settings = settings
        self.rules = rules
        self.policy = policy
        self.look_ahead = look_ahead
        self.ledger = ledger
        self.upload = upload
        self.judging = 0
        """Deliveries whose media are being judged."""
        self._readers = Readers()
        self._open: set[str] = set()
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
        """HTTP/1 with our bounds."""
        speak_http1(nextlayer, self.rules)

    # -- requests ------------------------------------------------------------------------------------------------------

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Stream all but deliveries, and let no protocol be switched to but WebSocket."""
        request = flow.request
        if "upgrade" in request.headers and not is_websocket(request):
            remove_upgrade(request)
        if self.upload is not None and self.upload.takes(flow):
            return
        if not is_delivery(request.method, request.path, request.headers.get_all("content-type")):
            request.stream = True

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """No response is looked at here."""
        if flow.response is not None:
            flow.response.stream = True

    def request(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        """A whole request is there. What needs no judging is settled without waiting."""
        request = flow.request
        if self.upload is not None and VISIT in flow.metadata:
            self._open.add(flow.id)
            return self.upload.request(flow)
        if request.stream:
            if flow.metadata.get(UNJUDGED):
                self.ledger.count("inbox", "unjudged")
            return None
        if (charset := unknown_charset(request.headers.get_all("content-type"))) and not self.policy.observe:
            flow.response = refusal(415, f"a delivery is UTF-8, not {charset}")
            self.ledger.count("inbox", "malformed")
            return None
        self._open.add(flow.id)
        visit = _Visit(
            request.raw_content or b"",
            request.headers.get_all("content-encoding"),
            sender(flow.client_conn.peername[0], request.headers.items(multi=True), self.settings.trusted_proxies),
            datetime.now(UTC),
            time.monotonic(),
        )
        if self.policy.observe:
            self._observe(visit)
            return None
        if visit.encodings or len(visit.raw) > READ_INLINE:
            return self._read_aside(flow, visit)
        try:
            delivery = self._read(visit)
        except (MalformedActivityError, BodyEncodingError, BodyTooLargeError) as error:
            flow.response = self._refuse(error)
            return None
        except Exception:
            logger.exception("a delivery from %s could not be read", visit.peer)
            flow.response = self._unread(visit, Cause.DETECTOR_ERROR)
            return None
        return self._settle_or_judge(flow, visit, delivery)

    def response(self, flow: http.HTTPFlow) -> None:
        """The delivery is done."""
        self._open.discard(flow.id)
        if self.upload is not None:
            self.upload.over(flow)

    def error(self, flow: http.HTTPFlow) -> None:
        """The delivery is done too: one of the sides is gone."""
        self._open.discard(flow.id)
        if self.upload is not None:
            self.upload.over(flow)

    # -- reading -------------------------------------------------------------------------------------------------------

    def _read(self, visit: _Visit) -> Delivery:
        return read(decode_body(visit.raw, visit.encodings, self.rules.bounds.body), self.settings.scope, visit.peer)

    async def _read_aside(self, flow: http.HTTPFlow, visit: _Visit) -> None:
        try:
            async with asyncio.timeout(self._left(visit)):
                delivery = await self._readers.read(connection_key(visit.peer), lambda: self._read(visit))
        except (MalformedActivityError, BodyEncodingError, BodyTooLargeError) as error:
            flow.response = self._refuse(error)
            return
        except TimeoutError:
            flow.response = self._unread(visit, Cause.TIMEOUT)
            return
        except ReadersBusyError:
            flow.response = self._unread(visit, Cause.BUSY)
            return
        except Exception:
            logger.exception("a delivery from %s could not be read", visit.peer)
            flow.response = self._unread(visit, Cause.DETECTOR_ERROR)
            return
        if (judging := self._settle_or_judge(flow, visit, delivery)) is not None:
            await judging

    def _unread(self, visit: _Visit, cause: Cause) -> http.Response | None:
        """The answer to a delivery that was not read, for no fault of its own."""
        action = unread(self.policy, self.settings.scope.software, cause, visit.peer).decision.action
        self.ledger.count("inbox", str(action))
        return inbox_answer(action)

    def _refuse(self, error: _Unreadable) -> http.Response:
        if isinstance(error, BodyTooLargeError):
            self.ledger.count("inbox", "too_large")
            return refusal(413, f"a delivery may have {self.rules.bounds.body} bytes at most, decoded")
        self.ledger.count("inbox", "malformed")
        return refusal(400, str(error))

    # -- judging -------------------------------------------------------------------------------------------------------

    def _settle_or_judge(self, flow: http.HTTPFlow, visit: _Visit, delivery: Delivery) -> _Work | None:
        verdict = without_media(self.policy, delivery)
        if verdict is None:
            return self._judge(flow, visit, delivery)
        if verdict.decision.action is Action.STRIP:
            return self._strip(flow, visit, delivery, verdict)
        flow.response = inbox_answer(self._note(visit, delivery, verdict, ()))
        return None

    async def _judge(self, flow: http.HTTPFlow, visit: _Visit, delivery: Delivery) -> None:
        ahead = await self._media(visit, delivery)
        flow.response = inbox_answer(await self._decide(visit, delivery, ahead))

    async def _strip(self, flow: http.HTTPFlow, visit: _Visit, delivery: Delivery, verdict: Verdict) -> None:
        """A rule on context alone strips all media, which need not be fetched for that where they are known."""
        media = [Medium(ref) for ref in delivery.media]
        if delivery.links or delivery.objects:
            media = (await self._media(visit, delivery)).media
        flow.response = inbox_answer(await self._stand(visit, delivery, verdict, media))

    async def _media(self, visit: _Visit, delivery: Delivery) -> Ahead:
        """Every medium judged, and those that its links and objects lead to, within what is left of the budget, or none
        of them where too much is going on."""
        if self.judging >= self.settings.deliveries:
            return _busy(delivery, f"{self.judging} deliveries are being judged already (limits.deliveries)")
        try:
            # The body as it came is counted by the layer that gathered it.
            lease = self.rules.budget.take(len(delivery.body) if visit.encodings else 0)
        except BudgetSpentError as error:
            return _busy(delivery, str(error))
        self.judging += 1
        try:
            with lease:
                share = connection_key(visit.peer)
                return await self.look_ahead.judge(
                    delivery.media, delivery.links, delivery.objects, timeout=self._left(visit), share=share
                )
        finally:
            self.judging -= 1

    async def _decide(self, visit: _Visit, delivery: Delivery, ahead: Ahead) -> Action:
        media, more = await with_standings(self.ledger.standings, ahead.media, timeout=self._left(visit))
        delivery = with_named(delivery, ahead.named)
        if not (more or self.ledger.healthy):
            more = [Cause.LEDGER_ERROR]
        return await self._stand(visit, delivery, with_media(self.policy, delivery, media, more), media)

    async def _stand(self, visit: _Visit, delivery: Delivery, verdict: Verdict, media: Sequence[Medium]) -> Action:
        """As :meth:`_note`, once that is done without which a ``strip`` hides nothing."""
        id = new_id(visit.started)
        if verdict.decision.action is Action.STRIP and not self.policy.observe:
            standings, left = self.ledger.standings, self._left(visit)
            verdict = await strip(standings, self.policy, delivery, verdict, media, by=id, timeout=left)
        return self._note(visit, delivery, verdict, media, id)

    def _note(
        self, visit: _Visit, delivery: Delivery, verdict: Verdict, media: Sequence[Medium], id: str | None = None
    ) -> Action:
        """Write the decision down; the action that stands after that. Deliveries with nothing to tell are counted."""
        decision = verdict.decision
        if not media and decision.action is Action.PASS:
            self.ledger.count("inbox", str(decision.action))
            return decision.action
        entry = Entry.of(
            decision,
            verdict.context,
            media,
            walk=delivery.walk,
            peer=visit.peer,
            started=visit.started,
            took=time.monotonic() - visit.began,
            policy_version=self.policy.version,
            engine_version=self.look_ahead.version,
            mode="observe" if self.policy.observe else "enforce",
            body=delivery.body,
            id=id,
        )
        if self.ledger.write(entry) or not media:
            return decision.action
        again = with_media(self.policy, delivery, media, (Cause.LEDGER_ERROR,)).decision.action
        return min(decision.action, again, key=lambda action: action.rank)

    def _left(self, visit: _Visit) -> float:
        return max(0.0, self.settings.budget - (time.monotonic() - visit.began))

    # -- mode: observe -------------------------------------------------------------------------------------------------

    def _observe(self, visit: _Visit) -> None:
        """Forward now, judge afterwards: no sender waits and nothing is refused."""
        if len(self._observing) >= self.settings.deliveries:
            self.ledger.count("inbox", "unobserved")
            return
        task = asyncio.get_running_loop().create_task(self._observed(visit))
        self._observing.add(task)
        task.add_done_callback(self._observing.discard)

    async def _observed(self, visit: _Visit) -> None:
        try:
            # The layer stops counting the body once it is forwarded, which is now.
            with self.rules.budget.take(len(visit.raw)):
                delivery = await self._readers.read(connection_key(visit.peer), lambda: self._read(visit))
                verdict = without_media(self.policy, delivery)
                if verdict is not None:
                    self._note(visit, delivery, verdict, ())
                else:
                    await self._decide(visit, delivery, await self._media(visit, delivery))
        except (MalformedActivityError, BodyEncodingError, BodyTooLargeError) as error:
            self._refuse(error)  # for its count alone
        except (BudgetSpentError, ReadersBusyError):
            self.ledger.count("inbox", "unobserved")
        except Exception:
            self.ledger.count("inbox", "unobserved")
            logger.exception("a delivery from %s could not be observed", visit.peer)

    # -- the end -------------------------------------------------------------------------------------------------------

    def done(self) -> None:
        """mitmproxy is closing."""
        self._readers.close()
        if self.upload is not None:
            self.upload.uploads.close()

    @property
    def busy(self) -> bool:
        """Whether a delivery is under way: being judged, forwarded, answered or observed."""
        return bool(self._open or self._observing or (self.upload and self.upload.busy))

    async def drained(self, timeout: float) -> bool:
        """Wait until no delivery is under way, for at most ``timeout`` seconds; whether it came to that."""
        deadline = time.monotonic() + timeout
        while self.busy and time.monotonic() < deadline:  # noqa: ASYNC110  # several things end it, none has an event
            await asyncio.sleep(0.02)
        return not self.busy


def _busy(delivery: Delivery, message: str) -> Ahead:
    return Ahead([Medium(ref, cause=Cause.BUSY, message=message) for ref in delivery.looked_at])
