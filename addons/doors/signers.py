"""Who brings a delivery to the inbox door: denied before any work, verified where that decides something."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from mitmproxy import http

from addons.activitypub.signatures.request import Headers
from addons.doors.assessing import Verdict
from addons.doors.deciding import Case, Decided
from addons.doors.peers import connection_key
from addons.ledger.held import Signer
from addons.policy.words import Action, Context, Decision, Hit
from addons.senders.shares import share_of
from addons.senders.vouching import UNASKED, Vouched

VERIFY = 1.5
"""Seconds of a delivery's time in which its key may be fetched; the rest is for its media."""


class Verifies(Protocol):
    """The part of :class:`addons.senders.verifying.Verifier` that is needed here."""

    async def verify(
        self, method: str, target: str, headers: Headers, raw_body: bytes, *, timeout: float, share: str
    ) -> Signer:
        """Who signed a request; never raises."""
        ...


class Listed(Protocol):
    """The part of :class:`addons.senders.lists.Lists` that is needed here."""

    def denied(self, host: str | None, actor_url: str | None = None) -> str | None:
        """Which list and line deny them."""
        ...

    def allowed(self, host: str | None) -> str | None:
        """Which list and line allow a verified host."""
        ...


class Denied(Protocol):
    """The part of :class:`addons.senders.denying.Denials` that is needed here."""

    def denied(self, host: str | None, actor_url: str | None = None) -> str | None:
        """Why they are denied for a while."""
        ...


@dataclass(frozen=True, slots=True)
class Denial:
    """Whom a delivery speaks for that is denied, and why. ``liftable``: by an allow list, if its signature verifies."""

    context: Context
    why: str
    liftable: bool


def _nobody(host: str, seconds: float) -> None:
    """Nobody watches the clock."""


@dataclass(slots=True)
class Signers:
    """Shared by all deliveries of one process. ``skew`` is told of each verified delivery: its host, and how many
    seconds before its arrival it is dated."""

    verifier: Verifies
    lists: Listed
    denials: Denied
    vouched: Vouched
    skew: Callable[[str, float], None] = _nobody

    def denied(self, contexts: Sequence[Context]) -> list[Denial]:
        """Of those who speak in a delivery, whoever is denied: by lists, and by rules for a while. Never waits."""
        found = []
        for context in contexts:
            if (why := self.denials.denied(context.host, context.actor)) is not None:
                found.append(Denial(context, why, liftable=False))
            elif (why := self.lists.denied(context.host, context.actor)) is not None:
                liftable = self.lists.allowed(context.host) is not None
                found.append(Denial(context, f"senders.deny, {why}", liftable))
        return found

    def lifts(self, signer: Signer, denials: Sequence[Denial]) -> bool:
        """Whether an allow list lifts them all: it does for the verified host itself that it allows."""
        return signer.state == "verified" and all(
            one.liftable and one.context.host == signer.host and self.lists.allowed(signer.host) for one in denials
        )

    async def signed(self, request: http.Request, case: Case) -> Case:
        """The same with whose signature it bears, and whose share it takes; in :data:`VERIFY` seconds, or what is left
        of its time."""
        # Keys have slots of their own, of which each peer has its share: nobody is verified before he has been.
        share = share_of(Signer("unverifiable"), connection_key(case.peer))
        headers = list(request.headers.items(multi=True))
        signer = await self.verifier.verify(
            request.method, request.path, headers, case.raw, timeout=min(VERIFY, case.left), share=share
        )
        if signer.state == "verified" and signer.host is not None and signer.signed_at is not None:
            self.skew(signer.host, (case.started - signer.signed_at).total_seconds())
        share = self.vouched.share_of(signer, connection_key(case.peer))
        return replace(case, signer=signer, share=share)

    def took(self, case: Case) -> None:
        """The server answered 2xx to it, at an inbox."""
        delivery = case.delivery
        if not delivery.crowded and all(UNASKED.isdisjoint(context.types) for context in delivery.contexts):
            self.vouched.took(case.signer, connection_key(case.peer))


def denial_of(case: Case, denials: Sequence[Denial]) -> Decided:
    """The decision on a delivery of somebody who is denied."""
    hits = tuple(Hit(Action.REJECT, rule=one.why) for one in denials)
    return Decided(case, Verdict(Decision(Action.REJECT, hits[0], hits), denials[0].context))
