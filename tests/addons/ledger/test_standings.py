import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from addons.ledger import Ledger
from addons.ledger.database import engine_for, parsed
from addons.ledger.entry import MESSAGE, URL
from addons.ledger.standings import Place, Standings, plain
from addons.ledger.store import PRUNED, Store
from addons.ledger.tables import standings as table
from addons.policy.words import Action, Standing
from tests.addons.ledger.samples import NOW

ROOT = Path(__file__).parents[3]
BYTES, OTHER = "ab" * 32, "cd" * 32
AT = "https://a.example/x.png"
LED = "https://cdn.a.example/x.png"
BLOCKED = Standing("one", False, Action.STRIP)
ALLOWED = Standing("two", True, Action.PASS)


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    Ledger.open(url).close()
    engine = engine_for(parsed(url))
    yield engine
    engine.dispose()


@pytest.fixture
def standings(engine: Engine) -> Standings:
    return Standings(engine, lambda: NOW)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (Place(AT), BLOCKED),
        (Place(AT, OTHER), BLOCKED),
        (Place(LED), BLOCKED),
        (Place("https://b.example/", None, LED), BLOCKED),
        (Place(None, BYTES), BLOCKED),
        (Place("https://b.example/", BYTES), BLOCKED),
        (Place("https://b.example/", OTHER), None),
        (Place(None), None),
        (Place(""), None),
    ],
)
def test_a_block_covers_the_url_where_it_led_and_the_bytes(
    standings: Standings, asked: Place, found: Standing | None
) -> None:
    assert standings.of([asked]) == [None]
    standings.block([Place(AT, BYTES, LED)], Action.STRIP, "one")
    assert standings.of([Place("https://c.example/"), asked]) == [None, found]


@pytest.mark.parametrize(
    "spelling",
    [
        "HTTPS://A.example:443/%C3%A4?q=1#fragment",
        "https://a.EXAMPLE./%C3%A4?q=1",
        "https://a.example/ä?q=1",
        "  https://a.example/ä?q=1#  ",
    ],
)
def test_spellings_of_one_url_stand_alike(standings: Standings, spelling: str) -> None:
    standings.block([Place(spelling)], Action.STRIP, "one")
    assert standings.of([Place("https://a.example/%C3%A4?q=1")]) == [BLOCKED]
    assert standings.of([Place("https://a.example/%C3%A4?q=2"), Place("https://b.example/%C3%A4?q=1")]) == [None] * 2
    assert standings.unblock([Place("https://a.example/ä?q=1")]) == 1


@pytest.mark.parametrize(
    "odd",
    [
        "data:image/png;base64," + "A" * 10_000,
        "https://a.example/" + "x" * 10_000,
        "https://user:password@a.example/",
        "gopher://a.example/\x00\ud800",
        "https://a.example\\@b.example/",
        "not a URL",
    ],
)
def test_odd_urls_stand_for_themselves_and_are_bounded(engine: Engine, standings: Standings, odd: str) -> None:
    assert plain(odd) == odd
    standings.block([Place(odd)], Action.STRIP, "one")
    assert standings.of([Place(odd), Place(odd + "x")]) == [BLOCKED, None]
    with engine.begin() as connection:
        [value] = connection.scalars(select(table.c.value))
    assert len(value) <= URL
    assert "AAAA" not in value
    assert standings.unblock([Place(odd)]) == 1


def test_the_beginning_of_a_data_url_blocks_no_other_one(standings: Standings) -> None:
    begins = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAgAAAAIACAIA…"
    standings.block([Place(begins + "one", BYTES, begins)], Action.STRIP, "one")
    assert standings.of([Place(begins + "two", OTHER, begins), Place(begins + "one")]) == [None, BLOCKED]


@pytest.mark.parametrize(
    "digest", ["parts:" + "ab" * 29, "parts:" + "ab" * 32, "AB" * 32, "ab" * 31, "ab" * 33, "", "x"]
)
def test_what_is_no_sha256_stands_for_nothing(standings: Standings, digest: str) -> None:
    standings.block([Place(None, digest)], Action.STRIP, "one")
    standings.allow([digest], "two")
    assert standings.of([Place(None, digest), Place(None, digest[:64])]) == [None, None]
    assert standings.disallow([digest]) == 0


def test_what_an_admin_allowed_no_block_takes_back(standings: Standings) -> None:
    standings.block([Place(AT, BYTES)], Action.STRIP, "one")
    standings.allow([BYTES], "two", "a mistake")
    standings.block([Place(AT, BYTES)], Action.STRIP, "three")
    # The URL is blocked, the bytes are allowed: those who have the bytes pass, whatever URL they came from.
    assert standings.of([Place(AT), Place(AT, BYTES), Place(None, BYTES)]) == [
        Standing("three", False, Action.STRIP),
        ALLOWED,
        ALLOWED,
    ]
    assert standings.unblock([Place(AT, BYTES)]) == 1
    assert standings.unblock([Place(AT, BYTES)]) == 0
    assert standings.of([Place(AT), Place(None, BYTES)]) == [None, ALLOWED]


