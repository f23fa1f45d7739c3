import asyncio
import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace

import pytest

from classifier import child, process
from classifier import pool as pools
from classifier.pool import (
    CrashedError,
    FailedError,
    Limits,
    OverdueError,
    OverworkedError,
    Pool,
    UnavailableError,
)
from classifier.types import CannotStartError
from tests.classifier.tasks import ask, fail, hoard, ready, say, sizes, twice
from tests.processes import lives

LIMITS = Limits(memory=256 << 20, cpu=1.0, wall=60.0)
FOREVER = "all(n >= 0 for n in iter(int, 1))"


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    """One process, shared; each test leaves it able to work, which is what is tested."""
    pool = Pool(1, LIMITS, ready)
    pool.warm_up()
    yield pool
    pool.stop()


@pytest.fixture
async def two() -> AsyncIterator[Pool]:
    pool = Pool(2, LIMITS, ready)
    yield pool
    await pool.close()


async def test_results_and_errors_come_back(pool: Pool) -> None:
    assert await ask(pool, divmod, 7, 2) == [3, 1]
    with pytest.raises(FailedError, match="ZeroDivisionError"):
        await ask(pool, divmod, 7, 0)
    assert await ask(pool, os.getpid) == pool.pids[0] != os.getpid()


@pytest.mark.parametrize("given", [0, 1, 4095, 4096, 1 << 20, (1 << 20) + 1, 20 << 20])
@pytest.mark.parametrize("wanted", [0, 1, 20 << 20])
async def test_bytes_of_any_size_go_and_come(pool: Pool, given: int, wanted: int) -> None:
    first, rest = await pool.run(sizes, bytes(given), wanted)
    assert first == b"%d" % given
    assert len(rest) == wanted
    assert not wanted or (rest == 7).all()


async def test_answers_are_bounded(pool: Pool) -> None:
    pid = pool.pids
    assert len((await pool.run(sizes, b"", process.MAX_ANSWER))[1]) == process.MAX_ANSWER
    assert pool.pids == pid
    with pytest.raises(CrashedError):
        await pool.run(sizes, b"", process.MAX_ANSWER + 1)
    assert await ask(pool, abs, -1) == 1


async def test_an_answer_has_to_fit_into_the_shared_memory() -> None:
    pool = Pool(1, replace(LIMITS, memory=64 << 20), ready)
    try:
        assert len((await pool.run(twice, 32 << 20, b""))[1]) == 64 << 20
        with pytest.raises(FailedError, match="MemoryError") as caught:
            await pool.run(twice, 32 << 20, b"x")
        assert caught.value.memory
    finally:
        await pool.close()


async def test_a_task_has_to_fit_into_the_shared_memory(pool: Pool) -> None:
    with pytest.raises(FailedError, match="MemoryError") as caught:
        await pool.run(sizes, bytes(LIMITS.memory), 0)
    assert caught.value.memory


async def test_what_a_large_task_took_is_given_back(pool: Pool) -> None:
    process = pool._slots[0].process
    assert process is not None
    before = pool.pids
    for given, wanted in ((40 << 20, 1), (1, 40 << 20)):
        await pool.run(sizes, bytes(given), wanted)
        assert process._arena.held == 0
    await pool.run(hoard, 40 << 20)
    assert process._arena.held == 0
    assert pool.pids == before


async def test_a_process_imports_nothing_heavy_and_not_our_program() -> None:
    pool = Pool(1, LIMITS)
    code = (
        "(b'{}', [__import__('struct').pack('256p', n.partition('.')[0].encode()) for n in __import__('sys').modules])"
    )
    _, names = await pool.run(eval, code)
    await pool.close()
    found = {name[1 : 1 + name[0]].tobytes().decode() for name in names.reshape(-1, 256)}
    assert "classifier" in found
    assert not {"torch", "mitmproxy", "open_clip", "cv2", "onnxruntime", "pytest", "tests"} & found


