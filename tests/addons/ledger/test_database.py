import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import TimeoutError

from addons.ledger import Ledger, LedgerError, Reader
from addons.ledger.database import engine_for, parsed
from addons.ledger.held import Bounds, Signer
from tests.addons.ledger.deliveries import claim, new
from tests.addons.ledger.samples import entry, write
from tests.addons.ledger.unprivileged import unprivileged


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("sqlite:///a.db", "sqlite"),
        ("sqlite+pysqlite:////var/lib/a.db", "sqlite"),
        ("postgresql://u:p@h/d", "postgresql+psycopg"),
        ("postgresql://u:p/w%40x@h/d", "postgresql+psycopg"),
        ("postgres://u:p@h/d", "postgresql+psycopg"),
        ("postgresql+psycopg://u:p@h/d", "postgresql+psycopg"),
    ],
)
def test_addresses(url: str, driver: str) -> None:
    assert parsed(url).drivername == driver


@pytest.mark.parametrize(
    "url",
    [
        "s3cret",
        "",
        "postgresql://u:s3cret@h:s3cret/d",
        "postgresql://u:p@s3cret@h/d",
        "postgresql://u:p@h/s3cret@h/d",
        "mysql://u:s3cret@h/d",
        "postgresql+asyncpg://u:s3cret@h/d",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:s3cret",
        "sqlite:///a.db?mode=s3cret",
    ],
)
def test_other_addresses_are_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(LedgerError) as caught:
        parsed(url)
    assert "s3cret" not in str(caught.value)
    assert "sqlite:///FILE" in str(caught.value)


def test_sqlite_is_set_up_for_many_processes(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    for synchronous, number in (("NORMAL", 1), ("FULL", 2)):
        engine = engine_for(parsed(f"sqlite:///{path}"), busy=2.5, synchronous="FULL" if number == 2 else "NORMAL")
        with engine.begin() as connection:
            pragmas = [
                connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
                for name in ("journal_mode", "foreign_keys", "busy_timeout", "auto_vacuum", "synchronous")
            ]
        engine.dispose()
        assert pragmas == ["wal", 1, 2500, 2, number], synchronous


def test_the_file_is_nobody_elses_to_read(tmp_path: Path) -> None:
    with Ledger.open(f"sqlite:///{tmp_path}/l.db"):
        assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_a_reader_writes_nothing(url: str) -> None:
    write(url, entry())
    engine = engine_for(parsed(url), read_only=True)
    with pytest.raises(Exception, match=r"readonly|read-only"), engine.begin() as connection:
        connection.execute(text("DELETE FROM media"))
    engine.dispose()


@pytest.mark.parametrize("empty", [False, True])
def test_a_reader_makes_no_database(tmp_path: Path, empty: bool) -> None:
    path = tmp_path / "l.db"
    if empty:
        path.touch()
    before = list(tmp_path.iterdir())
    with pytest.raises(LedgerError, match="there is none; `fediward run` makes it"):
        Reader.open(f"sqlite:///{path}")
    assert list(tmp_path.iterdir()) == before


def test_a_directory_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="does not exist; create it"):
        Ledger.open(f"sqlite:///{tmp_path}/none/l.db")


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "l.db").write_bytes(b"This is a diary. " * 100)
    for opened in (Ledger.open, Reader.open):
        with pytest.raises(LedgerError, match="no SQLite database"):
            opened(f"sqlite:///{tmp_path}/l.db")
    assert (tmp_path / "l.db").read_bytes().startswith(b"This is a diary.")


def test_a_directory_that_cannot_be_written() -> None:
    Ledger.open  # noqa: B018 - everything is imported while we are still root
    with unprivileged() as folder:
        write(f"sqlite:///{folder}/old.db", entry())
        folder.chmod(0o555)
        try:
            for name in ("new.db", "old.db"):
                with pytest.raises(LedgerError, match=f"must be allowed to write in {folder}"):
                    Ledger.open(f"sqlite:///{folder}/{name}")
        finally:
            folder.chmod(0o755)


def test_a_file_that_cannot_be_written() -> None:
    with unprivileged() as folder:
        path = folder / "l.db"
        write(f"sqlite:///{path}", entry())
        path.chmod(0o444)
        with pytest.raises(LedgerError, match="may not write to it"):
            Ledger.open(f"sqlite:///{path}")


def test_a_locked_file_is_waited_for_but_not_for_ever(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/l.db"
    write(url)
    other = sqlite3.connect(tmp_path / "l.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(LedgerError, match="another program holds it locked"):
            Ledger.open(url, busy=0.1)
    finally:
        other.close()
    write(url, entry())


def test_a_server_that_is_not_there() -> None:
    for opened in (Ledger.open, Reader.open):
        with pytest.raises(LedgerError, match="see that the server runs") as caught:
            opened("postgresql://ward:s3cret@127.0.0.1:1/ward")
        assert "s3cret" not in str(caught.value)


def test_who_finds_no_connection_free_is_told_so_soon(tmp_path: Path) -> None:
    engine = engine_for(parsed(f"sqlite:///{tmp_path}/l.db"), connections=1, crowded=0.05)
    with engine.begin(), pytest.raises(TimeoutError, match="connection timed out"), engine.begin():
        pass
    engine.dispose()


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York"])
@pytest.mark.parametrize("at", [datetime.min.replace(tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)])
def test_any_time_can_be_read_back_whatever_the_servers_zone(postgres_url: str, zone: str, at: datetime) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {connection.info.dbname} SET timezone TO '{zone}'".encode())
    with Ledger.open(postgres_url) as ledger:
        assert ledger.holds.put(new("one", signer=Signer(signed_at=at)), Bounds())
        assert [held.signer.signed_at for held in claim(ledger.holds)] == [at]
