"""Decides on one delivery: the same for one that has just come to the inbox door and for one that is held."""

import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from addons.doors.assessing import Delivery, Verdict, read, with_media, with_named
from addons.doors.deliveries import decode_body
from addons.doors.layers import Rules
from addons.doors.stripping import strip
from addons.fetching.budget import BudgetSpentError
from addons.judging.brake import Brake, note
from addons.judging.gate import with_standings
from addons.judging.lookahead import Ahead, LookAhead
from addons.judging.looking import Scope
from addons.ledger.entry import Entry
from addons.ledger.held import Signer
from addons.ledger.ledger import Ledger
from addons.policy.decide import Policy
from addons.policy.rules import Rule
from addons.policy.words import Action, Cause, Medium
from addons.senders.fairness import BusyError

_REFUSED = (Action.DROP, Action.REJECT)
_UNSETTLED = (Action.HOLD, Action.DEFER)


class Counts(Protocol):
    """The part of :class:`addons.senders.denying.Denials` that is needed here."""

    def noted(self, rule: Rule, host: str | None, actor_url: str | None = None) -> None:
        """A rule with ``deny:`` applied to what a verified host sent. Never waits."""
        ...


class Admits(Protocol):
    """The part of :class:`addons.senders.fairness.Fair` that is needed here."""

    def admitted(self, share: str, cost: int = 1, timeout: float = 0.0) -> AbstractAsyncContextManager[None]:
        """Have a place among those that are judged, in this share's turn; BusyError where there is none in time."""
        ...

    @property
    def waiting(self) -> int:
        """How many wait for theirs."""
        ...


@dataclass(frozen=True, slots=True)
class Case:
    """A delivery on its way to a decision. ``raw``: its body as it came. ``began`` and ``until`` are monotonic seconds,
    ``started`` the time of day; ``encoded``: its body was compressed, so that what it became counts too; ``held``: the
    hold that is judged again."""

    id: str
    raw: bytes
    delivery: Delivery
    peer: str
    started: datetime
    began: float
    until: float
    encoded: bool = False
    signer: Signer = field(default_factory=Signer)
    share: str = ""
    held: str | None = None

    @property
    def left(self) -> float:
        """Seconds until it has to be decided."""
        return max(0.0, self.until - time.monotonic())


@dataclass(frozen=True, slots=True)
class Decided:
    """A delivery, what was made of it, and its media as they were judged."""

    case: Case
    verdict: Verdict
    media: Sequence[Medium] = ()

    @property
    def action(self) -> Action:
        """What is done with it."""
        return self.verdict.decision.action


class Deciding:
    """Shared by the inbox door and the keeper of one process; belongs to one event loop."""

    def __init__(
        self,
        scope: Scope,
        rules: Rules,
        policy: Policy,
        look_ahead: LookAhead,
        ledger: Ledger,
        fair: Admits,
        *,
        brake: Brake | None = None,
        denials: Counts | None = None,
    ) -> None:
        """``brake``: None where it is off; ``denials``: who counts what rules with ``deny:`` hit."""
        self.scope = scope
        self.rules = rules
        self.policy = policy
        self.look_ahead = look_ahead
        self.ledger = ledger
        self.fair = fair
        self._brake = brake
        self._denials = denials
        self._denying = {rule.name: rule for rule in policy.rules if rule.deny is not None}
        self.judging = 0
        """Deliveries whose media are being judged."""

    def read(self, raw: bytes, encodings: Sequence[str], peer: str) -> Delivery:
        """A body as it came. Raises MalformedActivityError, BodyEncodingError, BodyTooLargeError."""
        return read(decode_body(raw, encodings, self.rules.bounds.body), self.scope, peer)

    async def media(self, case: Case) -> Ahead:
        """Every medium judged, and those that its links and objects lead to, within what is left of the time; none of
        them where too much is going on."""
        delivery = case.delivery
        try:
            async with self.fair.admitted(case.share, timeout=case.left):
                # The body as it came is counted by who gathered it.
                with self.rules.budget.take(len(delivery.body) if case.encoded else 0):
                    self.judging += 1
                    try:
                        return await self.look_ahead.judge(
                            delivery.media, delivery.links, delivery.objects, timeout=case.left, share=case.share
                        )
                    finally:
                        self.judging -= 1
        except (BusyError, BudgetSpentError) as error:
            return Ahead([Medium(ref, cause=Cause.BUSY, message=str(error)) for ref in delivery.looked_at])

    async def decide(self, case: Case) -> Decided:
        """What is to be done, once its media are judged."""
        ahead = await self.media(case)
        media, more = await with_standings(self.ledger.standings, ahead.media, timeout=case.left)
        case = replace(case, delivery=with_named(case.delivery, ahead.named))
        if not (more or self.ledger.healthy):
            more = [Cause.LEDGER_ERROR]
        verdict = with_media(self.policy, case.delivery, media, more)
        if self._brake is not None and media:
            decision, signer = verdict.decision, case.signer
            if decision.cause is None or decision.action not in _UNSETTLED:  # else it is counted when it is judged
                note(self._brake, decision, media, signer.host, signer.state == "verified")
            verdict = with_media(self.policy, case.delivery, media, more, self._brake)
        return Decided(case, verdict, media)

    async def stripping(self, case: Case, verdict: Verdict) -> Decided:
        """A rule on context alone strips all media, which need not be fetched for that where they are known."""
        delivery = case.delivery
        media = [Medium(ref) for ref in delivery.media]
        if delivery.links or delivery.objects:
            media = (await self.media(case)).media
        return Decided(case, verdict, media)

    def denies(self, decided: Decided) -> bool:
        """Whether the rule that decides denies whoever it hits, for which has to be known who that is."""
        return decided.verdict.decision.rule in self._denying and decided.action in _REFUSED

    async def strip(self, decided: Decided) -> Decided:
        """Do that without which a ``strip`` hides nothing; where it cannot be done, the delivery is dropped."""
        if decided.action is not Action.STRIP or self.policy.observe:
            return decided
        case, standings = decided.case, self.ledger.standings
        verdict = await strip(
            standings, self.policy, case.delivery, decided.verdict, decided.media, by=case.id, timeout=case.left
        )
        return replace(decided, verdict=verdict)

    def note(self, decided: Decided) -> Action:
        """Write it down; the action that stands after that. Deliveries with nothing to tell are counted."""
        case, decision, media = decided.case, decided.verdict.decision, decided.media
        if self._denials is not None and self.denies(decided) and not self.policy.observe:
            # Of what a community or relay passes on nobody is counted: else whoever may post there had its host denied.
            passed_on = any("Announce" in context.types for context in case.delivery.contexts)
            host = case.signer.host if case.signer.state == "verified" and not passed_on else None
            self._denials.noted(self._denying[decision.rule or ""], host, decided.verdict.context.actor)
        if not media and decision.action is Action.PASS and case.held is None:
            self.ledger.count("inbox", str(decision.action))
            return decision.action
        entry = Entry.of(
            decision,
            decided.verdict.context,
            media,
            walk=case.delivery.walk,
            peer=case.peer,
            started=case.started,
            took=time.monotonic() - case.began,
            policy_version=self.policy.version,
            engine_version=self.look_ahead.version,
            mode="observe" if self.policy.observe else "enforce",
            body=case.delivery.body,
            id=case.id,
            hold=case.held,
        )
        if self.ledger.write(entry) or not media:
            return decision.action
        again = with_media(self.policy, case.delivery, media, (Cause.LEDGER_ERROR,)).decision.action
        return min(decision.action, again, key=lambda action: action.rank)
