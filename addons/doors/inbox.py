"""The inbox door: looks into every delivery, has its media judged, and forwards, holds, swallows or refuses it."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mitmproxy import http
from mitmproxy.connection import Client
from mitmproxy.proxy import layer

from addons.activitypub.parsing import MalformedActivityError
from addons.doors.afterwards import Afterwards
from addons.doors.answers import accepted, inbox_answer, refusal
from addons.doors.assessing import Delivery, Verdict, unread, without_media
from addons.doors.deciding import Case, Decided, Deciding
from addons.doors.deliveries import BodyEncodingError, BodyTooLargeError, is_delivery, names_inbox, unknown_charset
from addons.doors.holding import Holding, for_order
from addons.doors.layers import UNJUDGED, UNREACHED, Rules, is_websocket, speak_http1
from addons.doors.peers import Connections, Network, connection_key
from addons.doors.reading import Readers, ReadersBusyError
from addons.doors.signers import Denial, Signers, denial_of
from addons.doors.upgrades import remove_upgrade
from addons.doors.upload import VISIT, Upload
from addons.doors.visits import Visit
from addons.policy.words import Action, Cause

logger = logging.getLogger(__name__)

READ_INLINE = 8 << 10
"""Bytes of a plain body read on the event loop; more, and all that is compressed, would stall other connections."""
UNVERIFIABLE = "fediward.unverifiable"
"""Flow metadata: a delivery that was forwarded, whose signer's key cannot be had."""
_PERMITTED = (Action.PASS, Action.RECORD, Action.STRIP)

type _Work = Coroutine[Any, Any, None]
type _Unreadable = MalformedActivityError | BodyEncodingError | BodyTooLargeError
_UNREADABLE = (MalformedActivityError, BodyEncodingError, BodyTooLargeError)


@dataclass(frozen=True, slots=True)
class InboxSettings:
    """What the inbox door takes from the configuration; ``budget`` in seconds from a request's end;
    ``deliveries``: those that are observed at a time."""

    trusted_proxies: Sequence[Network] = ()
    budget: float = 4.0
    deliveries: int = 256
    connections_per_peer: int = 100


