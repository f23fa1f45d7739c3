import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import text

from addons.ledger import Ledger, Reader, Search
from addons.ledger.database import engine_for, parsed
from tests.addons.ledger.samples import entry, settle

ROOT = Path(__file__).parents[3]
# Writes entries named PREFIX-0, PREFIX-1 …, without end where COUNT is 0; tells how many were handed over.
SCRIBBLE = """
import sys, time
from addons.ledger import Ledger
from tests.addons.ledger.samples import entry
url, prefix, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
ledger = Ledger.open(url)
number = 0
while not count or number < count:
    if ledger.write(entry(id=f"{prefix}-{number}")):
        number += 1
        if number % 100 == 0:
            print(number, flush=True)
    else:
        time.sleep(0.01)
sys.exit(0 if ledger.close(30) else 3)
"""


type Scribble = Callable[[str, str, int], subprocess.Popen[str]]


@pytest.fixture
def scribble() -> Iterator[Scribble]:
    with ExitStack() as stack:

        def start(url: str, prefix: str, count: int) -> subprocess.Popen[str]:
            command = [sys.executable, "-c", SCRIBBLE, url, prefix, str(count)]
            process = stack.enter_context(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True))
            stack.callback(process.kill)
            return process

        yield start


def wait_for_trouble(ledger: Ledger) -> None:
    deadline = time.monotonic() + 20
    while ledger.healthy:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_two_processes_write_at_once(url: str, scribble: Scribble) -> None:
    started = [scribble(url, prefix, 300) for prefix in ("a", "b")]
    assert [process.communicate(timeout=180) and process.returncode for process in started] == [0, 0]
    with Reader.open(url) as reader:
        ids = {one.id for one in reader.find(Search(limit=1000))}
    assert ids == {f"{prefix}-{number}" for prefix in ("a", "b") for number in range(300)}


def test_a_writer_killed_half_way_leaves_whole_entries(url: str, scribble: Scribble) -> None:
    process = scribble(url, "k", 0)
    assert process.stdout is not None
    deadline = time.monotonic() + 180
    written = 0
    while written < 300:
        assert time.monotonic() < deadline
        process.stdout.readline()
        if written == 0 and process.poll() is not None:
            raise AssertionError("the writer ended by itself")
        written = _rows(url)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    with Reader.open(url) as reader:
        found = reader.find(Search(limit=100_000))
        assert len(found) >= 300
        assert all(len(one.media) == one.media_count == 2 for one in found)
        assert all(reader.kept(one.id) for one in found[-50:])
        numbers = sorted(int(one.id.removeprefix("k-")) for one in found)
        assert numbers == list(range(len(found)))
    if url.startswith("sqlite"):
        with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.close()
    with Ledger.open(url) as ledger:
        assert ledger.write(entry(id="after"))
    with Reader.open(url) as reader:
        assert reader.get("after") is not None


def _rows(url: str) -> int:
    engine = engine_for(parsed(url), read_only=True)
    try:
        with engine.begin() as connection:
            return int(connection.execute(text("SELECT count(*) FROM decisions")).scalar_one())
    finally:
        engine.dispose()


def test_a_locked_database_is_waited_out_with_the_queue_kept(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/l.db"
    with Ledger.open(url, busy=0.05, queue=3) as ledger:
        other = sqlite3.connect(tmp_path / "l.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        ledger.count("inbox", "pass")
        began = time.monotonic()
        assert [ledger.write(entry(id=str(number))) for number in range(4)] == [True, True, True, False]
        assert time.monotonic() - began < 5  # it did not wait for the lock, which nobody frees meanwhile
        wait_for_trouble(ledger)
        assert "another program holds it locked" in ledger.trouble
        assert (ledger.waiting, ledger.lost) == (3, 1)
        other.close()
        settle(ledger)
        assert ledger.write(entry(id="after"))
        settle(ledger)
        deadline = time.monotonic() + 10
        while not ledger.healthy:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    with Reader.open(url) as reader:
        assert {one.id for one in reader.find(Search())} == {"0", "1", "2", "after"}
        assert [row.count for row in reader.counts()] == [1]


def test_counters_survive_trouble(tmp_path: Path) -> None:
    ledger = Ledger.open(f"sqlite:///{tmp_path}/l.db", busy=0.05)
    settle(ledger)
    other = sqlite3.connect(tmp_path / "l.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    ledger.count("inbox", "pass")
    ledger.write(entry())
    wait_for_trouble(ledger)
    other.close()
    assert ledger.close(20)
    with Reader.open(f"sqlite:///{tmp_path}/l.db") as reader:
        assert [row.count for row in reader.counts()] == [1]


def test_a_server_that_goes_away_and_comes_back_loses_nothing(postgres_url: str) -> None:
    with Ledger.open(postgres_url) as ledger:
        assert ledger.write(entry(id="before"))
        settle(ledger)
        engine = engine_for(parsed(postgres_url))
        with engine.begin() as connection:
            connection.execute(
                text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
                     "AND pid <> pg_backend_pid()")
            )  # fmt: skip
        engine.dispose()
        assert ledger.write(entry(id="after"))
        settle(ledger)
    with Reader.open(postgres_url) as reader:
        assert {one.id for one in reader.find(Search())} == {"before", "after"}


def test_tables_that_vanish_are_trouble_not_a_loss(url: str) -> None:
    with Ledger.open(url) as ledger:
        engine = engine_for(parsed(url))
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE media RENAME TO gone"))
        ledger.write(entry(id="kept"))
        wait_for_trouble(ledger)
        assert (ledger.waiting, ledger.lost) == (1, 0)
        assert "media" in ledger.trouble
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE gone RENAME TO media"))
        engine.dispose()
        settle(ledger)
    with Reader.open(url) as reader:
        assert reader.get("kept") is not None


def test_close_does_not_wait_for_ever_and_says_what_was_lost(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ledger = Ledger.open(f"sqlite:///{tmp_path}/l.db", busy=0.05)
    settle(ledger)
    other = sqlite3.connect(tmp_path / "l.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        assert ledger.write(entry())
        assert not ledger.close(0.3)
        assert ledger.lost == 1
        assert "1 decisions were not written" in caplog.text
    finally:
        other.close()
