import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from mitmproxy.test import tutils

from addons.doors.assessing import read
from addons.doors.deciding import Case
from addons.doors.signers import VERIFY, Denial, Signers, denial_of
from addons.judging.looking import Scope
from addons.ledger.held import Signer
from addons.policy.words import Action, Context
from addons.senders.vouching import Vouched

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
REMOTE = Context("inbox", "remote.example", "https://remote.example/users/a")
OTHER = Context("inbox", "other.example", "https://other.example/users/b")
VERIFIED = Signer("verified", "remote.example", "key", NOON - timedelta(seconds=30))


class Asked:
    """A verifier that says what it is told to, and keeps what it was asked."""

    def __init__(self, says: Signer = VERIFIED) -> None:
        self.says = says
        self.asked: list[dict[str, Any]] = []

    async def verify(self, method: str, target: str, headers: Any, raw_body: bytes, **how: Any) -> Signer:
        self.asked.append({"request": (method, target, headers, raw_body), **how})
        return self.says


class Names:
    """Lists, or denials for a while, of these hosts."""

    def __init__(self, denied: str = "", allowed: str = "") -> None:
        self._denied, self._allowed = denied.split(), allowed.split()

    def denied(self, host: str | None, actor_url: str | None = None) -> str | None:
        return f"{host} is" if host in self._denied else None

    def allowed(self, host: str | None) -> str | None:
        return "allow.txt:1" if host in self._allowed else None


def signers(lists: Names | None = None, denials: Names | None = None, verifier: Asked | None = None) -> Signers:
    return Signers(verifier or Asked(), lists or Names(), denials or Names(), Vouched("mastodon"))


def case(left: float = 60, types: str = '"Like"') -> Case:
    body = '{"type": %s, "actor": "https://remote.example/users/a", "object": "https://remote.example/users/a"}'
    delivery = read((body % types).encode(), Scope())
    return Case("id", b"raw", delivery, "2001:db8::1", NOON, 0.0, time.monotonic() + left)


@pytest.mark.parametrize(
    ("lists", "denials", "found"),
    [
        (Names(), Names(), []),
        (Names("remote.example"), Names(), [("senders.deny, remote.example is", False)]),
        (Names("remote.example", "remote.example"), Names(), [("senders.deny, remote.example is", True)]),
        # what a rule denied for a while no list lifts
        (Names("", "remote.example"), Names("remote.example"), [("remote.example is", False)]),
        (
            Names("other.example", "other.example"),
            Names("remote.example"),
            [("remote.example is", False), ("senders.deny, other.example is", True)],
        ),
    ],
)
def test_who_is_denied(lists: Names, denials: Names, found: list[tuple[str, bool]]) -> None:
    told = signers(lists, denials).denied([REMOTE, OTHER])
    assert [(one.why, one.liftable) for one in told] == found


@pytest.mark.parametrize(
    ("signer", "denials", "lifts"),
    [
        (VERIFIED, [Denial(REMOTE, "", True)], True),
        (VERIFIED, [Denial(REMOTE, "", False)], False),
        (VERIFIED, [Denial(OTHER, "", True)], False),
        (VERIFIED, [Denial(REMOTE, "", True), Denial(OTHER, "", True)], False),
        (replace(VERIFIED, state="unverified"), [Denial(REMOTE, "", True)], False),
        (replace(VERIFIED, state="unverifiable"), [Denial(REMOTE, "", True)], False),
    ],
)
def test_whom_an_allow_list_lets_in(signer: Signer, denials: list[Denial], lifts: bool) -> None:
    assert signers(Names("", "remote.example other.example")).lifts(signer, denials) is lifts


def test_nobody_is_let_in_whom_no_list_allows() -> None:
    assert not signers(Names("remote.example")).lifts(VERIFIED, [Denial(REMOTE, "", True)])


async def test_who_signed() -> None:
    verifier = Asked()
    skews: list[tuple[str, float]] = []
    asking = signers(verifier=verifier)
    asking.skew = lambda host, seconds: skews.append((host, seconds))
    request = tutils.treq(method=b"POST", path=b"/inbox?x=1", headers=((b"Date", b"x"), (b"date", b"y")))
    found = await asking.signed(request, case())
    assert (found.signer, found.share) == (VERIFIED, "host:remote.example")
    (asked,) = verifier.asked
    assert asked["request"] == ("POST", "/inbox?x=1", [("Date", "x"), ("date", "y")], b"raw")
    # Of its peer, whose network is one, and never of the small pool of the unverified.
    assert (asked["timeout"], asked["share"]) == (VERIFY, "peer:2001:db8::/64")
    assert skews == [("remote.example", 30.0)]


async def test_who_has_little_time_left_has_as_much_for_the_key() -> None:
    verifier = Asked(Signer("unverified"))
    found = await signers(verifier=verifier).signed(tutils.treq(), case(left=0))
    assert verifier.asked[0]["timeout"] == 0
    assert found.share == "unverified:2001:db8::/64"


async def test_whom_the_server_took_has_its_hosts_share() -> None:
    asking = signers(verifier=Asked(Signer("unverifiable", "remote.example")))
    found = await asking.signed(tutils.treq(), case())
    assert found.share == "peer:2001:db8::/64"
    asking.took(found)
    assert (await asking.signed(tutils.treq(), case())).share == "host:remote.example"


@pytest.mark.parametrize("types", ['"Delete"', '"Update"', '["Note", "Delete"]', '"as:Update"'])
async def test_what_a_server_takes_of_strangers_vouches_for_nobody(types: str) -> None:
    asking = signers(verifier=Asked(Signer("unverifiable", "remote.example")))
    asking.took(await asking.signed(tutils.treq(), case(types=types)))
    assert (await asking.signed(tutils.treq(), case())).share == "peer:2001:db8::/64"


def test_a_denial_is_a_decision_that_says_why() -> None:
    decided = denial_of(case(), [Denial(OTHER, "senders.deny, deny.txt:2", False)])
    assert (decided.action, decided.verdict.context) == (Action.REJECT, OTHER)
    assert decided.verdict.decision.rule == "senders.deny, deny.txt:2"
