import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from addons.ledger import Reader
from addons.ledger.database import engine_for, parsed
from addons.ledger.denials import Denials, Denied
from tests.addons.ledger.samples import NOW

HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
EVE = "https://a.example/u/eve"


@pytest.fixture
def denials(there: str) -> Iterator[Denials]:
    engine = engine_for(parsed(there))
    yield Denials(engine)
    engine.dispose()


def test_a_host_or_an_actor_is_denied_for_a_while(denials: Denials) -> None:
    host = Denied("host", "a.example", NOW + HOUR, "rule", "5 hits")
    actor = Denied("actor", EVE, NOW + 2 * HOUR, "rule", "")
    for one in (host, actor):
        denials.deny(one.kind, one.value, one.until, one.by, one.reason)
    assert denials.current(NOW) == [actor, host]
    assert denials.current(NOW + HOUR - SECOND) == [actor, host]
    assert denials.current(NOW + HOUR) == [actor]


def test_the_longer_denial_stays(denials: Denials) -> None:
    for hours, by in ((2, "first"), (1, "second"), (3, "third")):
        denials.deny("host", "a.example", NOW + hours * HOUR, by, by)
    assert denials.current(NOW) == [Denied("host", "a.example", NOW + 3 * HOUR, "third", "third")]


def test_a_denial_is_lifted_and_the_count_begins_anew(denials: Denials) -> None:
    denials.deny("host", "a.example", NOW + HOUR, "r", "")
    for value in ("a.example", "b.example"):
        denials.hit("r", "host", value, NOW, within=HOUR, hits=5)
    assert not denials.lift("actor", "a.example")
    assert denials.lift("host", "a.example")
    assert not denials.lift("host", "a.example")
    assert denials.current(NOW) == []
    found = [denials.hit("r", "host", value, NOW, within=HOUR, hits=5) for value in ("a.example", "b.example")]
    assert found == [1, 2]


def test_a_reader_finds_them(there: str, denials: Denials) -> None:
    for hours in (1, 2):
        denials.deny("host", f"{hours}.example", NOW + hours * HOUR, "r", "")
    with Reader.open(there) as reader:
        assert [one.value for one in reader.denied(NOW, 10)] == ["2.example", "1.example"]
        assert [one.value for one in reader.denied(NOW, 1)] == ["2.example"]
        assert [one.value for one in reader.denied(NOW + HOUR, 10)] == ["2.example"]


def test_hits_are_counted_within_their_time(denials: Denials) -> None:
    def hit(after: timedelta, *, rule: str = "r", value: str = "a.example", hits: int = 3) -> int:
        return denials.hit(rule, "host", value, NOW + after, within=HOUR, hits=hits)

    assert [hit(0 * SECOND), hit(SECOND), hit(2 * SECOND)] == [1, 2, 3]
    assert hit(3 * SECOND) == 3  # more than are asked for are not remembered
    assert hit(4 * SECOND, rule="other") == 1
    assert hit(4 * SECOND, value="b.example") == 1
    assert hit(HOUR + 2 * SECOND) == 2  # the one at three seconds is still within it
    assert hit(3 * HOUR, hits=1) == 1
    assert hit(3 * HOUR - SECOND) == 2  # a clock that went back


def test_hits_at_once_are_all_counted(denials: Denials) -> None:
    together = threading.Barrier(6)

    def hit(number: int) -> int:
        together.wait()
        return denials.hit("r", "host", "a.example", NOW + number * SECOND, within=HOUR, hits=100)

    with ThreadPoolExecutor(6) as threads:
        assert sorted(threads.map(hit, range(6))) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("evil", ["\x00\ud800\u202e", "x" * 100_000, ""])
def test_hostile_texts(denials: Denials, evil: str) -> None:
    denials.deny("actor", evil, NOW + HOUR, evil, evil)
    [found] = denials.current(NOW)
    assert len(found.value) <= 2048
    assert denials.hit(evil, "actor", evil, NOW, within=HOUR, hits=2) == 1
    assert denials.hit(evil, "actor", evil, NOW, within=HOUR, hits=2) == 2
    assert denials.lift("actor", evil)
