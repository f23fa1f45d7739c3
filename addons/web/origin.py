"""The origin: where pict-rs fetches every remote image from, by its stable URL; it gets judged bytes or none."""

import asyncio
import mimetypes
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from addons.activitypub.references import MediaRef
from addons.doors.peers import parse_address
from addons.fetching.client import Fetched, FetchError
from addons.fetching.urls import UrlRefusedError, parse
from addons.judging.gate import Gate, Passage
from addons.judging.judge import Fetches
from addons.judging.local import is_local
from addons.judging.placeholders import placeholder
from addons.judging.stable import StableUrls
from addons.policy.words import Action, Cause, Context
from addons.web import telling
from addons.web.afterwards import Afterwards
from classifier import media_type_of

SHARE = "pict-rs"
"""Whose share of the fetches this takes: what pict-rs wants shall not keep deliveries from being judged."""
PIECE = 64 << 10
"""Bytes sent at a time, so that no more than that waits unsent beside what the memory budget counts."""

_NO_STORE = {"Cache-Control": "no-store"}
_NOT_FETCHED = frozenset({Cause.FETCH_FAILED, Cause.FETCH_UNAUTHORIZED, Cause.FETCH_REFUSED})
"""No placeholder for these, whatever their action: pict-rs keeps one for ever, and the host may be back in a minute."""
_NOT_JUDGED = frozenset(
    {Cause.TIMEOUT, Cause.BUSY, Cause.NO_WORKER, Cause.DETECTOR_ERROR, Cause.LEDGER_ERROR, Cause.HOLD_FULL}
)
"""Nor for these: whoever makes us busy for a minute must not have good pictures replaced for ever."""


@dataclass(frozen=True, slots=True)
class OriginSettings:
    """What the origin takes from the configuration. ``deadline``: seconds for one answer; ``local``: domains of our
    own, whose media pass unjudged."""

    deadline: float = 8.0
    local: frozenset[str] = frozenset()


class Origin:
    """ASGI application: ``GET`` and ``HEAD`` of a stable URL. All else is 404, and nothing is fetched for it."""

    def __init__(self, gate: Gate, fetcher: Fetches, urls: StableUrls, settings: OriginSettings) -> None:
        self.gate = gate
        self.settings = settings
        self.afterwards = Afterwards()
        self._fetcher = fetcher
        self._urls = urls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        url = self._asked_for(scope)
        if url is None:
            await PlainTextResponse("there is nothing here\n", 404, _NO_STORE)(scope, receive, send)
            return
        client = parse_address((scope["client"] or ("", 0))[0])
        context = Context(
            "pictrs", host=_host(url), software=self.gate.software, address=str(client) if client else None
        )
        visit = _Visit(context, MediaRef(url, "image", ""), time.monotonic() + self.settings.deadline, send)
        settled = self.gate.on_context(context)
        if settled is not None and not settled.passes:
            await _without(visit, settled)
        elif settled is None and self.gate.policy.observe:
            await self._observed(visit)
        elif settled is not None or is_local(url, self.settings.local):
            await self._unjudged(visit, passed=settled is not None)
        else:
            await _answer(visit, *await self.gate.fetch(context, visit.ref, timeout=visit.left, share=SHARE))

    def _asked_for(self, scope: Scope) -> str | None:
        if scope["method"] not in ("GET", "HEAD") or scope["query_string"]:
            return None
        return self._urls.original(scope["raw_path"].decode("ascii", "replace"))

    async def _unjudged(self, visit: "_Visit", *, passed: bool) -> None:
        """What passes by a rule on its host alone (``passed``), or is our own."""
        try:
            fetched = await self._fetcher.get(visit.ref.url, timeout=visit.left, share=SHARE)
        except FetchError as error:
            await visit.plain(_status(error.cause), {"X-Fediward-Reason": f"cause {error.cause}"})
            return
        if passed or is_local(fetched.url, self.settings.local):
            self.gate.ledger.count("pictrs", "unjudged")
            with fetched.lease:
                await visit.bytes(fetched.data, {})
            return
        # One of our own URLs that led elsewhere: a stranger's picture after all.
        try:
            passage = await self.gate.bytes(
                visit.context, visit.ref, fetched.data, timeout=visit.left, lease=fetched.lease
            )
        except BaseException:
            fetched.release()
            raise
        await _answer(visit, passage, fetched)

    async def _observed(self, visit: "_Visit") -> None:
        """Answered first, judged afterwards."""
        try:
            fetched = await self._fetcher.get(visit.ref.url, timeout=visit.left, share=SHARE)
        except FetchError as error:
            await visit.plain(_status(error.cause), {"X-Fediward-Reason": f"cause {error.cause}"})
            await self.gate.unjudged(visit.context, visit.ref, error.cause, str(error))
            return
        try:
            await visit.bytes(fetched.data, {})
        except BaseException:
            fetched.release()
            raise
        if self.afterwards.full:
            fetched.release()
            self.gate.ledger.count("pictrs", "unobserved")
        else:
            self.afterwards.do(self._judge(visit, fetched))

    async def _judge(self, visit: "_Visit", fetched: Fetched) -> None:
        with fetched.lease:
            timeout = self.settings.deadline
            await self.gate.bytes(visit.context, visit.ref, fetched.data, timeout=timeout, lease=fetched.lease)


