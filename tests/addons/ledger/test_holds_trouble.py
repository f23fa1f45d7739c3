import sqlite3
import time
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from addons.ledger import Ledger
from addons.ledger.database import engine_for, parsed
from addons.ledger.held import Outcome
from tests.addons.ledger.deliveries import (
    BOUNDS,
    Clock,
    claim,
    ids,
    new,
    opened,
)
from tests.addons.ledger.samples import NOW
from tests.addons.ledger.unprivileged import unprivileged


def test_a_power_cut_counts(there: str) -> None:
    with Ledger.open(there) as ledger, ledger.holds._engine.begin() as connection:
        asked = "PRAGMA synchronous" if there.startswith("sqlite") else "SHOW synchronous_commit"
        assert connection.execute(text(asked)).scalar_one() in (2, "on")


def test_a_power_cut_counts_whatever_the_server_is_set_to(postgres_url: str) -> None:
    engine = engine_for(parsed(postgres_url))
    with engine.begin() as connection:
        connection.execute(text("ALTER ROLE ward SET synchronous_commit = off"))
    try:
        engine.dispose()  # a connection that is there keeps what it has
        with engine.begin() as connection:
            assert connection.execute(text("SHOW synchronous_commit")).scalar_one() == "off"
        with Ledger.open(postgres_url) as ledger, ledger.holds._engine.begin() as connection:
            assert connection.execute(text("SHOW synchronous_commit")).scalar_one() == "on"
    finally:
        with engine.begin() as connection:
            connection.execute(text("ALTER ROLE ward RESET synchronous_commit"))
        engine.dispose()


def test_a_locked_database_is_an_error_soon(tmp_path: Path) -> None:
    with Ledger.open(f"sqlite:///{tmp_path}/l.db", busy=0.05) as ledger:
        assert ledger.holds.put(new("one"), BOUNDS)
        other = sqlite3.connect(tmp_path / "l.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            began = time.monotonic()
            for method in (
                lambda: ledger.holds.put(new("two"), BOUNDS),
                lambda: claim(ledger.holds),
                lambda: ledger.holds.end("one", None, Outcome.DROPPED, "", NOW),
            ):
                with pytest.raises(OperationalError, match="locked"):
                    method()
            assert time.monotonic() - began < 20  # nobody frees it
            assert ledger.holds.totals().count == 1  # who reads is not locked out
        finally:
            other.close()
        assert ledger.holds.put(new("two"), BOUNDS)


def test_a_full_disk_is_an_error_and_nothing_is_half_stored(tmp_path: Path) -> None:
    with Ledger.open(f"sqlite:///{tmp_path}/l.db") as ledger:
        with ledger.holds._engine.connect() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 20}")
        assert ledger.holds.put(new("one"), BOUNDS)
        with pytest.raises(OperationalError, match="full"):
            ledger.holds.put(new("two", body=b"x" * 200_000), BOUNDS)
        assert ledger.holds.totals().count == 1
        assert ids(claim(ledger.holds)) == ["one"]
        assert ledger.holds.end("one", "w", Outcome.REPLAYED, "", NOW)


def test_a_read_only_database_is_an_error(postgres_url: str) -> None:
    with Ledger.open(postgres_url) as ledger:
        assert ledger.holds.put(new("one"), BOUNDS)
        engine = engine_for(parsed(postgres_url))
        with engine.begin() as connection:
            name = connection.execute(text("SELECT current_database()")).scalar_one()
            connection.execute(text(f"ALTER DATABASE {name} SET default_transaction_read_only = on"))
        ledger.holds.close()  # the next connection knows of it
        with pytest.raises(SQLAlchemyError, match="read-only"):
            ledger.holds.put(new("two"), BOUNDS)
        with engine.begin() as connection:
            connection.execute(text("SET TRANSACTION READ WRITE"))
            connection.execute(text(f"ALTER DATABASE {name} RESET default_transaction_read_only"))
        engine.dispose()


def test_a_file_that_turns_read_only_is_an_error() -> None:
    with unprivileged() as folder:
        path = folder / "l.db"
        with Ledger.open(f"sqlite:///{path}") as ledger:
            assert ledger.holds.put(new("one"), BOUNDS)
        path.chmod(0o444)
        folder.chmod(0o555)
        try:
            with (
                opened(f"sqlite:///{path}", Clock()) as holds,
                pytest.raises(OperationalError, match=r"readonly|unable to open"),
            ):
                holds.put(new("two"), BOUNDS)
        finally:
            folder.chmod(0o755)


def test_tables_that_are_gone_are_an_error(url: str) -> None:
    with Ledger.open(url) as ledger:
        engine = engine_for(parsed(url))
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE hold_bytes RENAME TO gone"))
        with pytest.raises(SQLAlchemyError):
            ledger.holds.put(new("one"), BOUNDS)
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE gone RENAME TO hold_bytes"))
        engine.dispose()
        assert ledger.holds.totals().count == 0
        assert ledger.holds.put(new("one"), BOUNDS)
