"""The upload door: local users' uploads and posts, on a listener that is there for something else."""

import asyncio
import logging
import re
from collections import Counter
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass

from mitmproxy import http

from addons.doors.deliveries import names_inbox
from addons.doors.layers import GATHER, Gather
from addons.doors.multipart import is_multipart
from addons.doors.peers import Network, connection_key, is_trusted, parse_address, sender
from addons.doors.posts import MAX_BYTES
from addons.doors.upload_answers import Refusal, answer
from addons.doors.upload_paths import METHODS, Asked, Paths, canonical
from addons.doors.upload_table import Kind
from addons.doors.uploads import Request, Uploads, What
from addons.fetching.budget import BudgetSpentError, Lease, MemoryBudget
from addons.fetching.portion import Portion

logger = logging.getLogger(__name__)

VISIT = "fediward.upload"
"""Flow metadata: this request is an upload or post, see :class:`_Visit`."""
PER_PEER = 16
"""Requests of one peer that are gathered or judged at a time."""
SLOWEST = 8 << 10
"""Bytes a second that a body must come at, beside the time that any body has."""
_INBOX = re.compile(rb"[/A-Za-z0-9._@~-]*/inbox")
"""Paths of nearly all deliveries, which need no further look."""
OBSERVED = 16
"""Requests that are judged at a time where nobody waits for it."""


@dataclass(frozen=True, slots=True)
class UploadRules:
    """How the door goes about it. ``everything``: bodies are judged, else rules on context alone hold (``scan``);
    ``observe``: afterwards; ``body_time``: seconds that a small body may take; ``per_peer``: requests of one peer."""

    everything: bool = False
    observe: bool = False
    trusted_proxies: Sequence[Network] = ()
    body_time: float = 60.0
    per_peer: int = PER_PEER


@dataclass(slots=True)
class _Visit:
    request: Request
    asked: Asked
    what: What
    copy: "_Copy | None" = None
    counted: str | None = None


