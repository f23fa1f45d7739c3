"""Hosts and actors that rules denied for a while, in the ledger's database: all processes share them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import Connection, Engine, Table, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from addons.ledger.clean import bounded, key
from addons.ledger.database import READS
from addons.ledger.entry import ID, MESSAGE, NAME
from addons.ledger.tables import denial_hits, denials

MOST = 100_000
"""Denials that are read at a time."""

type DeniedKind = Literal["host", "actor"]


@dataclass(frozen=True, slots=True)
class Denied:
    """A host or actor (``value``) that is denied ``until`` then; ``by``: the rule's name; ``reason``: for a person."""

    kind: DeniedKind
    value: str
    until: datetime
    by: str
    reason: str = ""


class Denials:
    """All methods wait for the database (some 1 ms): call them in a thread. They raise SQLAlchemy's errors."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reading = engine.execution_options(**READS)

    def deny(self, kind: DeniedKind, value: str, until: datetime, by: str, reason: str) -> None:
        """Deny a host or actor until then; one that is denied for longer stays so."""
        row = {
            "kind": kind,
            "key": key(value),
            "value": bounded(value, ID),
            "until": until,
            "by": bounded(by, NAME),
            "reason": bounded(reason, MESSAGE),
        }
        with self._engine.begin() as connection:
            new = _insert(connection, denials)
            changed = {name: new.excluded[name] for name in ("until", "by", "reason")}
            longer = denials.c.until < new.excluded.until
            connection.execute(
                new.on_conflict_do_update(index_elements=["kind", "key"], set_=changed, where=longer), row
            )

    def lift(self, kind: DeniedKind, value: str) -> bool:
        """Deny it no longer, and begin to count anew; whether it was denied."""
        with self._engine.begin() as connection:
            for table in (denial_hits, denials):
                mine = (table.c.kind == kind) & (table.c.key == key(value))
                gone = connection.execute(delete(table).where(mine)).rowcount
        return bool(gone)

    def current(self, now: datetime) -> list[Denied]:
        """All that are denied now (:data:`MOST` of them), those that are denied longest first."""
        with self._reading.begin() as connection:
            return current(connection, now, MOST)

    def hit(self, rule: str, kind: DeniedKind, value: str, now: datetime, *, within: timedelta, hits: int) -> int:
        """Count that ``rule`` applied to what this host or actor sent: how often ``within`` that time, this included.

        Only the newest ``hits`` are remembered, which is all that ``deny.after`` asks.
        """
        mine = {"rule": bounded(rule, NAME), "kind": kind, "key": key(value)}
        until = now + within
        with self._engine.begin() as connection:
            new = _insert(connection, denial_hits)
            # The row is made first, so that two processes wait for each other at it.
            connection.execute(new.on_conflict_do_nothing(), {**mine, "times": [], "until": until})
            same = (
                (denial_hits.c.rule == mine["rule"]) & (denial_hits.c.kind == kind) & (denial_hits.c.key == mine["key"])
            )
            known = connection.execute(select(denial_hits.c.times).where(same).with_for_update()).scalar_one()
            since = (now - within).timestamp()
            times = sorted([one for one in known if one > since] + [now.timestamp()])[-hits:]
            connection.execute(denial_hits.update().where(same).values(times=times, until=until))
        return len(times)


def current(connection: Connection, now: datetime, limit: int) -> list[Denied]:
    """The hosts and actors that are denied now, those that are denied longest first."""
    wanted = select(denials).where(denials.c.until > now).order_by(denials.c.until.desc(), denials.c.key).limit(limit)
    return [Denied(row.kind, row.value, row.until, row.by, row.reason) for row in connection.execute(wanted).all()]


def _insert(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)