async def test_a_process_is_given_none_of_our_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEDGER_PASSWORD", "hunter2")
    pool = Pool(1, LIMITS, ready)
    found = await ask(pool, eval, "dict(__import__('os').environ)")
    await pool.close()
    assert isinstance(found, dict)
    assert "PATH" in found
    assert "LEDGER_PASSWORD" not in found


async def test_memory_is_bounded(pool: Pool) -> None:
    """To a few MiB: what the process had when it was shut in, its heap among it, may be less by now."""
    fits = LIMITS.memory - (8 << 20)
    assert await ask(pool, eval, f"len(bytearray({fits}))") == fits
    with pytest.raises(FailedError, match="MemoryError"):
        await ask(pool, eval, f"len(bytearray({LIMITS.memory + (8 << 20)}))")
    assert await ask(pool, abs, -1) == 1


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
    pool: Pool, function: Callable[[object], object], argument: object, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await ask(pool, function, argument)
    assert await ask(pool, abs, -1) == 1


async def test_what_hangs_is_killed() -> None:
    pool = Pool(1, replace(LIMITS, wall=0.5), ready)
    before = await ask(pool, os.getpid)
    with pytest.raises(OverdueError, match=r"longer than 0\.5 s"):
        await ask(pool, time.sleep, 60)
    assert not lives(int(str(before)))
    assert await ask(pool, abs, -1) == 1
    await pool.close()


async def test_computing_time_is_counted_for_each_task(pool: Pool) -> None:
    """RLIMIT_CPU counts a process's whole life: three tasks of 0.4 s are not one of 1.2 s."""
    before = pool.pids
    busy = (
        "all(__import__('time').process_time() < t for t in iter(lambda t=__import__('time').process_time()+.4: t, 0))"
    )
    for _ in range(3):
        await ask(pool, eval, busy)
    assert pool.pids == before


async def test_a_process_that_died_idle_is_replaced(pool: Pool) -> None:
    await ask(pool, abs, -1)
    os.kill(pool.pids[0], signal.SIGKILL)
    await asyncio.sleep(0.3)
    assert await ask(pool, abs, -1) == 1


async def test_a_process_that_dies_before_it_takes_the_task_is_not_the_tasks_fault(pool: Pool) -> None:
    """It stands still while the task is laid, and dies then."""
    await ask(pool, abs, -1)
    pid = pool.pids[0]
    os.kill(pid, signal.SIGSTOP)
    task = asyncio.ensure_future(ask(pool, abs, -1))
    await asyncio.sleep(0.3)
    os.kill(pid, signal.SIGKILL)
    assert await task == 1
    assert pool.pids != [pid]