class Upload:
    """Part of a door's addon, which asks it on each request: :meth:`takes`, then :meth:`request` and :meth:`over`."""

    def __init__(self, uploads: Uploads, paths: Paths, rules: UploadRules, budget: MemoryBudget) -> None:
        self.uploads = uploads
        self.paths = paths
        self.rules = rules
        # What is uploaded may take half of the memory, so that deliveries always find some.
        self.budget = Portion(budget, max(1, budget.limit // 2))
        self._peers: Counter[str] = Counter()
        self._observing: set[asyncio.Task[None]] = set()

    # -- the head ------------------------------------------------------------------------------------------------------

    def takes(self, flow: http.HTTPFlow) -> bool:
        """Whether a request is an upload or post; then it is settled whether it is refused, gathered or streamed."""
        asked = self._asked(flow.request)
        if asked is None:
            return False
        flow.request.stream = True
        what: What = "upload" if asked.kind == "upload" or _is_form(flow.request) else "post"
        headers = list(flow.request.headers.items(multi=True))
        peer = sender(flow.client_conn.peername[0], headers, self.rules.trusted_proxies)
        visit = _Visit(self.uploads.request(headers, flow.request.path, peer), asked, what)
        if (passage := self.uploads.on_head(visit.request, what)) is not None:
            self._settle(flow, visit, self.uploads.refusal(passage, what))
        elif not self.rules.everything:
            pass
        elif asked.kind == "unsupported":
            self._settle(flow, visit, self.uploads.unsupported(visit.request))
        elif self.rules.observe:
            self._copy(flow, visit)
        else:
            self._gather(flow, visit)
        return True

    def _asked(self, request: http.Request) -> Asked | None:
        method = request.method.upper()
        if method not in METHODS:
            return None
        # Inboxes take deliveries alone, which are read there, and deliveries are POSTs.
        delivered = method == "POST"
        if delivered and _INBOX.fullmatch(request.data.path):
            return None
        if (asked := self.paths.find(request.path)) is not None:
            return None if delivered and names_inbox(asked.path) else asked
        types = request.headers.get_all("content-type")
        kind: Kind = "upload" if is_multipart(types) else "post"
        if kind == "post" and not (self.paths.forms and any("urlencoded" in value.lower() for value in types)):
            return None
        if delivered and names_inbox(request.path):
            return None
        return Asked(kind, self.paths.software, canonical(request.path))

    def _settle(self, flow: http.HTTPFlow, visit: _Visit, refusal: Refusal | None) -> None:
        if refusal is not None:
            flow.response = self._answer(flow, visit, refusal)
            flow.request.stream = False

    def _answer(self, flow: http.HTTPFlow, visit: _Visit, refusal: Refusal) -> http.Response:
        return answer(refusal, visit.asked.software, visit.asked.path, flow.request.headers.get("accept", ""))

    # -- the body ------------------------------------------------------------------------------------------------------

    def _gather(self, flow: http.HTTPFlow, visit: _Visit) -> None:
        if (refusal := self.uploads.encoded(visit.request)) is not None:
            self._settle(flow, visit, refusal)
            return
        if not self._counts(visit):
            message = f"{self.rules.per_peer} requests of this peer are being gathered or judged already"
            self._settle(flow, visit, self.uploads.busy(visit.request, visit.what, message))
            return
        limit = self._limit(flow)

        def large(flow: http.HTTPFlow) -> http.Response | None:
            refusal = self.uploads.too_large(visit.request, visit.what, limit)
            return self._answer(flow, visit, refusal) if refusal else None

        def busy(flow: http.HTTPFlow) -> http.Response | None:
            message = f"no room in limits.memory: uploads take {self.budget.used} of {self.budget.limit} bytes"
            refusal = self.uploads.busy(visit.request, visit.what, message)
            return self._answer(flow, visit, refusal) if refusal else None

        flow.metadata[VISIT] = visit
        length = flow.request.headers.get("content-length", "")
        seconds = self.rules.body_time + (min(int(length), limit) if length else limit) / SLOWEST
        flow.metadata[GATHER] = Gather(limit, self.budget, large, busy, seconds=seconds, ahead=False)
        flow.request.stream = False

    def _limit(self, flow: http.HTTPFlow) -> int:
        most = self.uploads.settings.max_bytes
        return most if _is_form(flow.request) else min(most, MAX_BYTES)

    def _counts(self, visit: _Visit) -> bool:
        peer = visit.request.peer
        address = parse_address(peer)
        if address is None or is_trusted(address, self.rules.trusted_proxies) or not self.rules.per_peer:
            return True
        visit.counted = key = connection_key(peer)
        if self._peers[key] >= self.rules.per_peer:
            visit.counted = None
            return False
        self._peers[key] += 1
        return True

    def request(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        """A whole request is there, for which :meth:`takes` said so."""
        visit: _Visit = flow.metadata[VISIT]
        if visit.copy is not None:
            self._observe(visit, visit.copy)
            return None
        if flow.request.stream:
            return None  # let by, since there was no room for it
        return self._judge(flow, visit)

    async def _judge(self, flow: http.HTTPFlow, visit: _Visit) -> None:
        refusal = await self.uploads.judge(visit.request, flow.request.raw_content or b"", visit.what)
        if refusal is not None:
            flow.response = self._answer(flow, visit, refusal)

    def over(self, flow: http.HTTPFlow) -> None:
        """The request is done, or one of its sides is gone."""
        visit: _Visit | None = flow.metadata.pop(VISIT, None)
        if visit is None:
            return
        if visit.copy is not None:
            visit.copy.drop()
        if visit.counted is not None:
            self._peers[visit.counted] -= 1
            if self._peers[visit.counted] <= 0:
                del self._peers[visit.counted]

    # -- mode: observe -------------------------------------------------------------------------------------------------

    def _copy(self, flow: http.HTTPFlow, visit: _Visit) -> None:
        visit.copy = flow.request.stream = _Copy(self._limit(flow), self.budget)
        flow.metadata[VISIT] = visit

    def _observe(self, visit: _Visit, copy: "_Copy") -> None:
        """Judge what went by: nobody waits."""
        if copy.lease is None or len(self._observing) >= OBSERVED:
            copy.drop()
            self.uploads.gate.ledger.count("upload", "unobserved")
            return
        lease, copy.lease = copy.lease, None
        task = asyncio.get_running_loop().create_task(self._observed(visit, bytes(copy.data), lease))
        self._observing.add(task)
        task.add_done_callback(self._observing.discard)
        copy.data.clear()

    async def _observed(self, visit: _Visit, body: bytes, lease: Lease) -> None:
        try:
            with lease:
                await self.uploads.judge(visit.request, body, visit.what)
        except Exception:
            self.uploads.gate.ledger.count("upload", "unobserved")
            logger.exception("an upload from %s could not be observed", visit.request.peer)

    @property
    def busy(self) -> bool:
        """Whether something is being judged that nobody waits for."""
        return bool(self._observing)


class _Copy:
    """Hands a body on as it comes, and keeps a copy: none where it is too large, or there is no room."""

    def __init__(self, limit: int, budget: MemoryBudget) -> None:
        self.data = bytearray()
        self.lease: Lease | None = budget.take(0)
        self._limit = limit

    def __call__(self, data: bytes) -> bytes:
        """mitmproxy gives each piece, and an empty one at the end."""
        if self.lease is not None:
            try:
                self.lease.grow(len(data))
            except BudgetSpentError:
                self.drop()
                return data
            self.data += data
            if len(self.data) > self._limit:
                self.drop()
        return data

    def drop(self) -> None:
        """Keep nothing."""
        self.data.clear()
        if self.lease is not None:
            self.lease.release()
            self.lease = None


def _is_form(request: http.Request) -> bool:
    return is_multipart(request.headers.get_all("content-type"))
