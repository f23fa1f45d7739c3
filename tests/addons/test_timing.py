import pytest

from addons.activitypub.signatures.request import Headers
from addons.holding.replay import Reply, UnreachableError
from addons.ledger.held import NewHold, Signer
from addons.metrics import Metrics
from addons.timing import TimedHolder, TimedReplayer, TimedVerifier
from tests.addons.ledger import deliveries
from tests.addons.test_metrics import told


class Works:
    """Verifies, holds and sends at once; ``fails`` instead of sending."""

    def __init__(self, fails: Exception | None = None) -> None:
        self.fails = fails
        self.got: list[object] = []

    async def verify(
        self, method: str, target: str, headers: Headers, raw_body: bytes, *, timeout: float, share: str
    ) -> Signer:
        self.got.append((method, target, headers, raw_body, timeout, share))
        return Signer("verified", "remote.example")

    async def hold(self, new: NewHold) -> object:
        self.got.append(new)
        return "held"

    async def send(self, head: bytes, body: bytes, timeout: float) -> Reply:
        self.got.append((head, body, timeout))
        raise self.fails or AssertionError


def count(metrics: Metrics, stage: str) -> float:
    return told(metrics)["fediward_stage_seconds_count", (("stage", stage),)]


async def test_each_says_what_it_is_told_and_is_timed() -> None:
    metrics, works = Metrics(), Works()
    signer = await TimedVerifier(metrics, works).verify("POST", "/inbox", [], b"{}", timeout=1.5, share="peer:a")
    assert signer == Signer("verified", "remote.example")
    assert works.got == [("POST", "/inbox", [], b"{}", 1.5, "peer:a")]
    new = deliveries.new("A")
    assert await TimedHolder(metrics, works).hold(new) == "held"
    assert works.got[1] is new
    assert (count(metrics, "verify"), count(metrics, "hold")) == (1, 1)


async def test_what_fails_is_timed_too() -> None:
    metrics = Metrics()
    works = Works(UnreachableError("gone", connected=False))
    with pytest.raises(UnreachableError):
        await TimedReplayer(metrics, works).send(b"head", b"body", 5.0)
    assert works.got == [(b"head", b"body", 5.0)]
    assert count(metrics, "replay") == 1
