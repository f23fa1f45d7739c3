import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

from sqlalchemy import text

from addons.ledger.database import engine_for, parsed
from addons.ledger.held import Bounds, HoldFullError, HoldState, Outcome
from addons.ledger.holds import Holds
from tests.addons.ledger.deliveries import (
    ANY,
    BOUNDS,
    LEASE,
    SECOND,
    Clock,
    claim,
    ids,
    new,
    opened,
    rows,
)
from tests.addons.ledger.samples import NOW

ROOT = Path(__file__).parents[3]
HOUR = timedelta(hours=1)
# Claims and ends holds until there are none; tells which ones were its own.
COMPETE = """
import sys
from datetime import timedelta
from addons.ledger.database import parsed
from addons.ledger.held import HoldState, Outcome
from addons.ledger.holds import Holds, hold_engine
from tests.addons.ledger.samples import NOW
url, worker = sys.argv[1:]
holds = Holds(hold_engine(parsed(url), 30))
print("ready", flush=True)
sys.stdin.readline()
while found := holds.claim([HoldState.JUDGING], worker, NOW, timedelta(hours=1), 5):
    for one in found:
        assert holds.end(one.id, worker, Outcome.REPLAYED, worker, NOW)
        print(one.id, flush=True)
"""
# Claims one, says so, and waits to be killed.
CRASH = """
import sys
from datetime import timedelta
from addons.ledger.database import parsed
from addons.ledger.held import HoldState
from addons.ledger.holds import Holds, hold_engine
from tests.addons.ledger.samples import NOW
[held] = Holds(hold_engine(parsed(sys.argv[1]))).claim([HoldState.JUDGING], "crashed", NOW, timedelta(seconds=30), 1)
print(held.id, flush=True)
sys.stdin.readline()
"""


def put(holds: Holds, *names: str, **changes: object) -> None:
    for name in names:
        assert holds.put(new(name, **changes), BOUNDS)


def test_processes_that_compete_share_the_holds_and_none_comes_twice(holds: Holds, there: str) -> None:
    names = [f"h{number}" for number in range(60)]
    put(holds, *names)
    started = [
        subprocess.Popen(
            [sys.executable, "-c", COMPETE, there, f"w{number}"],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for number in range(3)
    ]  # fmt: skip
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    done = [process.communicate("go\n", timeout=180)[0].split() for process in started]
    assert [process.returncode for process in started] == [0, 0, 0]
    assert sorted(one for each in done for one in each) == sorted(names)
    assert rows(there, "hold_bytes") == 0


def test_a_crashed_worker_is_taken_over_and_its_word_counts_no_more(holds: Holds, there: str) -> None:
    put(holds, "one")
    process = subprocess.Popen(
        [sys.executable, "-c", CRASH, there], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "one\n"
    process.kill()
    process.communicate()
    assert claim(holds, "next") == []
    [held] = claim(holds, "next", after=LEASE)
    assert held.attempts == 1
    assert holds.renew(["one"], "crashed", NOW + LEASE, LEASE) == set()
    assert not holds.end("one", "crashed", Outcome.REPLAYED, "", NOW)
    assert holds.end("one", "next", Outcome.REPLAYED, "", NOW)


def test_one_row_is_claimed_by_one_of_many_at_once(holds: Holds) -> None:
    put(holds, "one")
    together = threading.Barrier(8)

    def attempt(number: int) -> int:
        together.wait()
        return len(claim(holds, f"w{number}"))

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(attempt, range(8))) == 1


def test_one_hold_gets_one_outcome_of_many_at_once(holds: Holds) -> None:
    put(holds, "one")
    together = threading.Barrier(8)

    def attempt(number: int) -> bool:
        together.wait()
        return holds.end("one", None, Outcome.DROPPED, str(number), NOW)

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(attempt, range(8))) == 1


def test_bounds_hold_when_many_put_at_once(holds: Holds) -> None:
    together = threading.Barrier(8)

    def attempt(number: int) -> str:
        together.wait()
        try:
            # Each in a share of its own: one alone never gets more than it leaves.
            name = "same" if number % 2 else str(number)
            return str(holds.put(new(name, share=f"host:{name}.example"), Bounds(count=3)))
        except HoldFullError as error:
            return error.which

    with ThreadPoolExecutor(8) as threads:
        found = Counter(threads.map(attempt, range(8)))
    assert found["True"] == 3 == holds.totals().count
    assert found["True"] + found["False"] + found["count"] == 8


def test_all_at_once_and_nothing_stands_in_anothers_way(holds: Holds, there: str, clock: Clock) -> None:
    """Everything that is done with holds, by several workers, until all are over: each with one outcome."""
    number, ended = 40, Counter[str]()

    def work(worker: str) -> None:
        with opened(there, clock) as mine:
            for turn in range(number // 4):
                mine.put(new(f"{worker}{turn}", urls=("https://x.example/1",)), BOUNDS)
            for after in range(1000):
                found = claim(mine, worker, states=ANY, after=after * SECOND, limit=5)
                mine.renew(ids(found), worker, NOW + after * SECOND, LEASE)
                for place, one in enumerate(found):
                    if one.state == HoldState.JUDGING and one.attempts == 0:
                        mine.retry(one.id, worker, NOW + HOUR / 2, ["https://x.example/1"])
                    elif one.state == HoldState.JUDGING:
                        mine.permit(one.id, worker)
                    elif place % 2:
                        mine.give_back([one.id], worker)
                    else:
                        ended[one.id] += mine.end(one.id, worker, Outcome.REPLAYED, "", NOW)
                mine.awaiting("https://x.example/1", NOW)
                if mine.totals().count == 0:
                    return

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, "abcd"))
    assert holds.totals().count == 0
    assert (len(ended), set(ended.values())) == (number, {1})


def test_another_process_takes_what_a_claim_in_progress_has_not(there: str, holds: Holds) -> None:
    if there.startswith("sqlite"):
        put(holds, "one")  # one writer at a time: nothing is in progress for anybody else
        assert ids(claim(holds)) == ["one"]
        return
    put(holds, "one", "two")
    engine = engine_for(parsed(there))
    with engine.begin() as connection:
        connection.execute(text("SELECT 1 FROM holds WHERE id = 'one' FOR UPDATE"))
        assert ids(claim(holds)) == ["two"]
    engine.dispose()
    assert ids(claim(holds)) == ["one"]
