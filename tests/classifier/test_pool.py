import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from classifier.pool import CrashedError, Limits, OverdueError, OverworkedError, Pool
from classifier.types import CannotStartError

LIMITS = Limits(memory=256 << 20, cpu=1.0, wall=60.0)
FOREVER = "all(n >= 0 for n in iter(int, 1))"


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    """One process, shared; each test leaves it able to work, which is what is tested."""
    pool = Pool(1, LIMITS)
    pool.warm_up()
    yield pool
    pool.stop()


@pytest.fixture
async def two() -> AsyncIterator[Pool]:
    pool = Pool(2, LIMITS)
    yield pool
    await pool.close()


async def test_results_and_errors_come_back(pool: Pool) -> None:
    assert await pool.run(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await pool.run(divmod, 7, 0)
    assert await pool.run(os.getpid) != os.getpid()


async def test_a_process_imports_nothing_heavy_and_not_our_program(pool: Pool) -> None:
    names: list[str] = await pool.run(eval, "[n.partition('.')[0] for n in __import__('sys').modules]")
    assert not {"torch", "mitmproxy", "open_clip", "cv2", "onnxruntime", "pytest"} & set(names)


async def test_memory_is_bounded(pool: Pool) -> None:
    assert len(await pool.run(bytearray, 64 << 20)) == 64 << 20
    with pytest.raises(MemoryError):
        await pool.run(bytearray, LIMITS.memory + 1)
    assert await pool.run(abs, -1) == 1


async def test_files_cannot_be_written(pool: Pool, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="too large"):
        await pool.run(Path.write_bytes, tmp_path / "x", b"x")


@pytest.mark.parametrize(
    ("function", "argument", "error"),
    [
        (eval, FOREVER, OverworkedError),
        (os._exit, 3, CrashedError),
        (signal.raise_signal, signal.SIGSEGV, CrashedError),
        (signal.raise_signal, signal.SIGKILL, CrashedError),
    ],
)
async def test_what_goes_wrong_ends_one_task_only(
    pool: Pool, function: object, argument: object, error: type[Exception]
) -> None:
    assert callable(function)
    with pytest.raises(error):
        await pool.run(function, argument)
    assert await pool.run(abs, -1) == 1


async def test_what_hangs_is_killed() -> None:
    pool = Pool(1, replace(LIMITS, wall=0.5))
    with pytest.raises(OverdueError, match=r"longer than 0\.5 s"):
        await pool.run(time.sleep, 60)
    assert await pool.run(abs, -1) == 1
    await pool.close()


async def test_computing_time_is_counted_for_each_task(pool: Pool) -> None:
    """RLIMIT_CPU counts a process's whole life: three tasks of 0.4 s are not one of 1.2 s."""
    before = await pool.run(os.getpid)
    busy = (
        "all(__import__('time').process_time() < t for t in iter(lambda t=__import__('time').process_time()+.4: t, 0))"
    )
    for _ in range(3):
        await pool.run(eval, busy)
    assert await pool.run(os.getpid) == before


async def test_a_process_that_died_idle_is_replaced(pool: Pool) -> None:
    os.kill(await pool.run(os.getpid), signal.SIGKILL)
    await asyncio.sleep(0.3)
    assert await pool.run(abs, -1) == 1


async def test_cancelling_kills_the_process(pool: Pool) -> None:
    before = await pool.run(os.getpid)
    task = asyncio.ensure_future(pool.run(time.sleep, 60))
    await asyncio.sleep(0.3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await pool.run(os.getpid) != before


async def test_as_many_at_a_time_as_there_are_processes(two: Pool) -> None:
    await asyncio.gather(two.run(os.getpid), two.run(os.getpid))
    pids = await asyncio.gather(
        *(two.run(eval, "[__import__('time').sleep(.1), __import__('os').getpid()][1]") for _ in "1234")
    )
    assert len(set(pids)) == 2


async def test_after_close() -> None:
    pool = Pool(1, LIMITS)
    pid = await pool.run(os.getpid)
    await pool.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(CrashedError, match="stopped"):
        await pool.run(abs, -1)


def _fails() -> None:
    raise OSError("no")


def test_a_start_that_fails_says_what_to_do() -> None:
    with pytest.raises(CannotStartError, match=r"decode\.processes"):
        Pool(1, LIMITS, _fails).warm_up()


def test_processes_end_when_their_parent_is_killed() -> None:
    script = (
        "import os, signal\n"
        "from classifier.pool import Limits, Pool\n"
        "pool = Pool(1, Limits(1 << 28, 1, 3)); pool.warm_up()\n"
        "import multiprocessing; print(multiprocessing.active_children()[0].pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    child = Path(f"/proc/{int(done.stdout)}")
    until = time.monotonic() + 10
    while child.exists() and "\nState:\tZ" not in (child / "status").read_text() and time.monotonic() < until:
        time.sleep(0.05)
    assert not child.exists() or "\nState:\tZ" in (child / "status").read_text()
