import subprocess
import sys
from datetime import UTC
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import MetaData, text

from addons.ledger import Ledger, LedgerError, Reader
from addons.ledger.database import engine_for, parsed
from addons.ledger.rows import decision_row, media_rows
from addons.ledger.schema import MIGRATIONS
from addons.ledger.standings import Place
from addons.ledger.tables import metadata
from addons.policy.words import Action, Standing
from tests.addons.ledger.deliveries import BOUNDS, new
from tests.addons.ledger.samples import NOW, entry, write

ROOT = Path(__file__).parents[3]


def execute(url: str, statement: str) -> None:
    engine = engine_for(parsed(url))
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


def test_the_migrations_make_the_tables_that_the_code_knows(url: str) -> None:
    write(url)
    engine = engine_for(parsed(url))
    with engine.begin() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def at(url: str, revision: str) -> None:
    """Make the tables as they were at that revision."""
    engine = engine_for(parsed(url))
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()


def test_a_ledger_of_the_first_version_keeps_what_it_has(url: str) -> None:
    at(url, "0001")
    one = entry(id="one")
    old, engine = MetaData(), engine_for(parsed(url))
    with engine.begin() as connection:
        old.reflect(connection)
        row = {name: value for name, value in decision_row(one).items() if name not in ("session", "hold")}
        # Reflected, SQLite's columns of JSON are that again, but times have lost their type.
        connection.execute(old.tables["decisions"].insert(), row | {"at": one.at.astimezone(UTC).replace(tzinfo=None)})
        connection.execute(old.tables["media"].insert(), media_rows(one))
    engine.dispose()
    with pytest.raises(LedgerError, match=r"of an older fediward \(schema 0001\)"):
        Reader.open(url)
    with Ledger.open(url) as ledger:
        ledger.standings.allow(["ab" * 32], "one")
        assert ledger.standings.of([Place(None, "ab" * 32)]) == [Standing("one", True, Action.PASS)]
        assert ledger.secrets.known("origin") is None
    with Reader.open(url) as reader:
        kept = reader.get("one")
    assert kept is not None
    assert (kept.session, kept.at, kept.hits, len(kept.media)) == (None, one.at, one.hits, len(one.media))


def test_a_ledger_of_the_second_version_gets_holds(url: str) -> None:
    at(url, "0002")
    execute(url, "INSERT INTO standings VALUES ('url', 'k', true, 'pass', 'one', '2026-03-01 12:00:00', 'v', '')")
    with Ledger.open(url) as ledger:
        assert ledger.holds.totals().count == 0
        assert ledger.holds.put(new("one"), BOUNDS)
        assert ledger.denials.current(NOW) == []
        assert ledger.write(entry(id="two", hold="one"))
    with Reader.open(url) as reader:
        assert (reader.get("two") or entry()).hold == "one"


def test_a_newer_database_is_refused_and_left_alone(url: str) -> None:
    write(url, entry())
    execute(url, "UPDATE alembic_version SET version_num = '9999'")
    for opened in (Ledger.open, Reader.open):
        with pytest.raises(LedgerError, match=r"made by a newer fediward \(schema 9999, this one knows up to \d+\)"):
            opened(url)
    execute(url, "UPDATE alembic_version SET version_num = '0003'")
    with Reader.open(url) as reader:
        assert reader.get(entry(id="x").id) is None


def test_a_reader_does_not_upgrade(url: str) -> None:
    write(url)
    execute(url, "DELETE FROM alembic_version")
    with pytest.raises(LedgerError, match="no ledger is in this database"):
        Reader.open(url)


def test_a_failed_upgrade_leaves_nothing_behind(url: str) -> None:
    execute(url, "CREATE TABLE policies (x INTEGER)")
    with pytest.raises(LedgerError, match="policies"):
        Ledger.open(url)
    execute(url, "DROP TABLE policies")
    write(url, entry())


def test_processes_that_start_at_once_do_not_hinder_each_other(url: str) -> None:
    code = "import sys; from addons.ledger import Ledger; Ledger.open(sys.argv[1]).close()"
    started = [subprocess.Popen([sys.executable, "-c", code, url], cwd=ROOT) for _ in range(2)]
    assert [process.wait(180) for process in started] == [0, 0]
    write(url, entry())
