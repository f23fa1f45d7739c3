from collections.abc import Iterator
from datetime import date, timedelta
from itertools import pairwise

import pytest

from addons.ledger import Ledger, Reader, Search
from addons.ledger.clean import key
from addons.ledger.database import engine_for, parsed
from addons.ledger.denials import Denials
from addons.ledger.held import Outcome
from addons.ledger.store import FREED, PRUNED, Store
from tests.addons.ledger.deliveries import BOUNDS, Clock, new, opened, rows
from tests.addons.ledger.samples import FAILED, NOW, entry, write

KEEP = timedelta(days=90)
WEEK = timedelta(days=7)
SECOND = timedelta(seconds=1)


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    Ledger.open(url).close()
    engine = engine_for(parsed(url))
    yield Store(engine, KEEP, WEEK, dropped_bytes=1 << 30)
    engine.dispose()


@pytest.mark.parametrize(("age", "left"), [(KEEP, 1), (KEEP + SECOND, 0)])
def test_decisions_are_kept_to_the_second(url: str, store: Store, age: timedelta, left: int) -> None:
    store.insert([entry(id="one")])
    while store.prune_batch(NOW + age):
        pass
    with Reader.open(url) as reader:
        assert len(reader.find(Search())) == left
        assert len(reader.find(Search(sha256="ab" * 32))) == left


@pytest.mark.parametrize(("age", "left"), [(WEEK, True), (WEEK + SECOND, False)])
def test_dropped_activities_are_kept_to_the_second(url: str, store: Store, age: timedelta, left: bool) -> None:
    store.insert([entry(id="one")])
    while store.prune_batch(NOW + age):
        pass
    with Reader.open(url) as reader:
        assert (reader.kept("one") is not None) is left
        assert reader.get("one") is not None


@pytest.mark.parametrize("over", [0, 1])
def test_dropped_activities_are_bounded_in_bytes_the_oldest_go_first(url: str, store: Store, over: int) -> None:
    store.insert([entry(id=str(number), started=NOW + number * SECOND) for number in range(3)])
    with store.engine.begin() as connection:
        size = connection.exec_driver_sql("SELECT sum(size) FROM dropped").scalar_one()
    bounded = Store(store.engine, KEEP, WEEK, dropped_bytes=size - over)
    while bounded.prune_batch(NOW):
        pass
    with Reader.open(url) as reader:
        assert [number for number in range(3) if reader.kept(str(number))] == [0, 1, 2][over:]


@pytest.mark.parametrize(
    ("decisions", "media", "batches"),
    [(PRUNED // 3, 1, [PRUNED // 3 * 3, 0]), (PRUNED // 3 + 1, 1, [PRUNED // 3 * 3, 3, 0]), (3, 248, [500, 250, 0])],
)
def test_one_transaction_deletes_so_many_rows(store: Store, decisions: int, media: int, batches: list[int]) -> None:
    store.insert([entry(id=str(number), media=(FAILED,) * media, body=None) for number in range(decisions)])
    later = NOW + KEEP + SECOND
    assert [store.prune_batch(later) for _ in batches] == batches


@pytest.mark.parametrize(("age", "left"), [(KEEP, 1), (KEEP + SECOND, 0)])
def test_records_of_holds_are_kept_to_the_second_and_pending_ones_for_ever(
    there: str, age: timedelta, left: int
) -> None:
    with opened(there, Clock()) as holds:
        for id in ("over", "pending"):
            assert holds.put(new(id, gives=(id,)), BOUNDS)
        assert holds.end("over", None, Outcome.DROPPED, "", NOW)
        store = Store(holds._engine, KEEP, WEEK, dropped_bytes=1 << 30)
        while store.prune_batch(NOW + age):
            pass
        assert [holds.get(id) is not None for id in ("over", "pending")] == [bool(left), True]
        assert holds.pending_ids() == {"pending": (key("pending"),)}


@pytest.mark.parametrize(("over", "left"), [(0 * SECOND, 2), (SECOND, 0)])
def test_denials_and_their_counts_go_when_their_time_is_over(there: str, over: timedelta, left: int) -> None:
    engine = engine_for(parsed(there))
    denials = Denials(engine)
    denials.deny("host", "a.example", NOW, "r", "")
    denials.hit("r", "host", "a.example", NOW - WEEK, within=WEEK, hits=5)
    Store(engine, KEEP, WEEK, dropped_bytes=1 << 30).prune_batch(NOW + over)
    engine.dispose()
    assert rows(there, "denials") + rows(there, "denial_hits") == left


def test_counters_add_up_and_go_with_the_decisions(url: str, store: Store) -> None:
    day = NOW.date()
    for _ in range(2):
        store.add_counts({(day, "inbox", "pass"): 2, (day - WEEK, "inbox", "drop"): 1})
    with Reader.open(url) as reader:
        assert [(row.day, row.action, row.count) for row in reader.counts()] == [
            (date(2026, 2, 22), "drop", 2),
            (date(2026, 3, 1), "pass", 4),
        ]
        store.prune_batch(NOW + KEEP)
        assert [row.action for row in reader.counts()] == ["pass"]


def test_the_ledger_prunes_by_itself_and_on_demand(url: str) -> None:
    write(url, entry(id="old", started=NOW - KEEP - SECOND), clock=lambda: NOW)
    with Ledger.open(url, clock=lambda: NOW) as ledger:
        ledger.prune(NOW)  # how many is not said: the writer may have been faster
        assert ledger.prune(NOW) == 0
    with Reader.open(url) as reader:
        assert reader.get("old") is None


def test_space_goes_back_to_the_file_system_little_by_little(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("big") / "l.db"
    Ledger.open(f"sqlite:///{path}").close()
    engine = engine_for(parsed(f"sqlite:///{path}"))
    store = Store(engine, KEEP, WEEK, dropped_bytes=1 << 30)
    # What does not compress, and is no run of base64.
    noise = "".join(chr(0x4E00 + number * 7919 % 20000) for number in range(60_000)).encode()
    for number in range(100):
        store.insert([entry(id=str(number), body=noise)])

    def pages(name: str) -> int:
        with engine.begin() as connection:
            return int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())

    sizes = [pages("page_count")]
    assert sizes[0] > 3 * FREED
    assert not store.give_back()
    while store.prune_batch(NOW + KEEP + SECOND):
        pass
    while store.give_back():
        sizes.append(pages("page_count"))
    steps = [before - after for before, after in pairwise(sizes)]
    assert min(steps) >= FREED
    assert max(steps) <= FREED + 8  # pages of the free list's own go too
    assert pages("freelist_count") <= FREED
    engine.dispose()


def test_postgresql_gives_space_back_by_itself(postgres_url: str) -> None:
    engine = engine_for(parsed(postgres_url))
    assert not Store(engine, KEEP, WEEK, dropped_bytes=1).give_back()
    engine.dispose()
