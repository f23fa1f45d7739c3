"""Validation: pict-rs's ``external_validation`` posts every file that it takes in, and keeps what gets a 200."""

import asyncio
import contextlib
import hmac
import io
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from addons.activitypub.references import MediaRef
from addons.doors.peers import parse_address
from addons.fetching.budget import BudgetSpentError, Lease, MemoryBudget
from addons.judging.gate import Gate, Passage
from addons.policy.words import Cause, Context
from addons.web import telling
from addons.web.afterwards import Afterwards

_SCAN = re.compile(rb"/api/v1/scan/[^/]{1,200}")
"""As pictrs-safety has it (db0/pictrs-safety:pictrs_safety_api/apis/v1/base.py), whose users change the host alone."""
_REF = MediaRef("", "image", "")
"""pict-rs says neither where a file came from nor what it is called."""


@dataclass(frozen=True, slots=True)
class ValidateSettings:
    """What validation takes from the configuration. ``judges``: whether anything is judged; ``deadline``: seconds for
    one answer; ``max_bytes``: of one file; ``secret``: what the path then has to end with; ``behind``: whether all that
    comes was judged at the pict-rs door before pict-rs wrote it anew."""

    judges: bool = True
    deadline: float = 8.0
    max_bytes: int = 40 << 20
    secret: str | None = None
    behind: bool = False


class _GoneError(Exception):
    """The client hung up."""


class Validate:
    """ASGI application: ``POST /validate`` or ``/api/v1/scan/ID`` with a file. Any other path is 404.

    200: it may be kept; 403 or 413: it may not; 503: it is not decided yet, and asking again finds it judged. pict-rs
    takes everything but 2xx for a no (reference §8).
    """

    def __init__(self, gate: Gate, budget: MemoryBudget, settings: ValidateSettings) -> None:
        self.gate = gate
        self.settings = settings
        self.afterwards = Afterwards()
        self._budget = budget

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if not self._is_ours(scope["raw_path"]):
            await JSONResponse({"message": "there is nothing here"}, 404)(scope, receive, send)
            return
        if scope["method"] != "POST":
            told = {"message": "POST a file here"}
            await JSONResponse(told, 405, {"Allow": "POST"})(scope, receive, send)
            return
        address = parse_address((scope["client"] or ("", 0))[0])
        context = Context("validate", software=self.gate.software, address=str(address) if address else None)
        until = time.monotonic() + self.settings.deadline
        try:
            response = await self._response(context, scope, _Body(receive), until)
        except _GoneError:
            return
        await response(scope, receive, send)

    def _is_ours(self, path: bytes) -> bool:
        secret = self.settings.secret
        if secret is None:
            return path == b"/validate" or _SCAN.fullmatch(path) is not None
        ours = (f"/validate/{secret}".encode(), f"/api/v1/scan/{secret}".encode())
        return any(hmac.compare_digest(path, one) for one in ours)

    async def _response(self, context: Context, scope: Scope, body: "_Body", until: float) -> JSONResponse:
        if not self.settings.judges:
            self.gate.ledger.count("validate", "unjudged")
            await body.drain(until)
            return _accepted("not judged")
        if (settled := self.gate.on_context(context)) is not None:
            await body.drain(until)
            return _told(settled)
        lease = self._budget.take(0)
        try:
            data = await self._gathered(scope, body, lease, until)
        except BaseException as error:
            lease.release()
            if (cause := _cause(error)) is None:
                raise
            await body.drain(until)
            return self._not_judged(context, cause, str(error))
        if self.gate.policy.observe:
            return self._observe(context, data, lease)
        with lease:
            left = until - time.monotonic()
            again = self.settings.behind
            return _told(await self.gate.bytes(context, _REF, data, timeout=left, lease=lease, encoded_again=again))

    async def _gathered(self, scope: Scope, body: "_Body", lease: Lease, until: float) -> bytes:
        """The whole of it. Raises _TooLargeError, BudgetSpentError, TimeoutError, _GoneError."""
        most = self.settings.max_bytes
        for name, value in scope["headers"]:
            if name == b"content-length" and int(value) > most:
                raise _TooLargeError(f"{int(value)} bytes; at most {most} are judged")
        # getvalue() shares its buffer, where b"".join would need the bytes twice.
        data = io.BytesIO()
        try:
            async with asyncio.timeout(until - time.monotonic()):
                while body.more:
                    piece = await body.piece()
                    if lease.size + len(piece) > most:
                        raise _TooLargeError(f"more than {most} bytes")
                    lease.grow(len(piece))
                    data.write(piece)
        except TimeoutError as error:
            raise TimeoutError(f"only {lease.size} bytes came within {self.settings.deadline:g} s") from error
        return data.getvalue()

    def _not_judged(self, context: Context, cause: Cause, message: str) -> JSONResponse:
        if self.gate.policy.observe:
            self.gate.ledger.count("validate", "unobserved")
            return _accepted("not judged")
        return _told(self.gate.failed(context, _REF, cause, message))

    def _observe(self, context: Context, data: bytes, lease: Lease) -> JSONResponse:
        if self.afterwards.full:
            lease.release()
            self.gate.ledger.count("validate", "unobserved")
        else:
            self.afterwards.do(self._judge(context, data, lease))
        return _accepted("judged afterwards")

    async def _judge(self, context: Context, data: bytes, lease: Lease) -> None:
        with lease:
            await self.gate.bytes(context, _REF, data, timeout=self.settings.deadline, lease=lease)


class _TooLargeError(Exception):
    """More bytes than are judged."""


def _cause(error: BaseException) -> Cause | None:
    if isinstance(error, _TooLargeError):
        return Cause.TOO_LARGE
    if isinstance(error, BudgetSpentError):
        return Cause.BUSY
    return Cause.TIMEOUT if isinstance(error, TimeoutError) else None


class _Body:
    """A request's body as it comes; ``more``: whether there may be more of it."""

    def __init__(self, receive: Receive) -> None:
        self.more = True
        self._receive = receive

    async def piece(self) -> bytes:
        """What came next. Raises _GoneError."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise _GoneError
        self.more = message.get("more_body", False)
        data: bytes = message.get("body", b"")
        return data

    async def drain(self, until: float) -> None:
        """Read the rest and forget it: who is answered in the middle of sending may not see the answer.

        Until then at most: who sends for ever is hung up on. Raises _GoneError.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(until - time.monotonic()):
                while self.more:
                    await self.piece()


def _accepted(message: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"message": message}, 200, headers)


def _told(passage: Passage) -> JSONResponse:
    headers = telling.headers(passage)
    if passage.passes:
        return _accepted("accepted", headers)
    reason = telling.reason(passage)
    if passage.undecided:
        told = {"message": "not decided yet, please try again later", "reason": reason, "decision": passage.id}
        return JSONResponse(told, 503, headers | {"Cache-Control": "no-store"})
    status = 413 if passage.decision.cause is Cause.TOO_LARGE else 403
    return JSONResponse({"message": "refused", "reason": reason, "decision": passage.id}, status, headers)