async def test_cancelling_kills_the_process(pool: Pool) -> None:
    await ask(pool, abs, -1)
    before = pool.pids[0]
    task = asyncio.ensure_future(ask(pool, time.sleep, 60))
    await asyncio.sleep(0.3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not lives(before)
    assert await ask(pool, abs, -1) == 1


async def test_a_process_is_replaced_after_many_tasks(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    await ask(pool, abs, -1)
    slot = pool._slots[0]
    assert slot.process is not None
    before, done = slot.process.pid, slot.process.tasks
    monkeypatch.setattr(pools, "MAX_TASKS", done + 2)
    assert await ask(pool, os.getpid) == before
    assert await ask(pool, os.getpid) == before
    assert await ask(pool, os.getpid) != before
    assert not lives(before)


async def test_as_many_at_a_time_as_there_are_processes(two: Pool) -> None:
    await asyncio.gather(ask(two, os.getpid), ask(two, os.getpid))
    pids = await asyncio.gather(
        *(ask(two, eval, "[__import__('time').sleep(.1), __import__('os').getpid()][1]") for _ in "1234")
    )
    assert len(set(map(str, pids))) == 2


async def test_after_close() -> None:
    pool = Pool(1, LIMITS, ready)
    busy = asyncio.ensure_future(ask(pool, time.sleep, 60))
    await asyncio.sleep(1)
    (pid,) = pool.pids
    await pool.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises((CrashedError, UnavailableError)):
        await busy
    with pytest.raises(UnavailableError, match="stopped"):
        await ask(pool, abs, -1)


async def test_descriptors_do_not_add_up(pool: Pool) -> None:
    await ask(pool, abs, -1)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        with pytest.raises(CrashedError):
            await ask(pool, os._exit, 1)
    await ask(pool, abs, -1)
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before + 1


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(child.ANSWER.pack(2, 0, 0), id="a status that there is not"),
        pytest.param(child.ANSWER.pack(0, 1 << 60, 0), id="a first part without end"),
        pytest.param(child.ANSWER.pack(0, (4 << 20) + 1, 0), id="a first part past its bound"),
        pytest.param(child.ANSWER.pack(0, 0, process.MAX_ANSWER + 1), id="an answer past its bound"),
        pytest.param(child.ANSWER.pack(0, 1 << 20, 100 << 20), id="more than the memory holds"),
    ],
)
async def test_nonsense_is_a_crash(said: bytes) -> None:
    pool = Pool(1, replace(LIMITS, memory=64 << 20), ready)
    try:
        with pytest.raises(CrashedError):
            await pool.run(say, said)
        assert await ask(pool, abs, -1) == 1
    finally:
        await pool.close()


async def test_what_is_said_of_a_failure_is_fit_for_a_log(pool: Pool) -> None:
    with pytest.raises(FailedError) as caught:
        await pool.run(fail, b"no\r\nadmin \x1b[2J" + b"x" * 100_000)
    assert str(caught.value) == "no??admin ?[2J" + "x" * (pools.MAX_SAID - len("no??admin ?[2J"))


async def test_what_is_said_unasked_is_no_answer_to_the_next_task(pool: Pool) -> None:
    await ask(pool, abs, -1)
    before = pool.pids
    await pool.run(say, child.ANSWER.pack(0, 0, 0) + b"\0")
    assert await ask(pool, abs, -5) == 5
    assert pool.pids != before


async def test_half_an_answer_is_waited_for_no_longer_than_any() -> None:
    pool = Pool(1, replace(LIMITS, wall=0.5), ready)
    await ask(pool, abs, -1)
    with pytest.raises(OverdueError):
        await pool.run(say, b"1234", 60)
    assert await ask(pool, abs, -1) == 1
    await pool.close()


def _fails() -> None:
    raise OSError("no")


@pytest.mark.parametrize("prepare", [_fails, sys.exit])
def test_a_start_that_fails_says_what_to_do(prepare: Callable[[], None]) -> None:
    with pytest.raises(CannotStartError, match=r"decode\.processes"):
        Pool(1, LIMITS, prepare).warm_up()


async def test_a_start_that_fails_later_is_not_the_files_fault() -> None:
    pool = Pool(1, LIMITS, _fails)
    for _ in range(2):
        with pytest.raises(UnavailableError, match="OSError: no"):
            await ask(pool, abs, -1)
    await pool.close()


@pytest.mark.parametrize("task", ["abs", "time.sleep"])
def test_processes_end_when_their_parent_is_killed(task: str) -> None:
    """One that is idle at once, one that is stuck a few seconds after its time."""
    script = (
        "import asyncio, os, signal, time\n"
        "from classifier.pool import Limits, Pool\n"
        "from tests.classifier.tasks import ask, fail, hoard, ready\n"
        "pool = Pool(1, Limits(1 << 28, 1, 1), ready); pool.warm_up()\n"
        "async def main():\n"
        f"    task = asyncio.ensure_future(ask(pool, {task}, 60)); await asyncio.sleep(0.5)\n"
        "    print(pool.pids[0], flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    pid = int(done.stdout)
    until = time.monotonic() + 20
    while lives(pid) and time.monotonic() < until:
        time.sleep(0.05)
    assert not lives(pid)
