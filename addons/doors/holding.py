"""The inbox door's side of a hold: what is stored of a request, and what becomes of one that cannot be stored."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Protocol

from mitmproxy import http
from mitmproxy.net.http import http1

from addons.activitypub.references import MediaRef
from addons.doors.assessing import Delivery, Verdict, as_drop
from addons.doors.deciding import Decided
from addons.holding.holder import LedgerTroubleError
from addons.holding.order import gives_keys, needs_keys
from addons.holding.pending import Order
from addons.holding.upstream import Upstream
from addons.holding.windows import closes
from addons.ledger.held import HoldFullError, HoldState, NewHold
from addons.policy.decide import Policy
from addons.policy.words import Action, Cause, Decision, Hit, Medium

COMMIT = 1.0
"""Seconds that storing a hold may take, beyond the budget: the sender waits until it is on the disk."""

_PERMITTED = (Action.PASS, Action.RECORD, Action.STRIP)
_AWAITED = frozenset({Cause.FETCH_FAILED, Cause.TIMEOUT})
_ENCODING = re.compile(rb"\r\ntransfer-encoding:[^\r\n]*", re.IGNORECASE)

logger = logging.getLogger(__name__)


class Stores(Protocol):
    """The part of :class:`addons.holding.holder.Holder` that is needed here."""

    async def hold(self, new: NewHold) -> object:
        """It is on the disk when this returns. Raises HoldFullError, LedgerTroubleError."""
        ...


@dataclass(frozen=True, slots=True)
class Holding:
    """Shared by all deliveries of one process. ``window``: how long after it was signed the server takes a delivery."""

    policy: Policy
    holder: Stores
    order: Order
    upstream: Upstream
    window: timedelta

    async def held(self, request: http.Request, decided: Decided) -> tuple[Decided, bool]:
        """Hold what was decided to be held; whether it was. If not, the decision is what its failure comes to."""
        case, decision = decided.case, decided.verdict.decision
        by_cause = any(hit.cause is not None and hit.action is Action.HOLD for hit in decision.hits)
        state = HoldState.JUDGING if by_cause or decision.cause is not None else HoldState.WAITING
        if carries_media(case.delivery):
            return self._unheld(decided, Cause.HOLD_FULL), False
        if await self.upstream.is_down():
            # Nothing is taken in for a server that is down: the sender has it still, and is told to keep it.
            return _acting(decided, Hit(Action.DEFER, decision.rule, decision.cause)), False
        cause = await self._store(request, decided, state)
        return (decided, True) if cause is None else (self._unheld(decided, cause), False)

    async def behind(self, request: http.Request, decided: Decided) -> bool:
        """Hold what is permitted, where it must not overtake what is held; whether it was. Needs the signer."""
        case = decided.case
        if decided.action not in _PERMITTED or not await self.order.blocked(case.delivery.ids, case.signer):
            return False
        # Whether it is down now: one that is back would take this before what it has to wait for.
        if carries_media(case.delivery) or await self.upstream.is_down():
            return False
        return await self._store(request, decided, HoldState.REPLAYING) is None

    async def _store(self, request: http.Request, decided: Decided, state: HoldState) -> Cause | None:
        """Why it could not be stored; None: it is on the disk."""
        try:
            await self.holder.hold(new_hold(request, decided, state, self.window))
        except HoldFullError as error:
            logger.warning("a delivery from %s is not held: %s", decided.case.peer, error)
            return Cause.HOLD_FULL
        except LedgerTroubleError as error:
            logger.error("a delivery from %s is not held: %s", decided.case.peer, error)
            return Cause.LEDGER_ERROR
        return None

    def _unheld(self, decided: Decided, cause: Cause) -> Decided:
        """What comes of a delivery that should be held and cannot be. It is never let by for the ledger's failing: what
        the policy says of that (``pass``, by default) is meant of deliveries that were judged. Nor is one that a rule
        would hold, whatever the policy says of ``hold_full``: it was judged. Both are asked to come again."""
        action = self.policy.acts(self.policy.on[cause], "inbox")
        ruled = any(hit.rule is not None and hit.action is Action.HOLD for hit in decided.verdict.decision.hits)
        if (cause is Cause.LEDGER_ERROR or ruled) and action in _PERMITTED:
            action = Action.DEFER
        return _acting(decided, Hit(action, cause=cause))


def _acting(decided: Decided, instead: Hit) -> Decided:
    """As decided, with ``instead`` in the place of every hold: the strictest of what is left."""
    verdict = decided.verdict
    hits = (instead, *(hit for hit in verdict.decision.hits if hit.action is not Action.HOLD))
    deciding = min(hits, key=lambda hit: hit.action.rank)
    decision = Decision(deciding.action, deciding, hits)
    # What is stripped has to be known first, which it is not where something was to be held.
    return replace(
        decided, verdict=replace(verdict, decision=as_drop(decision) if deciding.action is Action.STRIP else decision)
    )


def for_order(decided: Decided) -> Decided:
    """A permitted delivery that is held behind another: no rule or cause says so."""
    decision = Decision(Action.HOLD, None, decided.verdict.decision.hits)
    return replace(decided, verdict=Verdict(decision, decided.verdict.context))


def new_hold(request: http.Request, decided: Decided, state: HoldState, window: timedelta) -> NewHold:
    """The hold of a request."""
    case, decision = decided.case, decided.verdict.decision
    ids = case.delivery.ids
    return NewHold(
        id=case.id,
        head=stored_head(request, len(case.raw)),
        body=case.raw,
        peer=case.peer,
        arrived=case.started,
        closes=closes(case.signer.signed_at, case.started, window),
        then="record" if state is HoldState.REPLAYING else decision.then or "drop",
        signer=case.signer,
        share=case.share,
        state=state,
        cause=str(decision.cause) if decision.cause else None,
        rule=decision.rule,
        activity_id=case.delivery.walk.activity_id,
        host=decided.verdict.context.host,
        gives=gives_keys(ids.gives, case.signer),
        needs=needs_keys(ids.needs, case.signer),
        urls=awaited(decided.media),
    )


def stored_head(request: http.Request, length: int) -> bytes:
    """The head as it goes to the server, byte for byte. Only where a chunked body came, it says the body's length now:
    it is sent in one piece (RFC 9112 section 6.1), and no signature covers how it was cut."""
    head: bytes = http1.assemble_request_head(request)
    if "transfer-encoding" in request.headers:
        head = _ENCODING.sub(b"", head[:-2])
        head += b"Content-Length: %d\r\n\r\n" % length
    return head


def encodings_of(head: bytes) -> list[str]:
    """The content encodings that a stored head names."""
    lines = (line.partition(b":") for line in head.split(b"\r\n")[1:])
    return [value.decode("latin-1") for name, _, value in lines if name.lower() == b"content-encoding"]


def carries_media(delivery: Delivery) -> bool:
    """Whether there are pictures in it, or may be, that it does not only name: fediward stores none."""
    media = (*delivery.walk.media, *delivery.media)
    return delivery.walk.overflow is not None or any(_is_data(ref) for ref in media)


def awaited(media: Sequence[Medium]) -> tuple[str, ...]:
    """The URLs that could not be fetched: seen at another door, the delivery is judged at once."""
    found = (url for one in media if one.cause in _AWAITED for url in (one.ref.url, one.final_url) if url)
    return tuple(dict.fromkeys(found))


def _is_data(ref: MediaRef) -> bool:
    return ref.url[:5].lower() == "data:"
