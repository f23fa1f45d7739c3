from datetime import date

import pytest

from addons.ledger.pending import Pending
from tests.addons.ledger.samples import entry


@pytest.mark.parametrize(("bound", "sent", "taken"), [(3, 3, 3), (3, 4, 3), (1, 1, 1), (1, 2, 1)])
def test_a_full_queue_refuses_and_counts(bound: int, sent: int, taken: int) -> None:
    pending = Pending(entries=bound, size=1 << 30)
    assert [pending.put(entry()) for _ in range(sent)].count(True) == taken
    assert (len(pending), pending.lost) == (taken, sent - taken)


@pytest.mark.parametrize("over", [0, 1])
def test_the_queue_is_bounded_in_bytes_too(over: int) -> None:
    weight = entry().weight
    pending = Pending(entries=10, size=3 * weight - over)
    assert [pending.put(entry()) for _ in range(3)] == [True, True, not over]
    assert pending.lost == over
    pending.done(1)
    assert pending.put(entry())


def test_a_batch_is_bounded_in_entries_and_bytes_but_never_empty() -> None:
    pending = Pending(entries=10, size=1 << 30)
    for _ in range(4):
        pending.put(entry())
    weight = entry().weight
    assert [len(pending.first(count, size)) for count, size in ((3, 1 << 30), (9, 2 * weight), (9, 1))] == [3, 2, 1]
    assert len(pending) == 4


def test_what_was_given_up_is_lost_and_the_rest_of_a_batch_is_forgotten() -> None:
    pending = Pending(entries=10, size=1 << 30)
    for _ in range(4):
        pending.put(entry())
    assert pending.give_up() == 4
    pending.done(3)
    assert (len(pending), pending.lost) == (0, 4)


def test_counts_that_could_not_be_written_come_back() -> None:
    pending = Pending(entries=1, size=1)
    key = (date(2026, 3, 1), "inbox", "pass")
    pending.count(*key)
    taken = pending.take_counts()
    pending.count(*key)
    pending.put_back(taken)
    assert (taken, pending.take_counts(), pending.take_counts()) == ({key: 1}, {key: 2}, {})
