"""Judges a hold once more, and does with it as it comes out, or as the policy says for when its window closes."""

import asyncio
import logging
from datetime import datetime

from addons.holding.claimed import Claimed
from addons.holding.jobs import Job
from addons.holding.parts import Assess, Assessment
from addons.holding.settings import KeeperSettings
from addons.ledger.held import Held, HoldState, Outcome
from addons.policy.words import Action, Cause

GRACE = 5.0
"""Seconds beyond its time that a judgement may take to come back."""
LEAST = 5.0
"""Seconds that a judgement has, also where it begins just before its window closes: in less than that nobody can be
judged, and what a cause of the hold says would give way to what ``timeout`` says."""
_FETCH = frozenset({Cause.FETCH_FAILED, Cause.FETCH_REFUSED, Cause.FETCH_UNAUTHORIZED})

logger = logging.getLogger(__name__)


class Judging:
    """The work on a hold in JUDGING, and on any whose window closes before it was permitted."""

    def __init__(self, claimed: Claimed, assess: Assess, settings: KeeperSettings) -> None:
        self._claimed = claimed
        self._assess = assess
        self._settings = settings

    async def judge(self, job: Job) -> None:
        """Judge it within what is left of its window."""
        held = job.held
        left = (held.closes - self._claimed.clock()).total_seconds()
        if left <= 0:
            await self.close(job)
            return
        found = await self._assessed(held, min(self._settings.judge_time, max(LEAST, left)))
        job.settling = True
        if found.action in (Action.DROP, Action.REJECT):
            await self._claimed.end(job, Outcome.DROPPED, _why(found))
        elif found.action is Action.HOLD and found.cause is None:
            # It is judged, and the rule wants a person to look; the window's end waits for nobody.
            await self._later(held, found, held.closes, HoldState.WAITING)
        elif found.action in (Action.HOLD, Action.DEFER):
            again = self._settings.fetch_again if found.cause in _FETCH else self._settings.judge_again
            await self._later(held, found, self._claimed.after(again.after(held.attempts + 1)), HoldState.JUDGING)
        else:
            await self._claimed.permit(held.id)

    async def close(self, job: Job) -> None:
        """Its window closes without a judgement: ``then`` is done, and said."""
        job.settling = True
        held = job.held
        held_by = f"the rule {held.rule}" if held.rule else f"the cause {held.cause}"
        why = f"its window closed while {held_by} still held it"
        if held.then == "drop":
            await self._claimed.end(job, Outcome.CLOSED, why)
        else:
            await self._claimed.permit(held.id, f"{why}: let by unjudged", unjudged=True)

    async def _assessed(self, held: Held, seconds: float) -> Assessment:
        try:
            async with asyncio.timeout(seconds + GRACE):
                return await self._assess(held, seconds)
        except Exception:
            logger.exception("the held delivery %s could not be judged; it is tried again", held.id)
            return Assessment(Action.HOLD, cause=Cause.DETECTOR_ERROR)

    async def _later(self, held: Held, found: Assessment, due: datetime, state: HoldState) -> None:
        cause = str(found.cause) if found.cause else None
        # What is said now counts: a "record" of before, for a host that was down, is not meant of a judge that is.
        then = found.then or "drop"
        await self._claimed.later(held.id, due, found.urls, then=then, cause=cause, rule=found.rule, state=state)


def _why(found: Assessment) -> str:
    what = f"the rule {found.rule}" if found.rule else f"the cause {found.cause}" if found.cause else "the policy"
    return f"judged: {what} says {found.action}"
