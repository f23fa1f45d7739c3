import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from addons.alarms import watching
from addons.alarms.certificates import Certificate
from addons.alarms.kinds import AlarmKind
from addons.alarms.watching import Bounds, Sources, Watching, growing
from addons.ledger.held import Totals
from tests import net
from tests.addons.alarms.receiving import Raised

START = datetime(2026, 3, 1, tzinfo=UTC)
BOUNDS = Bounds(count=100, bytes=10 << 20, window=3600)


@dataclass
class Watched:
    """A watching whose clocks a test moves."""

    sources: dict[str, Any]
    alarms: Raised = field(default_factory=Raised)
    now: float = 0.0

    def __post_init__(self) -> None:
        wall: Callable[[], datetime] = lambda: START + timedelta(seconds=self.now)  # noqa: E731  # read at each call
        self.watching = Watching(self.alarms, Sources(**self.sources), clock=lambda: self.now, wall=wall, every=0.01)

    async def look(self, *times: float) -> None:
        for now in times:
            self.now = now
            await self.watching.look()

    @property
    def said(self) -> list[AlarmKind]:
        return [kind for kind, _ in self.alarms.said]

    @property
    def ended(self) -> list[AlarmKind]:
        return [kind for kind, _ in self.alarms.ended]


def soon(said: Callable[[], str]) -> Callable[[], Awaitable[str]]:
    """The same, to be awaited."""

    async def told() -> str:
        return said()

    return told


async def test_all_is_well() -> None:
    watched = Watched({"held": Totals, "bounds": BOUNDS})
    await watched.look(0, 5, 1000)
    assert (watched.said, watched.ended) == ([], [])


@pytest.mark.parametrize(
    ("source", "kind", "after"),
    [
        ("judges", AlarmKind.NO_WORKER, 60),
        ("ledger", AlarmKind.LEDGER, 30),
        ("upstream", AlarmKind.UPSTREAM_DOWN, 60),
    ],
)
async def test_what_must_last(source: str, kind: AlarmKind, after: float) -> None:
    trouble = ["it does not work"]
    watched = Watched({source: soon(lambda: trouble[0]) if source == "judges" else lambda: trouble[0]})
    await watched.look(0, after - 1)
    assert watched.said == []
    await watched.look(after, after + 1)
    assert watched.alarms.said == [(kind, "it does not work")]
    trouble[0] = ""
    await watched.look(after + 2, after + 3)
    assert watched.ended == [kind]


async def test_the_brake_is_told_of_at_once_and_by_each_new_rule() -> None:
    rules: list[str] = []
    watched = Watched({"brake": lambda: rules})
    await watched.look(0)
    rules[:] = ["nudity"]
    await watched.look(1, 2)
    rules[:] = ["nudity", "minors"]
    await watched.look(3, 4)
    rules.clear()
    await watched.look(5, 6)
    assert watched.said == [AlarmKind.LIMIT_TRIPPED] * 2
    assert "matched minors, nudity: new matches" in watched.alarms.said[1][1]
    assert watched.ended == [AlarmKind.LIMIT_TRIPPED]


async def test_a_clock_that_steps() -> None:
    watched = Watched({})
    wall = [START]
    watched.watching = Watching(watched.alarms, Sources(), clock=lambda: watched.now, wall=lambda: wall[0])
    await watched.look(0)
    wall[0] += timedelta(hours=1)
    await watched.look(1, 2)
    assert watched.said == [AlarmKind.CLOCK]
    wall[0] += timedelta(seconds=599)
    await watched.look(600)
    assert watched.ended == []
    wall[0] += timedelta(seconds=2)
    await watched.look(602)
    assert watched.ended == [AlarmKind.CLOCK]


async def test_the_dates_of_others() -> None:
    watched = Watched({})
    for number in range(5):
        watched.watching.skew(f"host{number}", 400)
    await watched.look(0)
    assert watched.said == [AlarmKind.CLOCK]
    assert "400 s fast" in watched.alarms.said[0][1]


