"""Times what a delivery waits for, around the parts that do it."""

import time
from collections.abc import Awaitable

from addons.activitypub.signatures.request import Headers
from addons.doors.holding import Stores
from addons.doors.signers import Verifies
from addons.holding.replay import Reply
from addons.holding.replaying import Sends
from addons.ledger.held import NewHold, Signer
from addons.metrics import Metrics, Stage


async def timed[Found](metrics: Metrics, stage: Stage, work: Awaitable[Found]) -> Found:
    """What ``work`` gives; how long it took is noted, also where it fails."""
    began = time.perf_counter()
    try:
        return await work
    finally:
        metrics.stage(stage, time.perf_counter() - began)


class TimedVerifier:
    """A :class:`addons.senders.verifying.Verifier`."""

    def __init__(self, metrics: Metrics, verifier: Verifies) -> None:
        self._metrics = metrics
        self._verifier = verifier

    async def verify(
        self, method: str, target: str, headers: Headers, raw_body: bytes, *, timeout: float, share: str
    ) -> Signer:
        """Who signed a request; never raises."""
        work = self._verifier.verify(method, target, headers, raw_body, timeout=timeout, share=share)
        return await timed(self._metrics, "verify", work)


class TimedHolder:
    """A :class:`addons.holding.holder.Holder`."""

    def __init__(self, metrics: Metrics, holder: Stores) -> None:
        self._metrics = metrics
        self._holder = holder

    async def hold(self, new: NewHold) -> object:
        """It is on the disk when this returns. Raises HoldFullError, LedgerTroubleError."""
        return await timed(self._metrics, "hold", self._holder.hold(new))


class TimedReplayer:
    """A :class:`addons.holding.replay.Replayer`."""

    def __init__(self, metrics: Metrics, replayer: Sends) -> None:
        self._metrics = metrics
        self._replayer = replayer

    async def send(self, head: bytes, body: bytes, timeout: float) -> Reply:
        """The server's answer. Raises UnreachableError."""
        return await timed(self._metrics, "replay", self._replayer.send(head, body, timeout))
