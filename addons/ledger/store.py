"""The ledger's writing SQL: batches of entries in one transaction, counters, and pruning little by little."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Table, and_, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from addons.ledger.entry import Entry
from addons.ledger.rows import decision_row, dropped_row, media_rows
from addons.ledger.tables import counters, decisions, denial_hits, denials, dropped, holds, media, policies, standings

PRUNED = 500
"""Rows that one pruning transaction deletes at most, so that it holds the lock for some milliseconds only."""
FREED = 1000
"""Free pages (4 KiB each) that one transaction gives back to the file system at most (SQLite)."""

type Tally = Mapping[tuple[date, str, str], int]
"""(day in UTC, door, action) to how many deliveries."""


@dataclass(frozen=True, slots=True)
class Store:
    """What is written and how long it is kept: ``keep`` for decisions and blocks, ``keep_dropped`` and at most
    ``dropped_bytes`` (compressed; the oldest go first) for the JSON of dropped activities."""

    engine: Engine
    keep: timedelta
    keep_dropped: timedelta
    dropped_bytes: int

    def insert(self, entries: Sequence[Entry]) -> None:
        """Write all of them or none. One that is there already stays as it is: a commit may have been in doubt."""
        bodies = [row for entry in entries if (row := dropped_row(entry)) is not None]
        pictures = [row for entry in entries for row in media_rows(entry)]
        with self.engine.begin() as connection:
            _add(connection, decisions, [decision_row(entry) for entry in entries])
            _add(connection, media, pictures)
            _add(connection, dropped, bodies)

    def insert_policy(self, version: str, at: datetime, rules: Mapping[str, object]) -> None:
        """Remember the rules of a policy version, unless they are known."""
        with self.engine.begin() as connection:
            _add(connection, policies, [{"version": version, "at": at, "rules": dict(rules)}])

    def add_counts(self, tally: Tally) -> None:
        """Add to the day's counters. If a commit's answer is lost they may be added twice: they are no evidence."""
        rows = [
            {"day": day, "door": door, "action": action, "count": count}
            for (day, door, action), count in sorted(tally.items())
        ]
        with self.engine.begin() as connection:
            statement = _insert(connection, counters)
            connection.execute(
                statement.on_conflict_do_update(
                    index_elements=["day", "door", "action"],
                    set_={"count": counters.c.count + statement.excluded.count},
                ),
                rows,
            )

    def prune_batch(self, now: datetime) -> int:
        """Delete at most :data:`PRUNED` rows that are older than they are kept; how many rows went (0: all is done)."""
        with self.engine.begin() as connection:
            return (
                self._prune_dropped(connection, now)
                or self._prune_decisions(connection, now)
                or self._prune_standings(connection, now)
                or self._prune_holds(connection, now)
                or self._prune_denials(connection, now)
            )

    def give_back(self) -> bool:
        """Give at most :data:`FREED` free pages of an SQLite file back to the file system; whether there were any.

        Free pages are used again by new rows. Only where they exceed a quarter of the file (``keep`` was lowered, a
        flood is over) do they go, for otherwise the file would shrink and grow all day. PostgreSQL sees to itself.
        """
        if self.engine.dialect.name != "sqlite":
            return False
        with self.engine.begin() as connection:
            free = connection.exec_driver_sql("PRAGMA freelist_count").scalar_one()
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            if free <= FREED or free * 4 <= pages:
                return False
            # The driver's own cursor: each fetch frees one page, and SQLAlchemy sees no rows to fetch.
            connection.connection.cursor().execute(f"PRAGMA incremental_vacuum({FREED})").fetchall()
        return True

    def _prune_dropped(self, connection: Connection, now: datetime) -> int:
        oldest = select(dropped.c.decision_id).order_by(dropped.c.at, dropped.c.decision_id)
        old = oldest.where(dropped.c.at < now - self.keep_dropped).limit(PRUNED)
        ids = list(connection.scalars(old))
        excess = 0
        if not ids:
            excess = (connection.scalar(select(func.sum(dropped.c.size))) or 0) - self.dropped_bytes
        if excess > 0:
            for row in connection.execute(oldest.add_columns(dropped.c.size).limit(PRUNED)).all():
                if excess <= 0:
                    break
                ids.append(row.decision_id)
                excess -= row.size
        connection.execute(delete(dropped).where(dropped.c.decision_id.in_(ids)))
        return len(ids)

    def _prune_decisions(self, connection: Connection, now: datetime) -> int:
        limit = now - self.keep
        days = delete(counters).where(counters.c.day < limit.date())
        connection.execute(days)
        old = select(decisions.c.id, decisions.c.media_kept).where(decisions.c.at < limit)
        ids: list[str] = []
        rows = 0
        for row in connection.execute(old.order_by(decisions.c.at).limit(PRUNED)).all():
            # Its media go with it, and so may its body. The first goes in any case: entry.MEDIA is less than PRUNED.
            if rows + 2 + row.media_kept > PRUNED:
                break
            ids.append(row.id)
            rows += 2 + row.media_kept
        connection.execute(delete(decisions).where(decisions.c.id.in_(ids)))
        return rows

    def _prune_standings(self, connection: Connection, now: datetime) -> int:
        """Blocks go with the decisions that made them; what an admin allowed stays."""
        old = select(standings.c.kind, standings.c.key).where(standings.c.at < now - self.keep, ~standings.c.allowed)
        # A row that another process is just putting there again is let be (SQLite has one writer anyway).
        old = old.order_by(standings.c.at).limit(PRUNED).with_for_update(skip_locked=True)
        rows = connection.execute(old).all()
        for kind in ("sha256", "url"):
            keys = [row.key for row in rows if row.kind == kind]
            connection.execute(delete(standings).where(standings.c.kind == kind, standings.c.key.in_(keys)))
        return len(rows)

    def _prune_holds(self, connection: Connection, now: datetime) -> int:
        """Records of holds that are over; what is pending has no end here."""
        old = select(holds.c.seq).where(holds.c.ended < now - self.keep).order_by(holds.c.ended).limit(PRUNED)
        seqs = list(connection.scalars(old))
        connection.execute(delete(holds).where(holds.c.seq.in_(seqs)))
        return len(seqs)

    def _prune_denials(self, connection: Connection, now: datetime) -> int:
        gone = 0
        for table in (denials, denial_hits):
            keys = list(table.primary_key.columns)
            old = select(*keys).where(table.c.until < now).order_by(table.c.until).limit(PRUNED - gone)
            rows = connection.execute(old.with_for_update(skip_locked=True)).all()
            for row in rows:
                same = and_(*(key == value for key, value in zip(keys, row, strict=True)))
                connection.execute(delete(table).where(same))
            gone += len(rows)
        return gone


def _add(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        connection.execute(_insert(connection, table).on_conflict_do_nothing(), rows)


def _insert(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)
