"""Hosts and actors denied for a while by rules: counted in the real ledger, asked from memory, shared by processes."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest
from sqlalchemy.exc import OperationalError

from addons.ledger.denials import Denied
from addons.ledger.ledger import Ledger
from addons.policy.conditions import SymbolTest
from addons.policy.rules import Rule
from addons.policy.words import Action, Denial
from addons.senders.denying import LONGEST, MAX_WAITING, REFRESH_EVERY, Denials
from tests.addons.senders.hosts import Clock

ADA = "https://remote.example/users/ada"
EVE = "https://remote.example/users/eve"
HOUR = timedelta(hours=1)


class Times:
    """Both of the clocks, going together."""

    def __init__(self) -> None:
        self.seconds = Clock()
        self.begun = datetime(2026, 11, 22, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.begun + timedelta(seconds=self.seconds.at)

    def go(self, seconds: float) -> None:
        self.seconds.at += seconds


@pytest.fixture
def times() -> Times:
    return Times()


@pytest.fixture
def ledger(url: str, times: Times) -> Iterator[Ledger]:
    ledger = Ledger.open(url, clock=times)
    yield ledger
    ledger.close()


def a_rule(who: Literal["host", "actor"] = "host", *, hits: int = 3, seconds: float = 86_400) -> Rule:
    return Rule("forbidden", SymbolTest("clip.x", ">", 0.5), Action.DROP, deny=Denial(seconds, hits, 3600, who))


def opened(ledger: Ledger, times: Times) -> Denials:
    denials = Denials(ledger.denials, clock=times.seconds, now=times)
    denials.load()
    return denials


async def test_a_host_is_denied_after_so_many_hits(ledger: Ledger, times: Times) -> None:
    denials = opened(ledger, times)
    for _ in range(2):
        denials.noted(a_rule(), "Remote.Example", ADA)
        await denials.settled()
        assert denials.denied("remote.example", ADA) is None
    denials.noted(a_rule(), "remote.example", EVE)
    await denials.settled()
    told = denials.denied("REMOTE.example.")
    assert told == "the host remote.example is denied until 2026-11-23 12:16:40 UTC by the rule forbidden"
    assert denials.denied(None, EVE) == told
    assert denials.denied("other.example", "https://other.example/users/ada") is None
    times.go(86_399)
    assert denials.denied("remote.example")
    times.go(1)
    assert denials.denied("remote.example") is None
    await denials.settled()


async def test_hits_too_far_apart_deny_nobody(ledger: Ledger, times: Times) -> None:
    denials = opened(ledger, times)
    for _ in range(5):
        denials.noted(a_rule(), "remote.example", None)
        await denials.settled()
        times.go(1801)
    assert denials.denied("remote.example") is None
    await denials.settled()


async def test_an_actor_is_denied_alone(ledger: Ledger, times: Times) -> None:
    denials = opened(ledger, times)
    for _ in range(3):
        denials.noted(a_rule("actor"), "remote.example", ADA)
    await denials.settled()
    assert (denials.denied("remote.example", ADA) or "").startswith(f"the actor {ADA} is denied until ")
    assert denials.denied("remote.example", EVE) is None
    assert denials.denied("remote.example") is None


async def test_an_actor_writes_no_lines_of_his_own_into_the_log(
    ledger: Ledger, times: Times, caplog: pytest.LogCaptureFixture
) -> None:
    denials = opened(ledger, times)
    for _ in range(3):
        denials.noted(a_rule("actor"), "remote.example", f"{ADA}\nERROR all is lost \x1b[31m")
    await denials.settled()
    (said,) = caplog.messages
    assert said.isprintable()


async def test_who_did_not_prove_it_has_nobody_denied(ledger: Ledger, times: Times) -> None:
    denials = opened(ledger, times)
    long = f"https://remote.example/{'x' * LONGEST}"
    once = a_rule("actor", hits=1)
    for rule, host, actor in (
        (a_rule(hits=1), None, ADA),
        (a_rule(hits=1), "not a host", ADA),
        (once, None, ADA),
        (once, "other.example", ADA),  # its own actors only
        (once, "remote.example", None),
        (once, "remote.example", "acct:ada@remote.example"),
        (once, "remote.example", long),
        (Rule("without", once.when, Action.DROP), "remote.example", ADA),
    ):
        denials.noted(rule, host, actor)
    await denials.settled()
    assert ledger.denials.current(times()) == []
    denials.noted(once, "remote.example", long[:LONGEST])
    await denials.settled()
    assert len(ledger.denials.current(times())) == 1
    assert denials.denied(None, long[:LONGEST])


async def test_a_longer_denial_is_not_shortened(ledger: Ledger, times: Times) -> None:
    denials = opened(ledger, times)
    denials.noted(a_rule(hits=1), "remote.example")
    denials.noted(a_rule(hits=1, seconds=60), "remote.example")
    await denials.settled()
    times.go(3600)
    assert denials.denied("remote.example")
    await denials.settled()
    assert denials.denied("remote.example")


async def test_another_process_knows_within_seconds(ledger: Ledger, times: Times) -> None:
    one, two = opened(ledger, times), opened(ledger, times)
    one.noted(a_rule(hits=1), "remote.example")
    await one.settled()
    times.go(REFRESH_EVERY - 0.5)
    assert two.denied("remote.example") is None
    times.go(0.5)
    two.denied("remote.example")
    await two.settled()
    assert two.denied("remote.example")
    assert opened(ledger, times).denied("remote.example")  # and one that is started later at once
    ledger.denials.lift("host", "remote.example")
    times.go(REFRESH_EVERY)
    two.denied("remote.example")
    await two.settled()
    assert two.denied("remote.example") is None


class Failing:
    """A database that is not there, until it is."""

    def __init__(self) -> None:
        self.here = False
        self.asked = 0

    def _ask(self) -> None:
        self.asked += 1
        if not self.here:
            raise OperationalError("SELECT secret", {}, Exception("the disk is\nfull"))

    def deny(self, kind: str, value: str, until: datetime, by: str, reason: str) -> None:
        self._ask()

    def current(self, now: datetime) -> list[Denied]:
        self._ask()
        return [Denied("host", "remote.example", now + HOUR, "forbidden")]

    def hit(self, rule: str, kind: str, value: str, now: datetime, *, within: timedelta, hits: int) -> int:
        self._ask()
        return hits


async def test_a_ledger_in_trouble_is_told_once_and_what_was_known_still_counts(
    times: Times, caplog: pytest.LogCaptureFixture
) -> None:
    kept = Failing()
    denials = Denials(kept, clock=times.seconds, now=times)
    with pytest.raises(OperationalError):
        denials.load()
    kept.here = True
    denials.load()
    kept.here = False
    for _ in range(3):
        times.go(REFRESH_EVERY)
        assert denials.denied("remote.example")
        await denials.settled()
    assert caplog.text.count("cannot be read from the ledger") == 1
    assert "the disk is full" in caplog.text
    assert "secret" not in caplog.text
    denials.noted(a_rule(), "other.example")
    await denials.settled()
    assert "a hit of the rule forbidden was not counted for its deny: the disk is full" in caplog.text
    assert denials.denied("other.example") is None
    kept.here = True
    denials.noted(a_rule(), "other.example")
    await denials.settled()
    assert denials.denied("other.example")


async def test_more_hits_than_can_be_counted(times: Times, caplog: pytest.LogCaptureFixture) -> None:
    kept = Failing()
    denials = Denials(kept, clock=times.seconds, now=times)
    for _ in range(MAX_WAITING):
        denials.noted(a_rule(), "remote.example")
    assert "does not keep up" not in caplog.text
    denials.noted(a_rule(), "remote.example")
    assert "does not keep up" in caplog.text
    await denials.settled()
    assert kept.asked == MAX_WAITING
