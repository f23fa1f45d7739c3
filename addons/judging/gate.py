"""One medium at a media door: judged on the very bytes that pass, decided, and written down."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from addons.activitypub.references import MediaRef
from addons.fetching.budget import Lease
from addons.fetching.client import Fetched
from addons.judging.brake import Brake, braked
from addons.judging.judge import Judge
from addons.ledger.entry import Entry, new_id
from addons.ledger.ledger import Ledger
from addons.ledger.standings import Place, Standings
from addons.policy.decide import Policy, decide, decide_on_context
from addons.policy.words import Action, Cause, Context, Decision, Medium, Standing

SAME_LOOKS = 31
"""PDQ bits by which a picture may differ from itself, encoded again (what PDQ's authors advise)."""
LOOK_UP = 1.0
"""Seconds for asking the block set, at least, where a deadline leaves less: it takes some milliseconds."""

logger = logging.getLogger(__name__)


def _nobody(url: str) -> None:
    """Nobody waits for it."""


@dataclass(frozen=True, slots=True)
class Passage:
    """What was decided on one medium. ``id``: the decision's in the ledger. ``observed``: the door passes it all the
    same (``mode: observe``), whatever ``decision`` says."""

    id: str
    decision: Decision
    media: tuple[Medium, ...] = ()
    observed: bool = False

    @property
    def action(self) -> Action:
        """What the door does."""
        return Action.PASS if self.observed else self.decision.action

    @property
    def passes(self) -> bool:
        """Whether the bytes may go on."""
        return self.action in (Action.PASS, Action.RECORD)

    @property
    def undecided(self) -> bool:
        """Whether nothing was decided yet: the answer is 503, cached nowhere, and never a placeholder."""
        return self.action in (Action.HOLD, Action.DEFER)


class Gate:
    """Shared by the media doors of one process. In ``mode: observe`` its doors pass first and ask it afterwards."""

    def __init__(
        self, policy: Policy, judge: Judge, ledger: Ledger, *, software: str = "generic", brake: Brake | None = None
    ) -> None:
        self.policy = policy
        self.brake = brake
        self.seen: Callable[[str], None] = _nobody
        """Is told of each URL whose bytes a media door had: a delivery may be held for want of them."""
        self.judge = judge
        self.ledger = ledger
        self.software = software

    def on_context(self, context: Context) -> Passage | None:
        """What rules on context alone decide, so that nothing need be judged; written down unless it passes."""
        decision = decide_on_context(self.policy, context)
        if decision is None:
            return None
        started = datetime.now(UTC)
        if decision.action is Action.PASS:
            self.ledger.count(context.door, str(Action.PASS))
            return Passage("", decision)
        return self._note(new_id(started), decision, context, (), started, time.monotonic())

    async def bytes(
        self,
        context: Context,
        ref: MediaRef,
        data: bytes,
        *,
        timeout: float,
        lease: Lease | None = None,
        session: str | None = None,
        encoded_again: bool = False,
    ) -> Passage:
        """Judge bytes at hand; ``timeout`` seconds and ``lease`` as of :meth:`Judge.judge_bytes`.

        ``encoded_again``: they passed a door before and were written anew since, so that what was allowed is known by
        its looks alone.
        """
        started, began = datetime.now(UTC), time.monotonic()
        medium = await self.judge.judge_bytes(ref, data, timeout=timeout, lease=lease)
        if ref.url:
            self.seen(ref.url)
        media, causes = await self.settled([medium], timeout - (time.monotonic() - began))
        if encoded_again and decide(self.policy, context, media, causes).action not in (Action.PASS, Action.RECORD):
            media = await with_looks(self.ledger.standings, media)
        return self.decided(context, media, started=started, began=began, causes=causes, session=session)

    async def fetch(
        self, context: Context, ref: MediaRef, *, timeout: float, share: str = ""
    ) -> tuple[Passage, Fetched | None]:
        """Fetch and judge a URL; its bytes are the caller's to release, None where there are none to pass.

        What is on the block set is not even fetched.
        """
        started, began = datetime.now(UTC), time.monotonic()
        media, causes = await self.settled([Medium(ref)], timeout)
        if media[0].standing is not None:
            return self.decided(context, media, started=started, began=began, causes=causes), None
        left = timeout - (time.monotonic() - began)
        medium, fetched = await self.judge.fetch(ref, timeout=left, share=share)
        if fetched is not None:
            self.seen(ref.url)
        try:
            media, causes = await self.settled([medium], timeout - (time.monotonic() - began))
            return self.decided(context, media, started=started, began=began, causes=causes), fetched
        except BaseException:
            if fetched is not None:
                fetched.release()
            raise

    async def unjudged(
        self, context: Context, ref: MediaRef, cause: Cause, message: str, *, timeout: float = LOOK_UP
    ) -> Passage:
        """A medium that could not even be gathered: the block set or else its cause decides."""
        started, began = datetime.now(UTC), time.monotonic()
        media, causes = await self.settled([Medium(ref, cause=cause, message=message)], timeout)
        return self.decided(context, media, started=started, began=began, causes=causes)

    def failed(self, context: Context, ref: MediaRef, cause: Cause, message: str) -> Passage:
        """As :meth:`unjudged`, for who knows that its URL (if it has one) is not on the block set."""
        medium = Medium(ref, cause=cause, message=message)
        return self.decided(context, [medium], started=datetime.now(UTC), began=time.monotonic())

    def decided(
        self,
        context: Context,
        media: Sequence[Medium],
        *,
        started: datetime,
        began: float,
        causes: Sequence[Cause] = (),
        session: str | None = None,
    ) -> Passage:
        """Decide on judged media and write it down. ``started``: when it came; ``began``: the same, monotonic."""
        if not self.ledger.healthy and Cause.LEDGER_ERROR not in causes:
            causes = [*causes, Cause.LEDGER_ERROR]
        decision = self.decide(context, media, causes)
        return self._note(new_id(started), decision, context, media, started, began, causes, session)

    def decide(self, context: Context, media: Sequence[Medium], causes: Sequence[Cause] = ()) -> Decision:
        """What the policy decides, with the brake on where it is. Nobody is known to have sent what passes here, so it
        is not counted for that."""
        return braked(self.policy, self.brake, decide(self.policy, context, media, causes), context, media)

    async def settled(self, media: Sequence[Medium], timeout: float) -> tuple[list[Medium], list[Cause]]:
        """The media with what was settled about them before, and what went wrong: :func:`with_standings`."""
        return await with_standings(self.ledger.standings, media, timeout=timeout)

    def _note(
        self,
        id: str,
        decision: Decision,
        context: Context,
        media: Sequence[Medium],
        started: datetime,
        began: float,
        causes: Sequence[Cause] = (),
        session: str | None = None,
    ) -> Passage:
        entry = Entry.of(
            decision,
            context,
            media,
            walk=None,
            peer=context.address,
            started=started,
            took=time.monotonic() - began,
            policy_version=self.policy.version,
            engine_version=self.judge.version,
            mode="observe" if self.policy.observe else "enforce",
            body=None,
            id=id,
            session=session,
        )
        if not self.ledger.write(entry) and media:
            decision = self.decide(context, media, [*causes, Cause.LEDGER_ERROR])
        return Passage(id, decision, tuple(media), self.policy.observe)


async def with_standings(
    standings: Standings, media: Sequence[Medium], *, timeout: float
) -> tuple[list[Medium], list[Cause]]:
    """The media with what was settled about them before: bytes, URL and where it led.

    Where the database does not answer within ``timeout`` seconds (but :data:`LOOK_UP`), rules decide, and the cause
    ``ledger_error``, which is returned.
    """
    if not media:
        return [], []
    places = [Place(one.ref.url, one.judgement.sha256 if one.judgement else None, one.final_url) for one in media]
    try:
        async with asyncio.timeout(max(timeout, LOOK_UP)):
            found: list[Standing | None] = await asyncio.to_thread(standings.of, places)
    except Exception as error:
        # The ledger's writer tells what is wrong with the database, once; of this there may be many.
        logger.error("the block set could not be read (%s); %d media go by the rules alone", _told(error), len(media))
        return list(media), [Cause.LEDGER_ERROR]
    return [replace(one, standing=each) if each else one for one, each in zip(media, found, strict=True)], []


async def with_looks(standings: Standings, media: Sequence[Medium]) -> list[Medium]:
    """The media, those allowed that look like what an admin allowed.

    Only behind a door that judged the very bytes: anyone can make a picture that PDQ takes for another one.
    """
    try:
        looks = await asyncio.to_thread(standings.allowed_looks)
    except Exception as error:
        logger.error("what was allowed could not be read (%s); %d media go by the rules", _told(error), len(media))
        return list(media)
    found = []
    for medium in media:
        by = next((by for by, pdqs in looks if _looks_like(medium, pdqs)), None)
        found.append(medium if by is None else replace(medium, standing=Standing(by, allowed=True)))
    return found


def _looks_like(medium: Medium, pdqs: Sequence[str]) -> bool:
    """Whether each frame is within :data:`SAME_LOOKS` bits of one of ``pdqs``."""
    frames = medium.judgement.frames if medium.judgement else ()
    known = [int(pdq, 16) for pdq in pdqs]
    return bool(frames) and all(
        frame.pdq is not None and any((int(frame.pdq, 16) ^ one).bit_count() <= SAME_LOOKS for one in known)
        for frame in frames
    )


def _told(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return " ".join(str(getattr(error, "orig", None) or error).split())[:200] or type(error).__name__
