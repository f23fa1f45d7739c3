"""What the fetch door makes of JSON that the server fetches: passed as it came, with media taken out, or refused."""

import asyncio
import functools
import logging
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from addons.activitypub.parsing import MalformedActivityError
from addons.activitypub.references import MediaRef
from addons.activitypub.strip import plain_json
from addons.doors.assessing import host_of
from addons.doors.fetched import Document, Part, UnknownError, claims_json, may_be_json, read, write
from addons.doors.outcomes import Outcome, UnfitError, carry_out, outcome
from addons.doors.reading import Readers, ReadersBusyError
from addons.judging.gate import Gate
from addons.judging.looking import Scope
from addons.ledger.entry import Entry
from addons.policy.decide import decide_on_context
from addons.policy.words import Action, Cause, Context, Medium

logger = logging.getLogger(__name__)

MAX_BYTES = 8 << 20
"""Of a document that is read; real ones (pages of an outbox) have up to some hundred kilobytes."""
READ_INLINE = 8 << 10
"""Bytes of a document that is read on the event loop; more would stall other connections."""
ENTRIES = 64
"""Decisions on one document that are written down: those on the items of a collection, strictest first."""
_PASSES = (Action.PASS, Action.RECORD)
_UNDECIDED = (Action.HOLD, Action.DEFER)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server is given for a document.

    ``status`` 200: the response as it came, its body replaced by ``body`` where that is not None (then Content-Length
    is another, and ETag, Last-Modified, Content-Encoding, Digest, Content-Digest and Repr-Digest are no longer true).
    404: dropped. 503: not decided yet. 502: not to be read. A 503 and 502 are to be stored nowhere
    (``Cache-Control: no-store``).

    ``id``: the decision's in the ledger, empty where none was written. ``afterwards``: what is still to be done, once
    the answer is given (``mode: observe``); the caller keeps and awaits the task. It raises nothing.
    """

    status: int = 200
    body: bytes | None = None
    id: str = ""
    action: Action = Action.PASS
    afterwards: Callable[[], Coroutine[Any, Any, None]] | None = None

    @property
    def passes(self) -> bool:
        """Whether the response goes on, perhaps with another body."""
        return self.status == 200


@dataclass(frozen=True, slots=True)
class _Fetch:
    """One document on its way: what it is, for whom, and since when (``began``: monotonic seconds)."""

    url: str
    body: bytes
    media_type: str
    timeout: float
    peer: str | None
    share: str
    started: datetime
    began: float

    @property
    def left(self) -> float:
        """Seconds until the answer has to be there."""
        return max(0.0, self.timeout - (time.monotonic() - self.began))


class Documents:
    """Shared by all connections of the fetch door."""

    def __init__(self, scope: Scope, gate: Gate, *, readers: Readers | None = None, max_bytes: int = MAX_BYTES) -> None:
        self.scope = scope
        self.gate = gate
        self.max_bytes = max_bytes
        self._readers = readers or Readers()

    async def look(
        self, url: str, body: bytes, *, media_type: str, timeout: float, peer: str | None = None, share: str = ""
    ) -> Answer:
        """What to answer with for the document that ``url`` gave, the body of a 200 with its content encodings undone.

        ``media_type``: the response's Content-Type, as it came (its parameters do no harm). ``timeout``: seconds for
        all of it. ``peer``: the IP address of who asks; ``share``: whose share of the fetches this takes, as of
        :meth:`addons.judging.judge.Judge.judge`; without one, that of the URL's host. What is no JSON, and JSON that is
        no ActivityPub (webfinger, nodeinfo, oEmbed …), passes. Raises nothing.

        A post that is dropped or rejected is a 404. An actor's document never is one, since a server may delete the
        actor for it: its media are taken out. In a collection each item is judged by itself. What is not decided yet is
        a 503, which every server asks for again. Never answered with 4xx, but with 502, is a document of which nobody
        knows whether it is an actor's: one that says that it is JSON and is not (parsers that are more lenient than
        ours would read what was not judged), or has more values, depth or bytes than is looked at.
        """
        share = share or host_of(url) or ""
        fetch = _Fetch(url, body, media_type, timeout, peer, share, datetime.now(UTC), time.monotonic())
        if self.gate.policy.observe:
            return Answer(afterwards=functools.partial(self._observed, fetch))
        return await self._answer(fetch)

    def close(self) -> None:
        """Begin to read nothing more."""
        self._readers.close()

    async def _observed(self, fetch: _Fetch) -> None:
        await self._answer(fetch)

    async def _answer(self, fetch: _Fetch) -> Answer:
        try:
            return await self._looked(fetch)
        except MalformedActivityError as error:
            if not claims_json(fetch.media_type) or not fetch.body.strip():
                return Answer()
            logger.info("a document from %s is refused: %s", host_of(fetch.url), error)
            self.gate.ledger.count("fetch", "malformed")
            return Answer(502, action=Action.DROP)
        except UnknownError as error:
            return self._unread(fetch, error.cause)
        except ReadersBusyError:
            return self._unread(fetch, Cause.BUSY)
        except TimeoutError:
            return self._unread(fetch, Cause.TIMEOUT)
        except Exception:
            logger.exception("a document from %s could not be looked at", host_of(fetch.url))
            return self._unread(fetch, Cause.DETECTOR_ERROR)

    async def _looked(self, fetch: _Fetch) -> Answer:
        if not (may_be_json(fetch.body) or claims_json(fetch.media_type)):
            return Answer()
        document = await self._aside(
            fetch, lambda: read(fetch.body, fetch.url, self.scope, max_bytes=self.max_bytes, peer=fetch.peer)
        )
        if document is None:
            return Answer()
        media, causes = await self._judged(fetch, document)
        decided = [self._outcome(document, part, media, causes) for part in document.parts]
        try:
            body, outcomes = await self._aside(fetch, lambda: carry_out(document, decided))
        except UnfitError as error:
            logger.warning("an actor's document from %s is refused: %s", host_of(fetch.url), error)
            return Answer(502, id=self._tell(fetch, document, decided)[0], action=Action.DROP)
        id, written = self._tell(fetch, document, outcomes)
        action = _strictest(outcomes)
        failed = self._acts(Cause.LEDGER_ERROR)
        if not written and failed.rank < action.rank and failed not in _PASSES:
            return Answer(503 if failed in _UNDECIDED else 502, id=id, action=failed)
        if any(one.fate == "wait" for one in outcomes):
            return Answer(503, id=id, action=action)
        return Answer(404 if outcomes[0].fate == "gone" else 200, body, id, action)

    async def _aside[T](self, fetch: _Fetch, work: Callable[[], T]) -> T:
        """The result of ``work`` on a document, in a thread if it is large. Raises TimeoutError, ReadersBusyError."""
        if len(fetch.body) <= READ_INLINE:
            return work()
        async with asyncio.timeout(fetch.left):
            return await self._readers.read(fetch.share, work)

    def _acts(self, cause: Cause) -> Action:
        return self.gate.policy.acts(self.gate.policy.on[cause], "fetch")

    def _unread(self, fetch: _Fetch, cause: Cause) -> Answer:
        """The answer to a document that was not read: nobody knows whether it is an actor's."""
        context = Context("fetch", host_of(fetch.url), software=self.scope.software, address=fetch.peer)
        passage = self.gate.decided(context, (), started=fetch.started, began=fetch.began, causes=[cause])
        if passage.passes:
            return Answer(id=passage.id, action=passage.action)
        return Answer(503 if passage.undecided else 502, id=passage.id, action=passage.action)

    # -- judging -------------------------------------------------------------------------------------------------------

    async def _judged(self, fetch: _Fetch, document: Document) -> tuple[dict[MediaRef, Medium], list[Cause]]:
        """The media of all parts that rules on context do not settle, and what went wrong with the whole.

        What is on the block set is not fetched; what turns out to be no picture is left out.
        """
        open_parts = [one for one in document.parts if decide_on_context(self.gate.policy, one.context) is None]
        refs = [ref for part in open_parts for ref in part.media]
        if not refs:
            return {}, []
        known, causes = await self.gate.settled([Medium(ref) for ref in refs], fetch.left)
        blocked = {one.ref: one for one in known if one.standing is not None and not one.standing.allowed}
        unknown = [ref for ref in refs if ref not in blocked]
        judged = await self.gate.judge.judge(unknown, timeout=fetch.left, share=fetch.share)
        settled, more = await self.gate.settled(judged, fetch.left)
        causes = list(dict.fromkeys([*causes, *more]))
        if not (causes or self.gate.ledger.healthy):
            causes = [Cause.LEDGER_ERROR]
        return blocked | {one.ref: one for one in settled}, causes

    def _outcome(
        self, document: Document, part: Part, media: Mapping[MediaRef, Medium], causes: Sequence[Cause]
    ) -> Outcome:
        own = [media[ref] for ref in part.media if ref in media]
        whole = [*part.causes, *causes] if own else part.causes
        return outcome(document, part, self.gate.decide(part.context, own, whole), own)

    # -- what is told --------------------------------------------------------------------------------------------------

    def _tell(self, fetch: _Fetch, document: Document, outcomes: Sequence[Outcome]) -> tuple[str, bool]:
        """Write down what was decided on each part, strictest first; the first one's id, and whether all was written.

        A part of which there is nothing to tell (no media, and it passes) is not written down, a document without any
        other is counted.
        """
        told = [one for one in outcomes if one.media or one.decision.action not in _PASSES or one is outcomes[0]]
        if outcomes[0].fate == "gone":
            told = [outcomes[0]]
        told = [one for one in told if one.media or one.decision.hits]
        if not told:
            self.gate.ledger.count("fetch", str(Action.PASS))
            return "", True
        told = sorted(told, key=lambda one: one.decision.action.rank)[:ENTRIES]
        entries = [self._entry(fetch, document, one) for one in told]
        written = [self.gate.ledger.write(one) or not one.media for one in entries]
        return entries[0].id, all(written)

    def _entry(self, fetch: _Fetch, document: Document, one: Outcome) -> Entry:
        part, policy = one.part, self.gate.policy
        body = None
        if one.decision.action in (Action.DROP, Action.REJECT):
            body = write(plain_json(part.value)) if part.at else document.body
        return Entry.of(
            one.decision,
            part.context,
            one.media,
            walk=part.walk,
            peer=fetch.peer,
            started=fetch.started,
            took=time.monotonic() - fetch.began,
            policy_version=policy.version,
            engine_version=self.gate.judge.version,
            mode="observe" if policy.observe else "enforce",
            body=body,
        )


def _strictest(outcomes: Sequence[Outcome]) -> Action:
    return min((one.decision.action for one in outcomes), key=lambda action: action.rank)
