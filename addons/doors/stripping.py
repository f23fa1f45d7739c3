"""A post that is let in without its media: they are on the block set before it goes on to the server."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace

from addons.doors.assessing import Delivery, Verdict, as_drop, stripped
from addons.ledger.standings import Place, Standings
from addons.policy.decide import Policy
from addons.policy.words import Action, Cause, Medium

COMMIT = 1.0
"""Seconds for writing the block set, at least, where the budget leaves less: it takes some milliseconds."""

logger = logging.getLogger(__name__)


async def strip(
    standings: Standings,
    policy: Policy,
    delivery: Delivery,
    verdict: Verdict,
    media: Sequence[Medium],
    *,
    by: str,
    timeout: float,
) -> Verdict:
    """Put what a ``strip`` is about on the block set, for the decision ``by``, and commit it.

    The verdict stands if that was done within ``timeout`` seconds (but :data:`COMMIT`); else it is a ``drop``, for
    nothing would hide the media from the doors that are to come.
    """
    offending = stripped(policy, delivery, verdict, media)
    if offending is None:
        return replace(verdict, decision=as_drop(verdict.decision))
    if not offending:
        return verdict
    places = [Place(one.ref.url, one.judgement.sha256 if one.judgement else None, one.final_url) for one in offending]
    try:
        async with asyncio.timeout(max(timeout, COMMIT)):
            await asyncio.to_thread(standings.block, places, Action.STRIP, by)
    except Exception as error:
        why = "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__
        logger.error("the block set could not be written (%s): a delivery is dropped, not stripped", why)
        return replace(verdict, decision=as_drop(verdict.decision, Cause.LEDGER_ERROR))
    return verdict
