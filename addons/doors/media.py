"""What the fetch door answers for media and documents that were gathered: as they came, replaced, or refused."""

import asyncio
import logging
from datetime import UTC, datetime
from time import monotonic

from mitmproxy import http

from addons.activitypub.references import MediaRef
from addons.doors.answers import refusal, unstored
from addons.doors.documents import Answer, Documents
from addons.doors.gathering import Reading, What
from addons.judging.gate import Gate, Passage
from addons.judging.placeholders import placeholder
from addons.policy.words import Action, Cause, Context
from classifier.sniff import Kind

logger = logging.getLogger(__name__)

# What a changed body no longer is: RFC 9110 (ETag, Last-Modified, Content-Encoding), RFC 9530, RFC 3230, RFC 1864.
_UNTRUE = (
    "etag",
    "last-modified",
    "content-encoding",
    "digest",
    "content-digest",
    "repr-digest",
    "content-md5",
    "transfer-encoding",
)


class Media:
    """Asks the gate, and Documents, and says what the server is given.

    An answer None is: what was gathered passes as it came.
    """

    def __init__(self, gate: Gate, documents: Documents) -> None:
        self.gate = gate
        self.documents = documents

    async def answer(
        self, context: Context, url: str, reading: Reading, head: http.Response, *, timeout: float
    ) -> http.Response | None:
        """For a body that is there as a whole; ``timeout`` seconds are left to judge it."""
        if reading.what is What.DOCUMENT:
            found = await self._look(context, url, reading, head, timeout)
            return _document(found, head)
        passage = await self._judged(context, url, reading, timeout)
        return None if passage is None else await self._medium(passage, url, reading.kind)

    async def failed(
        self, context: Context, url: str, reading: Reading, cause: Cause, message: str
    ) -> http.Response | None:
        """For a body that was not gathered to its end: its cause decides. None: all of it passes, unjudged."""
        passage = self.gate.failed(context, reference(url, reading.kind), cause, message)
        if reading.what is What.DOCUMENT and not (passage.passes or passage.undecided):
            # Nobody knows whether it is an actor's, for which some servers take a 4xx as the end of it.
            return unstored(502, "the document is not passed on")
        return await self._medium(passage, url, reading.kind)

    async def observe(
        self, context: Context, url: str, reading: Reading, head: http.Response, *, timeout: float
    ) -> None:
        """Judge and write down what has passed already (``mode: observe``)."""
        if reading.what is What.DOCUMENT:
            found = await self._look(context, url, reading, head, timeout)
            if found.afterwards is not None:
                await found.afterwards()
        else:
            await self._judged(context, url, reading, timeout)

    async def observe_failed(self, context: Context, url: str, reading: Reading) -> None:
        """Write down what passed and could not be gathered (``mode: observe``)."""
        if reading.cause is not None:
            self.gate.failed(context, reference(url, reading.kind), reading.cause, reading.message)
        else:
            self.gate.ledger.count("fetch", "unobserved")

    async def _look(self, context: Context, url: str, reading: Reading, head: http.Response, timeout: float) -> Answer:
        return await self.documents.look(
            url,
            reading.decoded,
            media_type=", ".join(head.headers.get_all("content-type")),
            timeout=timeout,
            peer=context.address,
        )

    async def _judged(self, context: Context, url: str, reading: Reading, timeout: float) -> Passage | None:
        """None for a sound in which no picture stands: it is no medium that anybody sees.

        Sounds that are not even opened (``kind.video``) pass only where the server takes them for nothing else.
        """
        ref, data = reference(url, reading.kind), reading.decoded
        if ref.kind != "audio":
            return await self.gate.bytes(context, ref, data, timeout=timeout, lease=reading.lease)
        started, began = datetime.now(UTC), monotonic()
        medium = await self.gate.judge.judge_bytes(ref, data, timeout=timeout, lease=reading.lease)
        if medium.cause is Cause.UNSUPPORTED and (reading.kind.video or not reading.anything):
            return None
        media, causes = await self.gate.settled([medium], timeout - (monotonic() - began))
        return self.gate.decided(context, media, started=started, began=began, causes=causes)

    async def _medium(self, passage: Passage, url: str, kind: Kind) -> http.Response | None:
        if passage.passes:
            return None
        if passage.undecided:
            return unstored(503, "not decided yet, please try again later")
        if passage.action is Action.REJECT:
            return refusal(403, "this is not let through")
        judgement = passage.media[0].judgement if passage.media else None
        media_type = judgement.media_type if judgement else kind.media_type
        width, height = (judgement.width, judgement.height) if judgement else (None, None)
        body, media_type = await asyncio.to_thread(placeholder, media_type, width, height, url)
        return http.Response.make(200, body, {"Content-Type": media_type, "Cache-Control": "no-store"})


def reference(url: str, kind: Kind) -> MediaRef:
    """The body of a URL as rules are asked about it: as what its bytes are, whatever it may be shown as."""
    family = kind.media_type.partition("/")[0]
    return MediaRef(url, "video" if family == "video" else "audio" if family == "audio" else "image", "")


def _document(found: Answer, head: http.Response) -> http.Response | None:
    if found.status == 404:
        return refusal(404, "not found")
    if not found.passes:
        return unstored(found.status, "the document is not passed on")
    if found.body is None:
        return None
    for name in _UNTRUE:
        head.headers.pop(name, None)
    head.headers["Content-Length"] = str(len(found.body))
    head.data.content = found.body
    return head
