"""Who is turned away, and that an allow list opens the door only to who proves to be on it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from addons.ledger.held import Signer, SignerState
from addons.senders.denying import Denials
from addons.senders.lists import Lists
from addons.senders.turning_away import TurningAway
from tests.addons.senders.test_denying import Failing, Times

ADA = "https://a.nest.example/users/ada"


class Verifying:
    """Answers as it is told, and counts."""

    def __init__(self, state: SignerState = "verified", host: str | None = "a.nest.example") -> None:
        self.signer = Signer(state, host)
        self.asked = 0

    async def __call__(self) -> Signer:
        self.asked += 1
        return self.signer


@pytest.fixture
def turning(tmp_path: Path) -> Iterator[TurningAway]:
    deny, allow = tmp_path / "deny.txt", tmp_path / "allow.txt"
    deny.write_text(f"*.nest.example\n{ADA}\n")
    allow.write_text("a.nest.example\nremote.example\n")
    times, kept = Times(), Failing()
    kept.here = True
    denials = Denials(kept, clock=times.seconds, now=times)
    denials.load()  # remote.example is denied by a rule
    lists = Lists([deny], [allow])
    yield TurningAway(lists, denials)
    lists.close()


async def test_most_senders_are_not_asked_who_they_are(turning: TurningAway) -> None:
    verify = Verifying()
    assert await turning.turned_away("fine.example", "https://fine.example/users/x", verify) is None
    assert await turning.turned_away(None, None, verify) is None
    assert await turning.turned_away("b.nest.example", None, verify) == "denied by deny.txt:1"
    assert verify.asked == 0


async def test_an_allowed_host_proves_it(turning: TurningAway) -> None:
    verify = Verifying()
    assert turning.denied("a.nest.example", ADA) == "denied by deny.txt:1"
    assert await turning.turned_away("A.nest.example", ADA, verify) is None
    assert verify.asked == 1
    why = await turning.turned_away("remote.example", None, Verifying(host="other.example"))
    assert why is not None
    assert "by the rule forbidden" in why
    assert await turning.turned_away("remote.example", None, Verifying(host="remote.example")) is None


@pytest.mark.parametrize(
    ("state", "host"),
    [("unverified", None), ("unverifiable", "a.nest.example"), ("verified", "remote.example"), ("verified", None)],
)
async def test_who_does_not_is_turned_away(turning: TurningAway, state: SignerState, host: str | None) -> None:
    assert await turning.turned_away("a.nest.example", ADA, Verifying(state, host)) == "denied by deny.txt:1"


async def test_an_allowed_host_brings_nobody_else(turning: TurningAway) -> None:
    why = await turning.turned_away("b.nest.example", "https://b.nest.example/u", Verifying(host="a.nest.example"))
    assert why == "denied by deny.txt:1"
    allowed = Verifying(host="a.nest.example")
    for actor in ("https://b.nest.example/u", "acct:u@a.nest.example"):
        assert await turning.turned_away("a.nest.example", actor, allowed) == "denied by deny.txt:1"
