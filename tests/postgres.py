"""A real PostgreSQL for tests: Debian's package, started on a free port with its data in a folder of its own."""

import atexit
import functools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest

_DEBIAN = Path("/usr/lib/postgresql")
_STARTS_WITHIN = 60.0


def binaries() -> Path | None:
    """The folder with ``initdb`` and ``postgres``, the newest version where there are several; None where none is."""
    found = sorted(
        _DEBIAN.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]) if path.parts[-3].isdigit() else 0
    )
    if not found and (command := shutil.which("initdb")):
        found = [Path(command).resolve()]
    found = [path for path in found if path.with_name("postgres").exists()]
    return found[-1].parent if found else None


class Cluster:
    """A server with its data in ``folder``: stopped, and started again on the same port."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self._folder = folder
        # PostgreSQL refuses to run as root.
        self._user = _other_user() if os.geteuid() == 0 else None
        self._port = _free_port()
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Without a database: ``postgresql://ward@127.0.0.1:1234``."""
        return f"postgresql://ward@127.0.0.1:{self._port}"

    def make(self) -> None:
        """Its data."""
        if self._user:
            shutil.chown(self._folder, self._user)
        subprocess.run(
            [
                *(self._programs / "initdb", "-D", self._folder / "data", "-U", "ward", "-A", "trust"),
                *("-E", "UTF8", "--locale=C", "--no-sync"),
            ],
            user=self._user, cwd=self._folder, check=True, capture_output=True, timeout=120,
        )  # fmt: skip

    def start(self) -> None:
        """Blocks until it takes connections."""
        log = self._folder / "log"
        with log.open("ab") as output:
            self._server = subprocess.Popen(
                [
                    *(self._programs / "postgres", "-D", self._folder / "data", "-p", str(self._port)),
                    *("-k", self._folder, "-h", "127.0.0.1", "-F"),
                ],
                user=self._user, cwd=self._folder, stdout=output, stderr=output,
            )  # fmt: skip
        _wait(self._server, self.address, log)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """SIGQUIT does not wait for anybody's transaction."""
        if self._server is None:
            return
        self._server.send_signal(number)
        try:
            self._server.wait(10)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait(10)


@contextmanager
def cluster(programs: Path) -> Iterator[Cluster]:
    """A running server that may be stopped meanwhile."""
    folder = Path(tempfile.mkdtemp(prefix="fediward-pg-"))
    made = Cluster(programs, folder)
    try:
        made.make()
        made.start()
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def running(programs: Path) -> Iterator[str]:
    """A server for as long as the context lasts; its address without a database: ``postgresql://ward@127.0.0.1:1234``."""
    with cluster(programs) as made:
        yield made.address


@functools.cache
def shared() -> str | None:
    """The address of one for all of this process, started when first asked for; None where none is installed."""
    programs = binaries()
    if programs is None:
        return None
    opened = ExitStack()
    atexit.register(opened.close)
    return opened.enter_context(running(programs))


@pytest.fixture(scope="session")
def postgres_server() -> str:
    """The address of a running PostgreSQL, one for the whole session."""
    address = shared()
    if address is None:
        pytest.skip("no PostgreSQL here: apt install postgresql (any version) to run this test")
    return address


@contextmanager
def database(server: str) -> Iterator[str]:
    """A new, empty database, dropped afterwards: its address."""
    name = f"t{uuid.uuid4().hex}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield f"{server}/{name}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """A database of the test's own."""
    with database(postgres_server) as url:
        yield url


def _other_user() -> str:
    import pwd

    names = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody") if name in names)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert isinstance(port, int)
    return port


def _wait(server: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + _STARTS_WITHIN
    while True:
        try:
            psycopg.connect(f"{address}/postgres", connect_timeout=2).close()
            return
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start: {log.read_text(errors='replace')[-2000:]}") from None
            time.sleep(0.05)
