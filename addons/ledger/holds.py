"""Deliveries held in the ledger's database: stored before anybody is answered, claimed by one at a time, ended once."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta

from sqlalchemy import URL, Connection, Engine, delete, exists, func, insert, select, text, update

from addons.ledger import claims, hold_reading
from addons.ledger.clean import bounded
from addons.ledger.database import READS, engine_for
from addons.ledger.entry import MESSAGE, NAME, utc_now
from addons.ledger.held import (
    Bounds,
    Held,
    HoldFullError,
    HoldRecord,
    HoldState,
    NewHold,
    Outcome,
    Pending,
    Then,
    Totals,
)
from addons.ledger.hold_rows import PENDING, SHARE, WORKER, hold_row, id_rows, same, url_key, url_rows
from addons.ledger.tables import hold_bytes, hold_ids, holds

BUSY = 1.0
"""Seconds to wait for another's lock: a sender waits meanwhile, and is better told to come again."""
STATEMENT = 10.0
"""Seconds that PostgreSQL may take for one statement."""
_LOCK = 7_210_437_121_880_652  # beside the one of addons.ledger.schema

type Clock = Callable[[], datetime]


def hold_engine(address: URL, busy: float = BUSY) -> Engine:
    """An engine for what must not be lost: what it commits is on the disk, though the power be cut the next moment.

    ``busy``: seconds to wait for another's lock. One connection on SQLite, which has one writer at a time: who waits
    for it waits in order, and not long.
    """
    connections = 1 if address.get_backend_name() == "sqlite" else 8
    return engine_for(
        address, busy=busy, synchronous="FULL", statement=STATEMENT, connections=connections, crowded=2 * busy
    )