@dataclass(frozen=True, slots=True)
class _Visit:
    """One request for a remote image. ``until``: monotonic seconds at which it must be answered."""

    context: Context
    ref: MediaRef
    until: float
    send: Send

    @property
    def left(self) -> float:
        return self.until - time.monotonic()

    async def bytes(self, data: bytes, more: Mapping[str, str], media_type: str | None = None) -> None:
        """200, and these very bytes."""
        media_type = media_type or media_type_of(data)
        await self._begin(200, {"Content-Type": media_type, "Content-Length": str(len(data)), **more})
        for start in range(0, len(data), PIECE):
            piece = data[start : start + PIECE]
            more_body = start + PIECE < len(data)
            await self.send({"type": "http.response.body", "body": piece, "more_body": more_body})

    async def plain(self, status: int, more: Mapping[str, str] = MappingProxyType({})) -> None:
        """No image: pict-rs keeps nothing of it."""
        await self._begin(status, {"Content-Length": "0", **more})
        await self.send({"type": "http.response.body", "body": b""})

    async def _begin(self, status: int, headers: Mapping[str, str]) -> None:
        # Judged by today's rules: whoever may stand between us and pict-rs must not keep it.
        raw = [(name.lower().encode(), value.encode()) for name, value in (_NO_STORE | dict(headers)).items()]
        await self.send({"type": "http.response.start", "status": status, "headers": raw})


async def _answer(visit: _Visit, passage: Passage, fetched: Fetched | None) -> None:
    """What was decided; the bytes are released once they are sent, or when they are no longer needed."""
    if fetched is None:
        await _without(visit, passage)
        return
    with fetched.lease:
        media_type = media_type_of(fetched.data)
        if passage.passes:
            await visit.bytes(fetched.data, telling.headers(passage) | _etag(passage), media_type)
            return
    await _without(visit, passage, media_type)


async def _without(visit: _Visit, passage: Passage, media_type: str | None = None) -> None:
    """An answer without the image: a placeholder, or a status of which pict-rs keeps nothing."""
    told, cause = telling.headers(passage), passage.decision.cause
    if passage.undecided or (cause in _NOT_JUDGED and not passage.passes):
        await visit.plain(503, told)
    elif cause in _NOT_FETCHED:
        await visit.plain(_status(cause), told)
    elif passage.passes:
        found = passage.media[0].cause if passage.media else None
        await visit.plain(_status(found), told)
    elif passage.action is Action.REJECT:
        await visit.plain(451, told)
    else:
        judgement = passage.media[0].judgement if passage.media else None
        wanted = media_type or (judgement.media_type if judgement else None) or _guessed(visit.ref.url)
        width, height = (judgement.width, judgement.height) if judgement else (None, None)
        data, kind = await asyncio.to_thread(placeholder, wanted, width, height, visit.ref.url)
        await visit.bytes(data, told, kind)


def _status(cause: Cause | None) -> int:
    """For an image that is not there to be given."""
    if cause is Cause.FETCH_REFUSED:
        return 403
    return 503 if cause in (Cause.TIMEOUT, Cause.BUSY) else 502


def _etag(passage: Passage) -> dict[str, str]:
    judgement = passage.media[0].judgement if passage.media else None
    return {"ETag": f'"{judgement.sha256}"'} if judgement else {}


def _host(url: str) -> str | None:
    """The image's host; None where the URL is none that is fetched."""
    try:
        return parse(url).host
    except UrlRefusedError:
        return None


def _guessed(url: str) -> str:
    """A media type by the end of the URL's path: of an image that was not looked at nothing better is known."""
    path = re.split("[?#]", url, maxsplit=1)[0]
    return mimetypes.guess_type("x." + path[-10:].rpartition(".")[2], strict=False)[0] or ""
