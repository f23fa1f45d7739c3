import pytest

from addons.ledger.held import Signer, SignerState
from addons.senders import vouching
from addons.senders.vouching import SECONDS, VERIFYING, Vouched

HIDDEN = Signer("unverifiable", "remote.example")
PEER, OTHER = "192.0.2.1", "192.0.2.2"


@pytest.mark.parametrize(
    ("software", "share"),
    [
        ("mastodon", "host:remote.example"),
        *((software, f"peer:{PEER}") for software in ("mbin", "misskey", "piefed", "pleroma", "generic")),
    ],
)
def test_whom_the_server_vouches_for(software: str, share: str) -> None:
    vouched = Vouched(software)
    assert vouched.share_of(HIDDEN, PEER) == f"peer:{PEER}"
    vouched.took(HIDDEN, PEER)
    assert vouched.share_of(HIDDEN, PEER) == share
    assert (share == "host:remote.example") is (software in VERIFYING)
    # neither another address in its name, nor another name from its address
    assert vouched.share_of(HIDDEN, OTHER) == f"peer:{OTHER}"
    assert vouched.share_of(Signer("unverifiable", "other.example"), PEER) == f"peer:{PEER}"
    assert vouched.share_of(Signer("unverifiable"), PEER) == f"peer:{PEER}"


@pytest.mark.parametrize(
    ("state", "share"), [("unverified", f"unverified:{PEER}"), ("verified", "host:remote.example")]
)
def test_whom_nobody_needs_to_vouch_for(state: SignerState, share: str) -> None:
    vouched = Vouched("mastodon")
    vouched.took(Signer(state, "remote.example"), PEER)
    assert vouched.share_of(Signer(state, "remote.example"), PEER) == share
    assert vouched.share_of(HIDDEN, PEER) == f"peer:{PEER}"


def test_for_how_long() -> None:
    now = 0.0
    vouched = Vouched("lemmy", clock=lambda: now)
    vouched.took(HIDDEN, PEER)
    now = SECONDS - 1
    assert vouched.share_of(HIDDEN, PEER) == "host:remote.example"
    now = SECONDS
    assert vouched.share_of(HIDDEN, PEER) == f"peer:{PEER}"


def test_its_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vouching, "KEPT", 2)
    vouched = Vouched("lemmy")
    for number in range(3):
        vouched.took(HIDDEN, f"192.0.2.{number}")
    assert [vouched.share_of(HIDDEN, f"192.0.2.{number}")[:5] for number in range(3)] == ["peer:", "host:", "host:"]