class Inbox:
    """mitmproxy addon. One instance serves all connections of its listener."""

    name = "fediward-inbox"

    def __init__(
        self,
        settings: InboxSettings,
        deciding: Deciding,
        signers: Signers,
        holding: Holding,
        upload: Upload | None = None,
    ) -> None:
        """``upload``: the upload door, which looks at what comes to the same listener; None where no rule asks it."""
        self.settings = settings
        self.rules: Rules = deciding.rules
        self.policy = deciding.policy
        self.ledger = deciding.ledger
        self.deciding = deciding
        self.signers = signers
        self.holding = holding
        self.upload = upload
        self._readers = Readers()
        self._open: set[str] = set()
        self._afterwards = Afterwards(deciding, signers, self._readers, settings.deliveries)
        self._connections = Connections(settings.connections_per_peer, settings.trusted_proxies)

    # -- connections ---------------------------------------------------------------------------------------------------

    def client_connected(self, client: Client) -> None:
        """Bound how many connections one peer has; the admin's own proxies bring everybody's."""
        if not self._connections.opened(client.peername[0]):
            client.error = "too many connections from this peer"

    def client_disconnected(self, client: Client) -> None:
        """Forget it."""
        self._connections.closed(client.peername[0])

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
        visit = Visit.of(flow, self.settings.trusted_proxies, self.settings.budget)
        if self.policy.observe:
            self._afterwards.begin(visit)
            return None
        if visit.encodings or len(visit.raw) > READ_INLINE:
            return self._read_aside(flow, visit)
        try:
            delivery = self.deciding.read(visit.raw, visit.encodings, visit.peer)
        except _UNREADABLE as error:
            flow.response = self._refuse(error)
            return None
        except Exception:
            logger.exception("a delivery from %s could not be read", visit.peer)
            flow.response = self._unread(visit, Cause.DETECTOR_ERROR)
            return None
        return self._settle(flow, visit, delivery)

    def response(self, flow: http.HTTPFlow) -> None:
        """The delivery is done."""
        case: Case | None = flow.metadata.get(UNVERIFIABLE)
        if case is not None and flow.response is not None and 200 <= flow.response.status_code < 300:
            self.signers.took(case)
        if self.holding.upstream.down and flow.server_conn.timestamp_tcp_setup is not None:
            self.holding.upstream.note(True)
        self._over(flow)

    def error(self, flow: http.HTTPFlow) -> None:
        """The delivery is done too: one of the sides is gone."""
        if flow.metadata.get(UNREACHED):
            self.holding.upstream.note(False)
        self._over(flow)

    def _over(self, flow: http.HTTPFlow) -> None:
        self._open.discard(flow.id)
        if self.upload is not None:
            self.upload.over(flow)

    # -- reading -------------------------------------------------------------------------------------------------------

    async def _read_aside(self, flow: http.HTTPFlow, visit: Visit) -> None:
        try:
            async with asyncio.timeout(visit.left):
                delivery = await self._readers.read(
                    connection_key(visit.peer), lambda: self.deciding.read(visit.raw, visit.encodings, visit.peer)
                )
        except _UNREADABLE as error:
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
        if (work := self._settle(flow, visit, delivery)) is not None:
            await work

    def _unread(self, visit: Visit, cause: Cause) -> http.Response | None:
        """The answer to a delivery that was not read, for no fault of its own. What may carry pictures is not held, and
        of this one nothing is known."""
        action = unread(self.policy, self.deciding.scope.software, cause, visit.peer).decision.action
        if action is Action.HOLD:
            cause = Cause.HOLD_FULL
            action = unread(self.policy, self.deciding.scope.software, cause, visit.peer).decision.action
        self.ledger.count("inbox", str(action), cause=str(cause))
        return inbox_answer(action)

    def _refuse(self, error: _Unreadable) -> http.Response:
        if isinstance(error, BodyTooLargeError):
            self.ledger.count("inbox", "too_large")
            return refusal(413, f"a delivery may have {self.rules.bounds.body} bytes at most, decoded")
        self.ledger.count("inbox", "malformed")
        return refusal(400, str(error))

    # -- deciding ------------------------------------------------------------------------------------------------------

    def _settle(self, flow: http.HTTPFlow, visit: Visit, delivery: Delivery) -> _Work | None:
        """Answer or forward a delivery that was read. What needs neither its media nor its signer is settled here."""
        case = visit.case(delivery)
        if denials := self.signers.denied(delivery.contexts):
            if all(one.liftable for one in denials):
                return self._denied(flow, case, denials)
            flow.response = self._deny(case, denials)
            return None
        verdict = without_media(self.policy, delivery)
        if verdict is None:
            return self._judge(flow, case)
        decided = Decided(case, verdict)
        action = verdict.decision.action
        if action in (Action.STRIP, Action.HOLD) or self.deciding.denies(decided):
            return self._judge(flow, case, verdict)
        if action in _PERMITTED and self.holding.order.may_concern(delivery.ids):
            return self._in_order(flow, decided)
        flow.response = inbox_answer(self.deciding.note(decided))
        return None

    async def _judge(self, flow: http.HTTPFlow, case: Case, verdict: Verdict | None = None) -> None:
        """Find out who sends it, and decide on its media, unless the context alone gave the ``verdict``."""
        await self._decide(flow, await self.signers.signed(flow.request, case), verdict)

    async def _decide(self, flow: http.HTTPFlow, case: Case, verdict: Verdict | None) -> None:
        if verdict is None:
            decided = await self.deciding.decide(case)
        elif verdict.decision.action is Action.STRIP:
            decided = await self.deciding.stripping(case, verdict)
        else:
            decided = Decided(case, verdict)
        await self._carry_out(flow, await self.deciding.strip(decided))

    async def _in_order(self, flow: http.HTTPFlow, decided: Decided) -> None:
        """What has no media goes on, unless what is held concerns it: only then does it matter who sends it."""
        if await self.holding.order.concerns(decided.case.delivery.ids):
            decided = replace(decided, case=await self.signers.signed(flow.request, decided.case))
        await self._carry_out(flow, decided)

    async def _carry_out(self, flow: http.HTTPFlow, decided: Decided) -> None:
        holding, ids = self.holding, decided.case.delivery.ids
        stored, action = False, decided.action
        concerns = (action is Action.HOLD or action in _PERMITTED) and holding.order.may_concern(ids)
        if concerns:
            # Also by a Delete that is held itself: else what it takes back could come after it.
            await holding.order.withdraw(ids, decided.case.signer)
        if action is Action.HOLD:
            decided, stored = await holding.held(flow.request, decided)
        elif concerns and (stored := await holding.behind(flow.request, decided)):
            decided = for_order(decided)
        action = self.deciding.note(decided)
        flow.response = accepted() if stored else inbox_answer(action)
        # Elsewhere a server has no need to verify what comes as a delivery's content type.
        if flow.response is None and decided.case.signer.state == "unverifiable" and names_inbox(flow.request.path):
            flow.metadata[UNVERIFIABLE] = decided.case

    # -- the denied ----------------------------------------------------------------------------------------------------

    async def _denied(self, flow: http.HTTPFlow, case: Case, denials: Sequence[Denial]) -> None:
        """One that an allow list lets in, if it is whom it says."""
        case = await self.signers.signed(flow.request, case)
        if self.signers.lifts(case.signer, denials):
            await self._decide(flow, case, without_media(self.policy, case.delivery))
        else:
            flow.response = self._deny(case, denials)

    def _deny(self, case: Case, denials: Sequence[Denial]) -> http.Response | None:
        return inbox_answer(self.deciding.note(denial_of(case, denials)))

    # -- the end -------------------------------------------------------------------------------------------------------

    def done(self) -> None:
        """mitmproxy is closing."""
        self._readers.close()
        if self.upload is not None:
            self.upload.uploads.close()

    @property
    def busy(self) -> bool:
        """Whether a delivery is under way: being judged, forwarded, answered or observed."""
        return bool(self._open or self._afterwards.busy or (self.upload and self.upload.busy))

    @property
    def judging(self) -> int:
        """Deliveries whose media are being judged."""
        return self.deciding.judging

    async def drained(self, timeout: float) -> bool:
        """Wait until no delivery is under way, for at most ``timeout`` seconds; whether it came to that."""
        deadline = time.monotonic() + timeout
        while self.busy and time.monotonic() < deadline:  # noqa: ASYNC110  # several things end it, none has an event
            await asyncio.sleep(0.02)
        return not self.busy