def test_an_allowance_can_be_taken_back(standings: Standings) -> None:
    standings.allow([BYTES, OTHER], "two")
    assert standings.allowed_by("two") == [BYTES, OTHER]
    assert standings.disallow([BYTES]) == 1
    assert standings.disallow([BYTES]) == 0
    assert standings.of([Place(None, BYTES), Place(None, OTHER)]) == [None, ALLOWED]
    assert (standings.allowed_by("two"), standings.allowed_by("one")) == ([OTHER], [])
    standings.block([Place(None, BYTES)], Action.STRIP, "one")
    assert standings.disallow([BYTES]) == 0
    assert standings.of([Place(None, BYTES)]) == [BLOCKED]


def test_more_than_one_statement_asks_for(standings: Standings) -> None:
    places = [Place(f"https://a.example/{number}", f"{number:064x}") for number in range(450)]
    standings.block(places[::2], Action.STRIP, "one")
    assert standings.of(places) == [BLOCKED if number % 2 == 0 else None for number in range(450)]
    assert standings.of([]) == []
    assert standings.unblock(places) == 450


def test_words_too_long_are_cut(engine: Engine, standings: Standings) -> None:
    standings.allow([BYTES], "x" * 1000, "why\x00" * MESSAGE)
    with engine.begin() as connection:
        row = connection.execute(select(table)).one()
    assert (len(row.by), len(row.note)) == (128, MESSAGE)
    assert "\x00" not in row.note


# -- several at once ---------------------------------------------------------------------------------------------------


def test_threads_block_the_same_in_any_order_and_none_fails(standings: Standings) -> None:
    places = [Place(f"https://a.example/{number}", f"{number:064x}") for number in range(40)]
    start = threading.Barrier(6)

    def work(number: int) -> None:
        start.wait()
        for _ in range(5):
            if number % 3 == 2:
                standings.unblock(places if number % 2 else places[::-1])
            else:
                standings.block(places if number % 2 else places[::-1], Action.STRIP, f"by-{number}")
            standings.of(places)

    with ThreadPoolExecutor(6) as threads:
        for done in [threads.submit(work, number) for number in range(6)]:
            done.result()
    standings.block(places, Action.STRIP, "one")
    assert standings.of(places) == [BLOCKED] * 40


def test_what_another_process_settled_stands_here_at_once(url: str, standings: Standings) -> None:
    code = (
        "import sys; from addons.ledger import Ledger; from addons.ledger.standings import Place\n"
        "from addons.policy.words import Action\n"
        "with Ledger.open(sys.argv[1]) as ledger:\n"
        f"    ledger.standings.block([Place({AT!r}, {BYTES!r})], Action.STRIP, 'one')\n"
        f"    ledger.standings.allow([{OTHER!r}], 'two')\n"
    )
    subprocess.run([sys.executable, "-c", code, url], cwd=ROOT, check=True, timeout=120)
    assert standings.of([Place(AT), Place(None, BYTES), Place(None, OTHER)]) == [BLOCKED, BLOCKED, ALLOWED]


def test_who_asks_waits_for_nobody_who_writes(url: str, engine: Engine, standings: Standings) -> None:
    standings.block([Place(AT)], Action.STRIP, "one")
    with engine.begin() as writing:
        writing.execute(table.update().values(by="half done"))
        assert standings.of([Place(AT)]) == [BLOCKED]


# -- pruning -----------------------------------------------------------------------------------------------------------

KEEP = timedelta(days=90)
SECOND = timedelta(seconds=1)


def store(engine: Engine) -> Store:
    return Store(engine, KEEP, timedelta(days=7), dropped_bytes=1 << 30)


@pytest.mark.parametrize(("age", "left"), [(KEEP, BLOCKED), (KEEP + SECOND, None)])
def test_blocks_are_kept_to_the_second_and_allowances_for_ever(
    engine: Engine, standings: Standings, age: timedelta, left: Standing | None
) -> None:
    standings.block([Place(AT, BYTES)], Action.STRIP, "one")
    standings.allow([OTHER], "two")
    while store(engine).prune_batch(NOW + age):
        pass
    assert standings.of([Place(AT), Place(None, BYTES), Place(None, OTHER)]) == [left, left, ALLOWED]


def test_what_is_blocked_again_is_kept_anew(engine: Engine, standings: Standings) -> None:
    standings.block([Place(AT), Place(LED)], Action.STRIP, "old")
    Standings(engine, lambda: NOW + KEEP).block([Place(AT)], Action.STRIP, "one")
    while store(engine).prune_batch(NOW + KEEP + SECOND):
        pass
    assert standings.of([Place(AT), Place(LED)]) == [BLOCKED, None]


def test_one_transaction_prunes_so_many(engine: Engine, standings: Standings) -> None:
    standings.block([Place(f"https://a.example/{number}") for number in range(PRUNED + 1)], Action.STRIP, "one")
    later = NOW + KEEP + SECOND
    assert [store(engine).prune_batch(later) for _ in range(3)] == [PRUNED, 1, 0]


def test_pruning_lets_be_what_another_is_just_blocking_again(postgres_url: str) -> None:
    Ledger.open(postgres_url).close()
    engine = engine_for(parsed(postgres_url))
    standings = Standings(engine, lambda: NOW)
    standings.block([Place(AT), Place(LED)], Action.STRIP, "one")
    with engine.begin() as writing:
        writing.execute(table.update().where(table.c.value == AT).values(at=NOW + KEEP))
        assert store(engine).prune_batch(NOW + KEEP + SECOND) == 1
    assert standings.of([Place(AT), Place(LED)]) == [BLOCKED, None]
    engine.dispose()
