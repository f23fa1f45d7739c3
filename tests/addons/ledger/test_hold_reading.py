import pytest

from addons.ledger import Reader
from addons.ledger.held import HoldState, Outcome
from addons.ledger.hold_reading import SHARES
from addons.ledger.holds import Holds
from tests.addons.ledger.deliveries import BOUNDS, HEAD, LEASE, claim, ids, new, verified
from tests.addons.ledger.samples import NOW


@pytest.fixture
def _three(holds: Holds) -> None:
    for name in ("one", "two", "three"):
        assert holds.put(new(name, rule="r", activity_id="https://a.example/1", host="a.example"), BOUNDS)
    holds.end("two", None, Outcome.REFUSED, "400", NOW)


@pytest.mark.usefixtures("_three")
def test_a_reader_finds_them(there: str, holds: Holds) -> None:
    claim(holds, "w", limit=1)
    with Reader.open(there) as reader:
        assert ids(reader.holds(10)) == ["one", "three"]
        assert ids(reader.holds(1)) == ["three"]
        assert ids(reader.holds(10, over=True)) == ["one", "two", "three"]
        one, two = reader.hold("one"), reader.hold("two")
        assert reader.hold("none") is None
        assert reader.hold("\x00\ud800") is None
        assert reader.hold_totals() == holds.totals()
        assert reader.held_request("one") == (HEAD, new("one").body)
        assert reader.held_request("two") is None
    assert one is not None
    assert two is not None
    assert (one.state, one.worker, one.lease, one.attempts) == (HoldState.JUDGING, "w", NOW + LEASE, 1)
    assert (one.rule, one.activity_id, one.host, one.signer) == ("r", "https://a.example/1", "a.example", verified())
    assert (one.outcome, two.outcome, two.detail, two.ended) == (None, Outcome.REFUSED, "400", NOW)


def test_the_totals_name_the_largest_shares(holds: Holds) -> None:
    for number in range(SHARES + 2):
        assert holds.put(new(str(number), signer=verified(f"h{number}.example")), BOUNDS)
    assert holds.put(new("last", signer=verified(f"h{SHARES + 1}.example")), BOUNDS)
    by_share = holds.totals().by_share
    assert len(by_share) == SHARES
    assert next(iter(by_share.items())) == (f"host:h{SHARES + 1}.example", 2)