async def test_certificates_are_looked_at_each_hour(tmp_path: Path) -> None:
    watched = Watched({"certificates": [Certificate("it", tmp_path / "missing.pem", "Mend it")]})
    await watched.look(0)
    assert watched.said == [AlarmKind.CERTIFICATE]
    (tmp_path / "missing.pem").write_text("nonsense")
    await watched.look(3599)
    assert len(watched.said) == 1
    await watched.look(3600)
    assert "is none" in watched.alarms.said[1][1]


@pytest.mark.parametrize(
    ("totals", "told"),
    [
        (Totals(), ""),
        (Totals(count=80, bytes=8 << 20, oldest=START - timedelta(minutes=30)), ""),
        (Totals(count=81), "81 deliveries are held, of 100 at most (holds.count)"),
        (Totals(count=1, bytes=(8 << 20) + 1), "8 MiB of deliveries are held, of 10 at most (holds.bytes)"),
        (
            Totals(count=3, oldest=START - timedelta(minutes=31)),
            "3 deliveries are held, the oldest for 31 minutes: after 60 minutes its server takes it no more",
        ),
    ],
)
def test_when_holds_grow(totals: Totals, told: str) -> None:
    said = growing(totals, BOUNDS, START)
    assert said.startswith(told)
    assert bool(said) is bool(told)


async def test_holds_that_grow_and_go_down() -> None:
    totals = [Totals(count=81)]
    watched = Watched({"held": lambda: totals[0], "bounds": BOUNDS})
    await watched.look(0, 1)
    totals[0] = Totals(count=80)
    await watched.look(2)
    assert (watched.said, watched.ended) == ([AlarmKind.HOLDS_GROWING], [AlarmKind.HOLDS_GROWING])


async def test_a_database_that_does_not_answer_is_asked_once_and_keeps_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "PATIENCE", 0.01)
    gate, asked = threading.Event(), []

    def held() -> Totals:
        asked.append(1)
        gate.wait(20)
        return Totals(count=81)

    watched = Watched({"held": held, "bounds": BOUNDS, "ledger": lambda: "full"})
    await watched.look(0, 29, 30)
    assert (len(asked), watched.said) == (1, [AlarmKind.LEDGER])
    gate.set()
    await net.until(lambda: watched.watching._asked is not None and watched.watching._asked.done(), 20)
    await watched.look(31)
    assert watched.said == [AlarmKind.LEDGER, AlarmKind.HOLDS_GROWING]


async def test_a_database_that_fails_is_no_trouble_of_the_holds() -> None:
    def held() -> Totals:
        raise OSError("the disk is gone")

    watched = Watched({"held": held, "bounds": BOUNDS})
    await watched.look(0, 1)
    assert watched.said == []


async def test_what_cannot_be_asked_is_told_once_and_the_others_are(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> str:
        raise RuntimeError("a mistake")

    watched = Watched({"judges": soon(broken), "ledger": lambda: "full"})
    await watched.look(0, 30, 31)
    assert watched.said == [AlarmKind.LEDGER]
    assert [record.getMessage() for record in caplog.records] == ["judging cannot be watched"]


async def test_a_look_that_fails_is_not_the_last(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    looks = []

    async def look() -> None:
        looks.append(1)
        raise RuntimeError("a mistake")

    watched = Watched({})
    monkeypatch.setattr(watched.watching, "look", look)
    watched.watching.start()
    await net.until(lambda: len(looks) >= 3, 20)
    await watched.watching.close()
    assert [record.getMessage() for record in caplog.records] == ["what may go wrong cannot be watched"]


async def test_it_looks_again_and_again_until_it_is_closed() -> None:
    looks = []

    def ledger() -> str:
        looks.append(1)
        return ""

    watched = Watched({"ledger": ledger})
    watched.watching.start()
    await net.until(lambda: len(looks) >= 3, 20)
    await watched.watching.close()
    seen = len(looks)
    await asyncio.sleep(0.05)
    assert len(looks) == seen
