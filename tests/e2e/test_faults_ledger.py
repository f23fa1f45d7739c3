"""The ledger's database is locked, read-only, full, or (PostgreSQL) gone: nothing waits for it, and nothing is lost."""

import contextlib
import errno
import io
import os
import signal
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from tests import postgres
from tests.drawing import encode, textured
from tests.e2e.faults import SECONDS, World, opened
from tests.e2e.faulty import FORBIDDEN, ORDINARY, Judging
from tests.net import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

NEW = encode(textured(3))

type Fault = Callable[[World], contextlib.AbstractContextManager[None]]


@contextlib.contextmanager
def locked(world: World) -> Iterator[None]:
    """Another program writes, and does not end."""
    with _connected(_file(world)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


@contextlib.contextmanager
def read_only(world: World) -> Iterator[None]:
    """SQLite itself refuses to write, on each connection."""
    ledger, told = world.service.ledger, ["ON"]

    def begins(connection: sqlite3.Connection, *rest: Any) -> None:
        connection.execute(f"PRAGMA query_only = {told[0]}")

    for engine in (ledger._store.engine, ledger.holds._engine):
        event.listen(engine, "checkout", begins)
    try:
        yield
    finally:
        told[0] = "OFF"


@contextlib.contextmanager
def full(world: World) -> Iterator[None]:
    """Not a byte is left on the disk."""
    file = _file(world)
    log = file.with_name(f"{file.name}-wal")
    with (
        file.with_name("ballast").open("wb", buffering=0) as ballast,
        _connected(file) as other,
    ):
        # What the log of writes has taken already it would write over, however full the disk is.
        while log.stat().st_size or _more(ballast):
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    try:
        yield
    finally:
        file.with_name("ballast").unlink()


def _file(world: World) -> Path:
    return Path(world.service.config.ledger.url.removeprefix("sqlite:///"))


def _connected(file: Path) -> contextlib.closing[sqlite3.Connection]:
    return contextlib.closing(sqlite3.connect(file, isolation_level=None))


def _more(ballast: io.RawIOBase) -> bool:
    """Whether anything more could be written."""
    try:
        return bool(ballast.write(bytes(4096)))
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return False


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Of 8 MiB."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a disk")
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@contextlib.contextmanager
def server() -> Iterator[tuple[Fault, str]]:
    """PostgreSQL, as after a power cut; its address."""
    programs = postgres.binaries()
    if programs is None:
        pytest.skip("no PostgreSQL here: apt install postgresql (any version) to run this test")
    with postgres.cluster(programs) as cluster:

        @contextlib.contextmanager
        def stopped(world: World) -> Iterator[None]:
            cluster.stop(signal.SIGQUIT)
            try:
                yield
            finally:
                cluster.start()

        yield stopped, f"{cluster.address}/postgres"


@pytest.fixture(params=["locked", "read-only", "full", "stopped"])
def which(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Fault, str, dict[str, Any]]]:
    """The fault, what is said of it, and the ledger's settings."""
    match request.param:
        case "locked":
            yield locked, "database is locked", {}
        case "read-only":
            yield read_only, "attempt to write a readonly database", {}
        case "full":
            with small_disk(tmp_path / "disk") as disk:
                yield full, "the disk is full", {"ledger": {"url": f"sqlite:///{disk}/fediward.db"}}
        case _:
            with server() as (stopped, url):
                yield stopped, "see that the server runs", {"ledger": {"url": url}}


@contextlib.asynccontextmanager
async def trouble(world: World, fault: Fault) -> AsyncIterator[None]:
    """From when it is noticed until it is over and that was noticed too."""
    with fault(world):
        # Something to be written.
        world.service.ledger.note_policy("another", {})
        await until(lambda: not world.service.ledger.healthy, SECONDS)
        yield
    await until(lambda: world.service.ledger.healthy, SECONDS)


async def test_everything(tmp_path: Path, judge: Judging, which: tuple[Fault, str, dict[str, Any]]) -> None:
    fault, said, settings = which
    async with opened(tmp_path, judge, busy=0.1, **settings) as world:
        fine, bad, new = (world.host.put(f"/{n}.png", data) for n, data in enumerate((ORDINARY, FORBIDDEN, NEW), 1))
        judge.fails()
        assert await world.deliver(fine) == 202
        await world.rests()
        judge.works()
        async with trouble(world, fault):
            # What is judged goes its way.
            assert [await world.deliver(url) for url in (fine, bad)] == [200, 202]
            assert await world.says("Like", "https://example.org/notes/1") == 200
            # What is not cannot be held, and is neither let by nor lost: its sender is told to come again.
            judge.fails()
            assert await world.deliver(new) == 503
            judge.works()
            # What is held waits.
            world.later(6)
            await until(lambda: bool(world.service.delivering.keeper.trouble), SECONDS)
            ready = await world.web.get(f"http://{world.ports['status']}/readyz")
            assert ready.status_code == 503
            assert said in ready.text
            assert world.arrived() == [0, 1, 0, 1, 0]
        world.later(6)
        await world.outcomes("replayed")
        # The same delivery, signed and sent anew.
        assert await world.deliver(new, id="5") == 200
        assert world.arrived() == [1, 1, 0, 1, 1, 1]
        # All of it is written in the end, once.
        entries = await world.entries()
        assert [(entry.action, entry.cause or entry.rule) for entry in entries if entry.hold is None] == [
            ("hold", "detector_error"),
            ("pass", "ledger_error"),
            ("drop", "known"),
            ("defer", "ledger_error"),
            ("pass", None),
        ]
        assert [(entry.action, entry.hold) for entry in entries if entry.hold] == [("pass", entries[0].id)]
        ready = await world.web.get(f"http://{world.ports['status']}/readyz")
        assert ready.status_code == 200, ready.text


async def test_an_outcome_that_cannot_be_written_is_written_later_and_once(
    tmp_path: Path, judge: Judging, which: tuple[Fault, str, dict[str, Any]]
) -> None:
    """The server has it already when the database fails."""
    fault, _, settings = which
    async with opened(tmp_path, judge, busy=0.1, **settings) as world:
        judge.fails()
        assert await world.deliver(world.host.put("/fine.png", ORDINARY)) == 202
        await world.rests()
        judge.works()
        world.server.way = "silent"
        world.later(6)
        await until(lambda: len(world.server.requests) == 1, SECONDS)
        async with trouble(world, fault):
            # noticed while the server is at it
            world.server.woken.set()
            await until(lambda: bool(world.service.delivering.keeper.trouble), SECONDS)
        await world.outcomes("replayed")
        assert world.arrived() == [1]
        assert await world.figure("fediward_outcomes_total", outcome="replayed") == 1
