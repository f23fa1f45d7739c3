"""What is asked about holds without changing them: how many, which, what their ids concern."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, func, select

from addons.ledger.clean import bounded
from addons.ledger.entry import ID
from addons.ledger.held import Bounds, Full, HoldRecord, HoldState, NewHold, Pending, Totals
from addons.ledger.hold_rows import PENDING, keys_of, record_of, size
from addons.ledger.tables import hold_bytes, hold_ids, holds

SHARES = 20
"""Shares that the totals name."""


def full(connection: Connection, new: NewHold, share: str, bounds: Bounds) -> Full | None:
    """The bound that ``new`` would pass, if any."""
    own = size(new)
    by_signer = {
        row.signer_state: (row.number, row.total)
        for row in connection.execute(_sums(holds.c.signer_state).group_by(holds.c.signer_state)).all()
    }
    count, bytes = (sum(sums) for sums in zip((0, 0), *by_signer.values(), strict=True))
    if count >= bounds.count:
        return "count"
    if bytes + own > bounds.bytes:
        return "bytes"
    mine = connection.execute(_sums().where(holds.c.share == share)).one()
    # Never more than it leaves: else ten hosts of one attacker, each within its bound, would leave the others nothing.
    if mine.number >= bounds.host_count or mine.number > bounds.count - count:
        return "host_count"
    if mine.total + own > bounds.host_bytes or mine.total > bounds.bytes - bytes:
        return "host_bytes"
    if new.signer.state == "unverified":
        count, bytes = by_signer.get("unverified", (0, 0))
        if count and (count >= int(bounds.count * bounds.unverified) or bytes + own > bounds.bytes * bounds.unverified):
            return "unverified"
    return None


def totals(connection: Connection) -> Totals:
    """What is pending, counted."""
    states = connection.execute(_sums(holds.c.state).group_by(holds.c.state)).all()
    shares = _sums(holds.c.share).group_by(holds.c.share).order_by(func.count().desc(), holds.c.share).limit(SHARES)
    oldest = connection.scalar(select(func.min(holds.c.arrived)).where(holds.c.state.in_(PENDING)))
    return Totals(
        count=sum(row.number for row in states),
        bytes=sum(row.total for row in states),
        by_state={HoldState(row.state): row.number for row in states},
        oldest=oldest,
        by_share={row.share: row.number for row in connection.execute(shares).all()},
    )


def records(connection: Connection, limit: int, *, over: bool = False) -> list[HoldRecord]:
    """The newest pending holds, with ``over`` also those that are over; oldest first."""
    newest = select(holds).order_by(holds.c.seq.desc()).limit(limit)
    if not over:
        newest = newest.where(holds.c.state.in_(PENDING))
    return [record_of(row) for row in reversed(connection.execute(newest).all())]


def record(connection: Connection, id: str) -> HoldRecord | None:
    """The hold of that id."""
    row = connection.execute(select(holds).where(holds.c.id == bounded(id, ID))).one_or_none()
    return None if row is None else record_of(row)


def request(connection: Connection, id: str) -> tuple[bytes, bytes] | None:
    """The head and body of a pending hold."""
    kept = select(hold_bytes.c.head, hold_bytes.c.body).join(holds, holds.c.seq == hold_bytes.c.hold)
    row = connection.execute(kept.where(holds.c.id == bounded(id, ID))).one_or_none()
    return None if row is None else (bytes(row.head), bytes(row.body))


def concerning(connection: Connection, ids: Sequence[str]) -> list[Pending]:
    """Pending holds that give one of these ids, in the order of their arrival."""
    keys = keys_of(ids)
    gives: dict[int, list[str]] = defaultdict(list)
    found: dict[int, Any] = {}
    giving = (
        select(holds.c.id, holds.c.seq, holds.c.signer_state, holds.c.signer_host, hold_ids.c.key)
        .join(holds, holds.c.seq == hold_ids.c.hold)
        .where(hold_ids.c.kind == "gives", hold_ids.c.key.in_(list(keys)))
    )
    for row in connection.execute(giving).all():
        found[row.seq] = row
        gives[row.seq].append(keys[row.key])
    return [
        Pending(row.id, seq, row.signer_state, row.signer_host, tuple(sorted(gives[seq])))
        for seq, row in sorted(found.items())
    ]


def giving(connection: Connection) -> dict[str, tuple[str, ...]]:
    """Every pending hold's id, with the :func:`addons.ledger.clean.key` of each id that it gives: strangers choose how
    long those are."""
    every: dict[str, list[str]] = {id: [] for id in connection.scalars(_pending_ids)}
    gives = select(holds.c.id, hold_ids.c.key).join(hold_ids, hold_ids.c.hold == holds.c.seq)
    for row in connection.execute(gives.where(hold_ids.c.kind == "gives")).all():
        every.setdefault(row.id, []).append(row.key)
    return {id: tuple(keys) for id, keys in every.items()}


_pending_ids = select(holds.c.id).where(holds.c.state.in_(PENDING))


def _sums(*columns: Any) -> Select[Any]:
    number, total = func.count().label("number"), func.coalesce(func.sum(holds.c.size), 0).label("total")
    return select(*columns, number, total).where(holds.c.state.in_(PENDING))
