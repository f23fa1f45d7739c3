"""The SQL of claims on holds: which come next, taking them, and what may be done only by who has one."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, exists, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from addons.ledger.held import Held, HoldState, SignerState
from addons.ledger.hold_rows import PENDING, held_of
from addons.ledger.tables import hold_bytes, hold_ids, hold_turn, holds


def next_turn(connection: Connection, share: str, state: SignerState) -> int:
    """The turn of what a share adds now: after its others, but not before what others were given long ago.

    That is fair queueing by start times: each share's holds stand one turn apart, and one that comes new begins at the
    turn that was served last. So claims in order of the turn go round the shares, and a flood waits behind itself.
    Shares of the unverified, which anyone may have many of, stand one turn behind each other: together they have the
    turns of one.
    """
    mine = holds.c.state.in_(PENDING) & (holds.c.share == share)
    last = connection.scalar(select(func.max(holds.c.turn)).where(mine))
    now = connection.scalar(select(hold_turn.c.turn)) or 0
    turn = int(now if last is None else max(now, last + 1))
    if state != "unverified":
        return turn
    others = holds.c.state.in_(PENDING) & (holds.c.signer_state == state) & (holds.c.share != share)
    return turn + (connection.scalar(select(func.count(holds.c.share.distinct())).where(others)) or 0)


def claim(
    connection: Connection,
    states: Collection[HoldState],
    worker: str,
    now: datetime,
    lease: timedelta,
    limit: int,
    *,
    closing: bool,
) -> list[Held]:
    """Take at most ``limit`` holds whose turn it is, in that order."""
    wanted = _free(states, now).where(holds.c.closes <= now) if closing else _free(states, now)
    with _in_order_of_the_index(connection):
        taken: Sequence[Row[Any]] = connection.execute(wanted.limit(limit)).all()
    if not taken:
        return []
    order = [row.seq for row in sorted(taken, key=lambda row: (row.turn, row.seq))]
    found = _held(connection, order)
    mine = holds.c.seq.in_(order)
    connection.execute(
        update(holds).where(mine).values(worker=worker, lease=now + lease, attempts=holds.c.attempts + 1)
    )
    _advance(connection, max(row.turn for row in taken))
    return [found[seq] for seq in order if seq in found]


@contextmanager
def _in_order_of_the_index(connection: Connection) -> Iterator[None]:
    """Keep PostgreSQL from collecting and sorting all that is due, and asking for each what blocks it, to take eight.

    It does that where its statistics are from before a flood: 150 ms for 10,000 holds instead of 1. The end of the
    transaction undoes this in any case.
    """
    plans = ("enable_bitmapscan", "enable_sort") if connection.dialect.name == "postgresql" else ()
    for name in plans:
        connection.exec_driver_sql(f"SET LOCAL {name} = off")
    yield
    for name in plans:
        connection.exec_driver_sql(f"SET LOCAL {name} = on")


def _free(states: Collection[HoldState], now: datetime) -> Select[Any]:
    free = and_(holds.c.due <= now, or_(holds.c.lease.is_(None), holds.c.lease <= now))
    wanted: list[ColumnElement[bool]] = [holds.c.state == state for state in states if state != HoldState.REPLAYING]
    if HoldState.REPLAYING in states:
        # One whose window closes is not kept back: late in order is better than never.
        wanted.append(and_(holds.c.state == HoldState.REPLAYING, or_(holds.c.closes <= now, ~_blocked())))
    return (
        select(holds.c.seq, holds.c.turn)
        .where(holds.c.state.in_(list(states)), free, or_(*wanted))
        .order_by(holds.c.turn, holds.c.seq)
        .with_for_update(skip_locked=True, of=holds)  # SQLite has one writer at a time anyway
    )


def _blocked() -> ColumnElement[bool]:
    """Whether an earlier pending hold gives what this one needs; only verified ones wait, and are waited for."""
    needs, gives, earlier = hold_ids.alias(), hold_ids.alias(), holds.alias()
    return and_(
        holds.c.signer_state == "verified",
        exists().where(
            needs.c.hold == holds.c.seq,
            needs.c.kind == "needs",
            gives.c.key == needs.c.key,
            gives.c.kind == "gives",
            gives.c.hold < holds.c.seq,
            earlier.c.seq == gives.c.hold,
            earlier.c.signer_state == "verified",
        ),
    )


def _held(connection: Connection, seqs: Sequence[int]) -> dict[int, Held]:
    ids: dict[int, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    known = select(hold_ids.c.hold, hold_ids.c.kind, hold_ids.c.value).where(hold_ids.c.hold.in_(seqs))
    for one in sorted(connection.execute(known).all(), key=lambda row: row.value):
        ids[one.hold][one.kind].append(one.value)
    whole = select(holds, hold_bytes.c.head, hold_bytes.c.body).join(hold_bytes, hold_bytes.c.hold == holds.c.seq)
    rows = connection.execute(whole.where(holds.c.seq.in_(seqs))).all()
    return {row.seq: held_of(row, ids[row.seq]) for row in rows}


def _advance(connection: Connection, turn: int) -> None:
    new = (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(hold_turn)
    forward = new.on_conflict_do_update(
        index_elements=["one"], set_={"turn": new.excluded.turn}, where=hold_turn.c.turn < new.excluded.turn
    )
    connection.execute(forward, {"one": 1, "turn": turn})


def locked(connection: Connection, id: str, worker: str | None) -> Row[Any] | None:
    """The pending hold of that id, kept from changing until the transaction ends; None where it is over or not there.

    With a ``worker`` only while that one has the claim: its lease may have run out, but nobody has taken it over.
    """
    mine = holds.c.id == id
    if worker is not None:
        mine = mine & (holds.c.worker == worker)
    row = connection.execute(select(holds).where(mine).with_for_update()).one_or_none()
    return None if row is None or row.state == HoldState.OVER else row


def locked_all(connection: Connection, which: ColumnElement[bool]) -> list[int]:
    """The numbers of the pending holds of which this is true, kept from changing until the transaction ends.

    In their order, so that two who lock the same ones of PostgreSQL never wait for each other.
    """
    wanted = select(holds.c.seq).where(which, holds.c.state.in_(PENDING)).order_by(holds.c.seq)
    return list(connection.scalars(wanted.with_for_update()))