class Holds:
    """All methods wait for the database (some ms): call them in a thread. They raise SQLAlchemy's errors, soon.

    Where an ``id`` is asked for, it is the hold's, by which ``log`` knows its decision. A ``worker`` is whoever claims:
    a name that no other process or task has. A method that names one does nothing where the claim is not that
    worker's; where None may be given, it is done whoever has the claim, who loses it.
    """

    def __init__(self, engine: Engine, clock: Clock = utc_now) -> None:
        """``engine``: of :func:`hold_engine`."""
        self._engine = engine
        self._reading = engine.execution_options(**READS)
        self._clock = clock

    def put(self, new: NewHold, bounds: Bounds) -> bool:
        """Store ``new``: it is on the disk when this returns. False: the same delivery is pending already.

        The same are target, body and who vouches for it (the verified host, else the peer). What is due at once is
        claimed at once; what waits for a person is due when its window closes. Raises HoldFullError.
        """
        share = bounded(new.share, SHARE)
        with self._engine.begin() as connection:
            _one_at_a_time(connection)
            twin = (holds.c.same == same(new)) & holds.c.state.in_(PENDING)
            # The id too: the answer to a commit may have been lost.
            if connection.scalar(select(exists().where(twin))) or _known(connection, new.id):
                return False
            if which := hold_reading.full(connection, new, share, bounds):
                raise HoldFullError(which)
            row = hold_row(new, claims.next_turn(connection, share, new.signer.state))
            seq = connection.execute(insert(holds).returning(holds.c.seq), row).scalar_one()
            connection.execute(insert(hold_bytes), {"hold": seq, "head": new.head, "body": new.body})
            if ids := id_rows(new, seq):
                connection.execute(insert(hold_ids), ids)
        return True

    def claim(
        self,
        states: Collection[HoldState],
        worker: str,
        now: datetime,
        lease: timedelta,
        limit: int,
        *,
        closing: bool = False,
    ) -> list[Held]:
        """Take at most ``limit`` holds of these states that are due and nobody's, or whose lease ran out by ``now``.

        They go round the shares, each share's oldest first. One in REPLAYING that is verified comes only when no
        earlier pending verified hold gives what it needs, or when its window closes. ``closing``: only those whose
        window closes by ``now``. Each claim is one attempt.
        """
        with self._engine.begin() as connection:
            return claims.claim(connection, states, bounded(worker, WORKER), now, lease, limit, closing=closing)

    def renew(self, ids: Collection[str], worker: str, now: datetime, lease: timedelta) -> set[str]:
        """Keep claims until ``now + lease``; those that are still the worker's."""
        with self._engine.begin() as connection:
            mine = claims.locked_all(connection, holds.c.id.in_(list(ids)) & (holds.c.worker == worker))
            renewed = update(holds).where(holds.c.seq.in_(mine)).values(lease=now + lease).returning(holds.c.id)
            return set(connection.scalars(renewed))

    def give_back(self, ids: Collection[str], worker: str) -> None:
        """Let others have them at once; no attempt was made."""
        with self._engine.begin() as connection:
            mine = claims.locked_all(connection, holds.c.id.in_(list(ids)) & (holds.c.worker == worker))
            free = {"worker": None, "lease": None, "attempts": holds.c.attempts - 1}
            connection.execute(update(holds).where(holds.c.seq.in_(mine)).values(free))

    def clock_put_back(self, now: datetime, longest: timedelta, lease: timedelta) -> int:
        """Undo what a clock that was ahead has written: what is to be tried only after ``longest`` is due now, and a
        claim that lasts longer than that ends after ``lease``, unless it is renewed. How many were due too late.

        What waits for a person goes by its window alone.
        """
        end, tried = now + longest, (HoldState.JUDGING, HoldState.REPLAYING)
        with self._engine.begin() as connection:
            late = claims.locked_all(connection, holds.c.state.in_(tried) & (holds.c.due > end))
            claimed = claims.locked_all(connection, holds.c.lease > end)
            connection.execute(update(holds).where(holds.c.seq.in_(claimed)).values(lease=now + lease))
            return connection.execute(update(holds).where(holds.c.seq.in_(late)).values(due=now)).rowcount

    def permit(self, id: str, worker: str | None, *, unjudged: bool = False, detail: str = "") -> bool:
        """It may be replayed, now, by whoever claims it: from JUDGING or WAITING to REPLAYING. False: it may not.

        ``unjudged``: though nothing judged it. ``detail``: kept with its outcome.
        """
        with self._engine.begin() as connection:
            row = claims.locked(connection, id, worker)
            if row is None or row.state == HoldState.REPLAYING:
                return False
            due = min(self._clock(), row.closes)
            changed = {"state": HoldState.REPLAYING, "due": due, "attempts": 0, "unjudged": unjudged}
            said = {"detail": bounded(detail, MESSAGE)} if detail else {}
            free = {"worker": None, "lease": None}
            connection.execute(update(holds).where(holds.c.seq == row.seq).values(changed | said | free))
        return True

    def retry(
        self,
        id: str,
        worker: str,
        due: datetime,
        urls: Sequence[str] | None = None,
        *,
        then: Then | None = None,
        cause: str | None = None,
        rule: str | None = None,
        state: HoldState | None = None,
    ) -> bool:
        """Give it back until ``due``, or until its window closes, unless it is permitted. False: not the worker's.

        What is not None is changed with it; ``urls``: those that it waits for now. It goes behind its share's others.
        """
        with self._engine.begin() as connection:
            row = claims.locked(connection, id, worker)
            if row is None:
                return False
            changed: dict[str, object] = {
                "turn": claims.next_turn(connection, row.share, row.signer_state),
                "worker": None,
                "lease": None,
            }
            # Also where it closed meanwhile: the server takes it for a minute more, in which it has to be settled.
            changed["due"] = due if row.state == HoldState.REPLAYING else min(due, row.closes)
            if state is not None and state != row.state:
                changed |= {"state": state, "attempts": 0}
            if then is not None:
                changed["then"] = then
            if cause is not None or rule is not None:
                changed |= {"cause": cause and bounded(cause, 32), "rule": rule and bounded(rule, NAME)}
            connection.execute(update(holds).where(holds.c.seq == row.seq).values(changed))
            if urls is not None:
                _await(connection, row.seq, urls)
        return True

    def end(self, id: str, worker: str | None, outcome: Outcome, detail: str, now: datetime) -> bool:
        """Its one outcome; its bytes and ids are deleted. False: it is over, or the claim is not the worker's.

        The record of it stays for ``ledger.keep``.
        """
        with self._engine.begin() as connection:
            row = claims.locked(connection, id, worker)
            if row is None:
                return False
            over = {"state": HoldState.OVER, "outcome": outcome, "ended": now, "worker": None, "lease": None}
            said = bounded("; ".join(filter(None, (row.detail, detail))), MESSAGE)
            connection.execute(update(holds).where(holds.c.seq == row.seq).values(over | {"detail": said}))
            for table in (hold_bytes, hold_ids):
                connection.execute(delete(table).where(table.c.hold == row.seq))
        return True

    def awaiting(self, url: str, now: datetime) -> int:
        """Holds to be judged that wait for this URL are due now; how many. Without any it takes no lock."""
        waits = select(hold_ids.c.hold).where(hold_ids.c.key == url_key(url), hold_ids.c.kind == "url")
        with self._reading.begin() as connection:
            seqs = list(connection.scalars(waits))
        if not seqs:
            return 0
        late = holds.c.seq.in_(seqs) & (holds.c.state == HoldState.JUDGING) & (holds.c.due > now)
        with self._engine.begin() as connection:
            found = claims.locked_all(connection, late)
            return connection.execute(update(holds).where(holds.c.seq.in_(found)).values(due=now)).rowcount

    def pending_concerning(self, ids: Sequence[str]) -> list[Pending]:
        """Pending holds that give one of these ids, in the order of their arrival."""
        with self._reading.begin() as connection:
            return hold_reading.concerning(connection, ids)

    def pending_ids(self) -> dict[str, tuple[str, ...]]:
        """Every pending hold, with the :func:`addons.ledger.clean.key` of each id that it gives."""
        with self._reading.begin() as connection:
            return hold_reading.giving(connection)

    def totals(self) -> Totals:
        """What is pending, counted."""
        with self._reading.begin() as connection:
            return hold_reading.totals(connection)

    def get(self, id: str) -> HoldRecord | None:
        """The hold of that id, over or not."""
        with self._reading.begin() as connection:
            return hold_reading.record(connection, id)

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()


def _one_at_a_time(connection: Connection) -> None:
    # Bounds and the order of arrival hold over many processes only where one puts after the other, as on SQLite.
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})


def _known(connection: Connection, id: str) -> bool:
    return bool(connection.scalar(select(func.count()).where(holds.c.id == id)))


def _await(connection: Connection, seq: int, urls: Sequence[str]) -> None:
    connection.execute(delete(hold_ids).where(hold_ids.c.hold == seq, hold_ids.c.kind == "url"))
    if rows := url_rows(urls, seq):
        connection.execute(insert(hold_ids), rows)
