from dataclasses import replace
from datetime import timedelta

import pytest

from addons.ledger.held import HoldState, Signer
from addons.ledger.hold_rows import IDS, PENDING, hold_row, id_rows, keys_of, same, size, url_key
from tests.addons.ledger.deliveries import HEAD, new, verified
from tests.addons.ledger.samples import NOW


def test_all_states_but_one_are_pending() -> None:
    assert {*PENDING, HoldState.OVER} == set(HoldState)


@pytest.mark.parametrize(
    ("state", "closes", "due"),
    [
        (HoldState.JUDGING, timedelta(hours=1), NOW),
        (HoldState.REPLAYING, timedelta(hours=1), NOW),
        (HoldState.WAITING, timedelta(hours=1), NOW + timedelta(hours=1)),
        (HoldState.JUDGING, timedelta(seconds=-1), NOW - timedelta(seconds=1)),
    ],
)
def test_when_it_is_due_first(state: HoldState, closes: timedelta, due: object) -> None:
    assert hold_row(new("one", state=state, closes=NOW + closes), 0)["due"] == due


def test_it_counts_by_its_requests_bytes() -> None:
    assert size(new("one", body=b"xyz")) == len(HEAD) + 3


def test_what_is_the_same_has_no_seam() -> None:
    one = new("one", head=b"POST /ab HTTP/1.1\r\n\r\n", body=b"c")
    others = [
        replace(one, head=b"POST /a HTTP/1.1\r\n\r\n", body=b"bc"),
        replace(one, signer=verified("c.example")),
        replace(one, signer=Signer("unverifiable", "a.example")),
        replace(one, signer=Signer()),
    ]
    assert len({same(each) for each in (one, *others)}) == 5
    assert same(one) == same(replace(one, id="two", peer="203.0.113.1", arrived=NOW + timedelta(seconds=1)))


def test_ids_are_bounded_in_number_and_length() -> None:
    assert len(keys_of(map(str, range(IDS + 1)))) == IDS
    assert len(keys_of(["x" * 4096])) == 1
    assert keys_of(["x" * 4097]) == {}
    rows = id_rows(new("one", gives=("a", "a"), needs=("a",), urls=("https://x.example/#a", "https://x.example/")), 7)
    assert [(row["hold"], row["kind"]) for row in rows] == [(7, "gives"), (7, "needs"), (7, "url")]


def test_a_url_has_one_key_in_all_its_spellings() -> None:
    assert url_key("https://x.example/a") == url_key("HTTPS://X.example:443/a#b") != url_key("https://x.example/b")
