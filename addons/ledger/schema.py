"""Bring the ledger's tables to this version of fediward, by Alembic, safely when several processes start at once."""

import threading
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, text

from addons.ledger.errors import LedgerError, explained, shown

MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 7_210_437_121_880_651  # any number that no other program on the same database is likely to take
_alembic = threading.Lock()  # alembic.context is one global for the whole process


def upgrade(engine: Engine, url: URL) -> None:
    """Make or upgrade the tables in one transaction, while other processes wait.

    Raises LedgerError where the database cannot be opened and written, or was made by a newer fediward.
    """
    config = _config()
    scripts = ScriptDirectory.from_config(config)
    try:
        with _alembic, engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            if _revision(connection, scripts, url) != scripts.get_current_head():
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
    except LedgerError:
        raise
    except Exception as error:
        raise explained(url, error) from error


def check(connection: Connection, url: URL) -> None:
    """Raise LedgerError unless the tables are of this very version: for what only reads."""
    scripts = ScriptDirectory.from_config(_config())
    revision = _revision(connection, scripts, url)
    if revision is None:
        raise LedgerError(f"ledger {shown(url)}: no ledger is in this database; `fediward run` makes it")
    if revision != scripts.get_current_head():
        raise LedgerError(
            f"ledger {shown(url)}: it is of an older fediward (schema {revision}); start `fediward run` of this "
            "version once, which upgrades it"
        )


def _revision(connection: Connection, scripts: ScriptDirectory, url: URL) -> str | None:
    heads = MigrationContext.configure(connection).get_current_heads()
    known = {script.revision for script in scripts.walk_revisions()}
    if unknown := sorted(set(heads) - known):
        raise LedgerError(
            f"ledger {shown(url)}: it was made by a newer fediward (schema {', '.join(unknown)}, this one knows up to "
            f"{scripts.get_current_head()}); run that version, or name another database in `ledger.url`"
        )
    return heads[0] if heads else None


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
