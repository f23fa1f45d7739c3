"""Connections to the ledger's database, SQLite or PostgreSQL, set so that nobody waits long for anybody."""

import contextlib
import os
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any, Literal

import msgspec
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, OperationalError

from addons.ledger.errors import LedgerError, explained

BUSY = 5.0
"""Seconds that a connection waits for another one's lock (SQLite and PostgreSQL alike)."""
STATEMENT = 30.0
"""Seconds that PostgreSQL may take for one statement: a connection that hangs must become an error."""

CONNECTIONS = 4
"""Connections of one engine at a time."""
CROWDED = 30.0
"""Seconds that one waits for a connection while all are used."""

READS = {"reads": True}
"""Execution options of an engine or connection that only reads: it takes no lock that others wait for."""

_PATIENCE = 10
"""Milliseconds within which SQLite itself tries again, each time a little later."""

type Synchronous = Literal["NORMAL", "FULL"]
"""SQLite's ``synchronous``. NORMAL may lose the last decisions in a power cut, never the file's soundness."""


def parsed(url: str) -> URL:
    """``sqlite:///FILE`` or ``postgresql://…`` (taken as psycopg 3) as SQLAlchemy's URL.

    Raises LedgerError for anything else; the text is never repeated, for it may hold a password.
    """
    try:
        address = make_url(url)
    except (ArgumentError, ValueError):
        address = None
    # An unescaped @ in a password would make its end a host or database, which messages show.
    if address is None or "@" in f"{address.host}{address.database if address.host else ''}":
        raise LedgerError(
            "the ledger's address is no database URL: write sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE "
            "(in a password, write @ : / and % as %40 %3A %2F and %25)"
        )
    if address.drivername in ("sqlite", "sqlite+pysqlite"):
        if address.database in (None, "", ":memory:") or str(address.database).startswith("file:") or address.query:
            raise LedgerError("the ledger must be a file: write sqlite:///FILE (a path) with nothing behind it")
        return address.set(drivername="sqlite")
    if address.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        return address.set(drivername="postgresql+psycopg")
    raise LedgerError(f"a ledger cannot be kept in {address.drivername!r}: write sqlite:///FILE or postgresql://…")


def engine_for(
    url: URL,
    *,
    busy: float = BUSY,
    synchronous: Synchronous = "NORMAL",
    read_only: bool = False,
    statement: float = STATEMENT,
    connections: int = CONNECTIONS,
    crowded: float = CROWDED,
) -> Engine:
    """An engine with fediward's settings; it connects only when used.

    Transactions on SQLite begin as writing ones at once (``BEGIN IMMEDIATE``), so that two processes wait for each
    other instead of failing half-way. ``read_only`` neither makes nor changes a database. With ``synchronous`` FULL a
    commit is on the disk of either database when it returns. ``connections``: at most so many at a time; who finds none
    free waits ``crowded`` seconds for one.
    """
    kept = min(2, connections)
    common = _COMMON | {"pool_size": kept, "max_overflow": connections - kept, "pool_timeout": crowded}
    if url.get_backend_name() == "sqlite":
        engine = _sqlite(url, busy, synchronous, read_only, common)
    else:
        engine = create_engine(
            url,
            **common,
            connect_args={
                "connect_timeout": max(2, round(busy)),
                "application_name": "fediward",
                "keepalives_idle": 10,
                "tcp_user_timeout": round(statement * 1000),
                # Poolers such as pgbouncer give each transaction another connection, which knows no prepared statement.
                "prepare_threshold": None,
            },
        )

        @event.listens_for(engine, "begin")
        def bound(connection: Connection) -> None:
            wanted = [
                f"SET LOCAL lock_timeout = {round(busy * 1000)}",
                f"SET LOCAL statement_timeout = {round(statement * 1000)}",
                # Strangers say when they signed: in the server's own zone the year 9999 may be 10000, which Python
                # cannot read, and with it none of the rows beside it.
                "SET LOCAL TIME ZONE 'UTC'",
            ]
            if synchronous == "FULL":
                # Whatever the server or the user has it set to.
                wanted.append("SET LOCAL synchronous_commit = on")
            if read_only:
                wanted.append("SET TRANSACTION READ ONLY")
            connection.exec_driver_sql("; ".join(wanted))

    return engine


_COMMON: dict[str, Any] = {
    "json_serializer": lambda value: msgspec.json.encode(value).decode(),
    "json_deserializer": msgspec.json.decode,
}


def _sqlite(url: URL, busy: float, synchronous: Synchronous, read_only: bool, common: dict[str, Any]) -> Engine:
    path = Path(url.database or "").absolute()
    prepared = threading.Event()

    def connect() -> sqlite3.Connection:
        # isolation_level None: the driver begins nothing by itself, so DDL is in our transactions too.
        options: dict[str, Any] = {"timeout": busy, "isolation_level": None, "check_same_thread": False}
        where = f"{path.as_uri()}?mode=ro" if read_only else str(path)
        if not read_only:
            _make_private(path)
        connection: sqlite3.Connection = sqlite3.connect(where, uri=read_only, **options)
        try:
            connection.execute("PRAGMA foreign_keys = ON")
            if not (read_only or prepared.is_set()):
                # Once, as it waits for whoever is writing just now; it lasts, being in the file.
                _prepare(connection, busy)
                prepared.set()
            if not read_only:
                connection.execute(f"PRAGMA synchronous = {synchronous}")
                # A WAL grown by one long reader shrinks again at the next checkpoint.
                connection.execute(f"PRAGMA journal_size_limit = {16 << 20}")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    engine = create_engine(url, creator=connect, **common)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        reads = read_only or connection.get_execution_options().get("reads")
        if reads:
            connection.exec_driver_sql("BEGIN")
        else:
            _begin_writing(connection, busy)

    return engine


def _begin_writing(connection: Connection, busy: float) -> None:
    """Take the one writer's lock, trying often: left to itself SQLite soon tries ten times a second only, and between
    the many transactions of another process or thread it may never find the moment."""
    deadline = time.monotonic() + busy
    connection.exec_driver_sql(f"PRAGMA busy_timeout = {_PATIENCE}")
    try:
        while True:
            try:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                return
            except OperationalError as error:
                code = getattr(error.orig, "sqlite_errorcode", None)
                if code is None or code & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                    raise
    finally:
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {round(busy * 1000)}")


def _make_private(path: Path) -> None:
    # The ledger tells who sent what: nobody else may read it. SQLite gives its -wal and -shm the same mode.
    with contextlib.suppress(OSError):  # it is there already, or SQLite will say what is wrong
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _prepare(connection: sqlite3.Connection, busy: float) -> None:
    # auto_vacuum can be chosen only before the first page is written, so before WAL.
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    deadline = time.monotonic() + busy
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError as error:
            # SQLite does not wait for the lock here when two processes make the file at the same moment.
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def must_exist(url: URL) -> None:
    """Raise LedgerError where an SQLite ledger's file is not there: what only reads must not make one."""
    if url.get_backend_name() != "sqlite":
        return
    path = Path(url.database or "").absolute()
    try:
        there = path.is_file() and path.stat().st_size > 0
    except OSError as error:
        raise explained(url, error) from None
    if not there:
        raise LedgerError(
            f"ledger file {path}: there is none; `fediward run` makes it at its first start. Is `ledger.url` (or "
            "--ledger) right, and are you in the directory it counts from?"
        )
