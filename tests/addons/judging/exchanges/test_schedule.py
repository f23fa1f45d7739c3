import asyncio
import logging
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from addons.judging.exchanges import child
from addons.judging.exchanges.child import FetchFailedError, State
from addons.judging.exchanges.fetch import Answer
from addons.judging.exchanges.schedule import RETRY, SOON, Exchanges
from addons.judging.exchanges.store import Store
from addons.policy.exchanges import Exchange

EVERY = 3600.0


def share(folder: Path) -> Exchange:
    (folder / "share.txt").write_text("5a" * 32 + "\n")
    said: dict[str, Any] = {"kind": "file", "file": folder / "share.txt", "match": "pdq", "every": "1h"}
    exchange = Exchange(name="share", folder=folder / "exchanges", **said)
    child.prepare(exchange)
    return exchange


def waits(exchange: Exchange, state: State, failures: int = 0, now: float = 1e9) -> tuple[float, float]:
    """The shortest and the longest of many."""
    kept = Exchanges([exchange])
    every = [kept.wait(exchange, state, failures, now) for _ in range(2000)]
    return min(every), max(every)


def test_what_was_never_fetched_is_soon_and_never_in_step(tmp_path: Path) -> None:
    for never in (State(None, "", 0), State(2e9, "", 0)):  # the second: fetched by a clock that has been set back
        least, most = waits(share(tmp_path), never)
        assert SOON[0] <= least < most <= SOON[1]
        assert most - least > 20


def test_the_next_is_due_after_every_more_or_less_a_tenth(tmp_path: Path) -> None:
    least, most = waits(share(tmp_path), State(1e9 - 600, "", 5))
    assert 0.9 * EVERY - 600 <= least < 0.93 * EVERY
    assert 1.07 * EVERY - 600 < most <= 1.1 * EVERY - 600 + SOON[1]
    assert waits(share(tmp_path), State(1e9 - 7200, "", 5))[1] <= SOON[1]


@pytest.mark.parametrize(("failures", "most"), [(1, RETRY), (2, 2 * RETRY), (6, 32 * RETRY), (7, EVERY), (5000, EVERY)])
def test_after_failures_it_waits_longer_and_longer(tmp_path: Path, failures: int, most: float) -> None:
    least, found = waits(share(tmp_path), State(None, "", 0), failures)
    assert most / 2 <= least < found <= most


async def fetched(exchange: Exchange, after: float | None = None) -> float:
    """Wait for a complete fetch after that one; when it was."""
    async with asyncio.timeout(30):
        while True:
            at = (await asyncio.to_thread(child.state, exchange)).fetched_at
            if at is not None and at != after:
                return at
            await asyncio.sleep(0.02)


async def test_two_services_fetch_once(tmp_path: Path) -> None:
    exchange, done = share(tmp_path), asyncio.Event()
    answers: list[Answer] = []

    async def fetch(*args: Any, **more: Any) -> Answer:
        answers.append(await child.fetch(*args, **more))
        if len(answers) == 2:
            done.set()
        return answers[-1]

    services = [Exchanges([exchange], fetch=fetch, soon=(0, 0)) for _ in range(2)]
    for service in services:
        service.start()
    try:
        async with asyncio.timeout(30):
            await done.wait()
    finally:
        for service in services:
            await service.close()
    assert sorted(answer.fetched for answer in answers) == [False, True]
    assert "pdq," + "5a" * 32 in exchange.list.file.read_text()


async def test_a_failure_is_told_once_and_it_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    exchange = share(tmp_path)
    text = (tmp_path / "share.txt").read_text()
    (tmp_path / "share.txt").unlink()
    tries = 0

    async def fetch(*args: Any, **more: Any) -> Answer:
        nonlocal tries
        tries += 1
        if tries == 3:
            assert "No such file" in child.state(exchange).trouble
            (tmp_path / "share.txt").write_text(text)
        return await child.fetch(*args, **more)

    service = Exchanges([exchange], fetch=fetch, soon=(0, 0), retry=0.01)
    service.start()
    try:
        await fetched(exchange)
        await asyncio.sleep(0)
    finally:
        await service.close()
    assert tries == 3
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert "the exchange share was not fetched: No such file" in errors[0]
    assert "`fediward exchanges fetch share`" in errors[0]
    assert child.state(exchange).trouble == ""


async def test_even_a_mistake_of_ours_does_not_end_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    exchange, twice = share(tmp_path), asyncio.Event()
    calls: list[float] = []

    async def broken(*_: Any, **__: Any) -> Answer:
        calls.append(time.monotonic())
        if len(calls) == 2:
            twice.set()
        raise ZeroDivisionError

    service = Exchanges([exchange], fetch=broken, soon=(0, 0), retry=0.01)
    service.start()
    try:
        async with asyncio.timeout(30):
            await twice.wait()
    finally:
        await service.close()
    assert sum("ZeroDivisionError" in record.getMessage() for record in caplog.records) == 1


async def test_a_broken_state_is_said(tmp_path: Path) -> None:
    exchange = share(tmp_path)
    exchange.state.write_text("no database, but long enough to be one" * 100)
    with pytest.raises(FetchFailedError, match=r"share\.db cannot be read .*: move it away to fetch afresh"):
        child.state(exchange)
    with pytest.raises(FetchFailedError, match="file is not a database"):
        await child.fetch(exchange)
    exchange.state.unlink()
    assert (await child.fetch(exchange)).hashes == 1
    with Store(exchange.state) as store:
        assert len(store) == 1


def test_what_fetches_is_never_imported_where_the_doors_are() -> None:
    code = "import sys, addons.service; print(sorted({'requests', 'faiss', 'threatexchange'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
