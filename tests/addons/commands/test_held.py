from dataclasses import replace
from typing import get_args

import pytest

from addons.commands import held
from addons.ledger.held import HoldRecord, HoldState, Outcome, Signer, Then, Totals
from tests.addons.ledger.samples import NOW

RECORD = HoldRecord(
    "x", 1, HoldState.JUDGING, NOW, NOW, NOW, "drop", Signer("verified", "a.example"), "s", "peer", 0, False, 1
)


@pytest.mark.parametrize(
    ("bytes", "told"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1.0 KiB"),
        (1536 << 10, "1.5 MiB"),
        (3 << 30, "3.0 GiB"),
        (5 << 40, "5120.0 GiB"),
    ],
)
def test_sizes(bytes: int, told: str) -> None:
    assert held.size(bytes) == told


def test_every_state_and_outcome_has_words() -> None:
    for state in HoldState:
        for worker in (None, "w"):
            if state != HoldState.OVER:
                assert held.state(replace(RECORD, state=state, worker=worker))
    for outcome in Outcome:
        over = replace(RECORD, state=HoldState.OVER, outcome=outcome, ended=NOW)
        assert held.state(over) == outcome
        assert any(str(outcome) in line for line in held.story(over))


@pytest.mark.parametrize("state", [HoldState.JUDGING, HoldState.WAITING, HoldState.REPLAYING])
@pytest.mark.parametrize("then", get_args(Then.__value__))
def test_what_happens_at_the_close_is_said(state: HoldState, then: Then) -> None:
    [line] = [one for one in held.story(replace(RECORD, state=state, then=then)) if "closes" in one]
    permitted = state == HoldState.REPLAYING
    assert ("given up" in line) is permitted
    assert ("dropped" in line) is (then == "drop" and not permitted)


def test_totals_of_nothing() -> None:
    assert held.totals(Totals()) == "nothing is held"
