"""Judges a held delivery again, by the same code as when it came to the inbox door; the keeper calls it."""

import asyncio
import time
from collections.abc import Callable
from datetime import datetime

from addons.activitypub.parsing import MalformedActivityError
from addons.doors.assessing import without_media
from addons.doors.deciding import Case, Decided, Deciding
from addons.doors.deliveries import BodyEncodingError, BodyTooLargeError
from addons.doors.holding import awaited, encodings_of
from addons.doors.signers import Signers, denial_of
from addons.holding.parts import Assessment
from addons.ledger.entry import new_id, utc_now
from addons.ledger.held import Held
from addons.policy.words import Action

_UNSETTLED = (Action.HOLD, Action.DEFER)


class Reassess:
    """Implements :class:`addons.holding.parts.Assess`."""

    def __init__(self, deciding: Deciding, signers: Signers, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._deciding = deciding
        self._signers = signers
        self._clock = clock

    async def __call__(self, held: Held, timeout: float) -> Assessment:
        """``timeout`` in seconds. What is still undecided is not written down each time, only how it comes out. Who
        observes by now lets go what was held before.

        Raises BudgetSpentError where there is no memory to read it.
        """
        began, started = time.monotonic(), self._clock()
        deciding = self._deciding
        encodings = encodings_of(held.head)
        with deciding.rules.budget.take(len(held.body)):
            try:
                delivery = await asyncio.to_thread(deciding.read, held.body, encodings, held.peer)
            except (MalformedActivityError, BodyEncodingError, BodyTooLargeError):
                # It could be read when it came: the bounds are others now, and the door would refuse it.
                return Assessment(Action.REJECT)
            case = Case(
                id=new_id(started),
                raw=held.body,
                delivery=delivery,
                peer=held.peer,
                started=started,
                began=began,
                until=began + timeout,
                encoded=bool(encodings),
                signer=held.signer,
                share=held.share,
                held=held.id,
            )
            decided = await deciding.strip(await self._decided(case))
        action = decided.action if decided.action in _UNSETTLED else deciding.note(decided)
        if deciding.policy.observe:
            action = Action.PASS
        decision = decided.verdict.decision
        return Assessment(action, decision.then, decision.cause, decision.rule, awaited(decided.media))

    async def _decided(self, case: Case) -> Decided:
        # Who was denied since it came: an admin who is being flooded means what waits as well.
        denials = self._signers.denied(case.delivery.contexts)
        if denials and not self._signers.lifts(case.signer, denials):
            return denial_of(case, denials)
        verdict = without_media(self._deciding.policy, case.delivery)
        if verdict is None:
            return await self._deciding.decide(case)
        if verdict.decision.action is not Action.STRIP:
            return Decided(case, verdict)
        return await self._deciding.stripping(case, verdict)
