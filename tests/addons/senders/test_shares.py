import pytest

from addons.ledger.held import Signer
from addons.senders.shares import OWN, OWN_WEIGHT, Shares, share_of


@pytest.mark.parametrize(
    ("signer", "share"),
    [
        (Signer("verified", "remote.example"), "host:remote.example"),
        (Signer("verified"), "unverified:192.0.2.7"),
        (Signer("unverifiable", "remote.example"), "peer:192.0.2.7"),
        (Signer("unverified", "remote.example"), "unverified:192.0.2.7"),
        (Signer(), "unverified:192.0.2.7"),
    ],
)
def test_whose_share(signer: Signer, share: str) -> None:
    assert share_of(signer, "192.0.2.7") == share


@pytest.mark.parametrize(
    ("share", "weight"),
    [
        ("host:big.example", 5),
        ("host:BIG.example.", 5),
        ("host:a.big.example", 3),
        ("host:b.a.big.example", 4),
        ("host:c.b.a.big.example", 4),
        ("host:a.small.example", 1),
        ("host:example", 1),
        ("host:" + "x" * 300, 1),
        ("host:", 1),
        ("peer:big.example", 1),
        ("unverified:big.example", 1),
        ("big.example", 1),
        (OWN, OWN_WEIGHT),
    ],
)
def test_weights(share: str, weight: float) -> None:
    shares = Shares({"big.example": 5, "*.big.example": 3, "*.a.big.example": 4})
    assert shares.weight(share) == weight


@pytest.mark.parametrize("weight", [1, 100])
def test_weights_at_their_bounds(weight: float) -> None:
    assert Shares({"a.example": weight}).weight("host:a.example") == weight


@pytest.mark.parametrize("weight", [0, 0.99, 100.01, float("nan")])
def test_weights_past_their_bounds(weight: float) -> None:
    with pytest.raises(ValueError, match=r"the weight of a\.example must be 1 to 100"):
        Shares({"a.example": weight})


@pytest.mark.parametrize(
    ("total", "fraction", "pool"), [(256, 0.1, 25), (10, 0.1, 1), (9, 0.1, 1), (1, 0.5, 1), (100, 0.29, 29), (4, 1, 4)]
)
def test_the_pool(total: int, fraction: float, pool: int) -> None:
    assert Shares({}, fraction).pool(total) == pool


@pytest.mark.parametrize("fraction", [0, 1.01, float("nan")])
def test_no_fraction(fraction: float) -> None:
    with pytest.raises(ValueError, match="the unverified share"):
        Shares({}, fraction)


def test_who_is_in_the_pool() -> None:
    shares = Shares()
    assert shares.pooled("unverified:192.0.2.7")
    assert not any(map(shares.pooled, ("peer:192.0.2.7", "host:unverified", "", "pict-rs")))
