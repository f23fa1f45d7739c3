"""Find decisions in a ledger without changing it: what ``fediward log`` and ``fediward explain`` ask."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from types import TracebackType
from typing import Any, Self

from sqlalchemy import URL, Connection, Engine, Select, select

from addons.ledger import denials, hold_reading
from addons.ledger.clean import bounded, bounded_url, key
from addons.ledger.database import BUSY, engine_for, must_exist, parsed
from addons.ledger.entry import BODY, ID, Entry
from addons.ledger.entry import URL as URL_LENGTH
from addons.ledger.errors import LedgerError, explained
from addons.ledger.held import HoldRecord, Totals
from addons.ledger.rows import entry_of
from addons.ledger.schema import check
from addons.ledger.tables import counters, decisions, dropped, media, policies


@dataclass(frozen=True, slots=True)
class Search:
    """Which decisions: all that is set must hold. ``since`` is inclusive, ``until`` exclusive; ``sha256``, ``url``
    and media fields hold for any one of a decision's media; the newest ``limit`` of them."""

    door: str | None = None
    action: str | None = None
    rule: str | None = None
    cause: str | None = None
    host: str | None = None
    actor: str | None = None
    activity_id: str | None = None
    sha256: str | None = None
    url: str | None = None
    hold: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class Counted:
    """How many deliveries without media a door gave one action on one day (UTC)."""

    day: date
    door: str
    action: str
    count: int


@dataclass(frozen=True, slots=True)
class Kept:
    """A dropped activity's JSON (embedded files taken out), and since when it is kept."""

    at: datetime
    body: bytes


class Reader:
    """A ledger open for reading only. Make it with :meth:`open`; every method raises LedgerError."""

    def __init__(self, engine: Engine, url: URL) -> None:
        self._engine = engine
        self._url = url

    @classmethod
    def open(cls, url: str, *, busy: float = BUSY) -> "Reader":
        """Open the ledger at ``url``. Raises LedgerError where there is none: it makes and upgrades nothing."""
        address = parsed(url)
        must_exist(address)
        reader = cls(engine_for(address, busy=busy, read_only=True), address)
        try:
            with reader._connected() as connection:
                check(connection, address)
        except BaseException:
            reader.close()
            raise
        return reader

    def find(self, search: Search) -> list[Entry]:
        """The newest decisions that ``search`` asks for, oldest first, without bodies."""
        newest = _asked(search).order_by(decisions.c.at.desc(), decisions.c.id.desc()).limit(search.limit)
        with self._connected() as connection:
            return [self._with_media(connection, row) for row in reversed(connection.execute(newest).all())]

    def get(self, id: str) -> Entry | None:
        """The decision with this id."""
        with self._connected() as connection:
            row = connection.execute(select(decisions).where(decisions.c.id == bounded(id, ID))).one_or_none()
            return None if row is None else self._with_media(connection, row)

    def kept(self, id: str) -> Kept | None:
        """The dropped activity of the decision with this id, while it is kept."""
        with self._connected() as connection:
            row = connection.execute(select(dropped).where(dropped.c.decision_id == bounded(id, ID))).one_or_none()
            if row is None:
                return None
            return Kept(row.at, zlib.decompressobj().decompress(row.body, 2 * BODY))

    def rules(self, version: str) -> dict[str, Any]:
        """What each rule asked under a policy version, where that was noted; empty where not."""
        with self._connected() as connection:
            rules = connection.scalar(select(policies.c.rules).where(policies.c.version == version))
            return rules if isinstance(rules, dict) else {}

    def places(self, sha256: str, limit: int = 10_000) -> list[tuple[str, str | None]]:
        """Where bytes came from: each URL as it was written, and the one it led to."""
        seen = select(media.c.url, media.c.final_url).where(media.c.sha256 == bounded(sha256, ID)).distinct()
        with self._connected() as connection:
            return [(row.url, row.final_url) for row in connection.execute(seen.limit(limit)).all()]

    def counts(self, limit: int = 1000) -> list[Counted]:
        """The counters of deliveries without media, oldest day first, the newest ``limit`` of them."""
        newest = select(counters).order_by(counters.c.day.desc(), counters.c.door, counters.c.action).limit(limit)
        with self._connected() as connection:
            return [Counted(*row) for row in reversed(connection.execute(newest).all())]

    def hold(self, id: str) -> HoldRecord | None:
        """The held delivery of that id, over or not."""
        with self._connected() as connection:
            return hold_reading.record(connection, id)

    def holds(self, limit: int, *, over: bool = False) -> list[HoldRecord]:
        """The newest ``limit`` held deliveries, oldest first; with ``over`` also those that are over."""
        with self._connected() as connection:
            return hold_reading.records(connection, limit, over=over)

    def hold_totals(self) -> Totals:
        """What is held now, counted."""
        with self._connected() as connection:
            return hold_reading.totals(connection)

    def held_request(self, id: str) -> tuple[bytes, bytes] | None:
        """The head and body of a held delivery, while it is held."""
        with self._connected() as connection:
            return hold_reading.request(connection, id)

    def denied(self, now: datetime, limit: int) -> list[denials.Denied]:
        """The hosts and actors that rules have denied for a while, those that are denied longest first."""
        with self._connected() as connection:
            return denials.current(connection, now, limit)

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except LedgerError:
            raise
        except Exception as error:
            raise explained(self._url, error) from error

    def _with_media(self, connection: Connection, row: Any) -> Entry:
        mine = select(media).where(media.c.decision_id == row.id).order_by(media.c.index)
        return entry_of(row, connection.execute(mine).all())


def _asked(search: Search) -> Select[Any]:
    found = select(decisions)
    for name in ("door", "action", "rule", "cause", "host", "hold"):
        if (value := getattr(search, name)) is not None:
            found = found.where(decisions.c[name] == bounded(value, ID))
    if search.actor is not None:
        found = found.where(decisions.c.actor_key == key(bounded(search.actor, ID)))
    if search.activity_id is not None:
        found = found.where(decisions.c.activity_key == key(bounded(search.activity_id, ID)))
    if search.since is not None:
        found = found.where(decisions.c.at >= search.since)
    if search.until is not None:
        found = found.where(decisions.c.at < search.until)
    pictures = select(media.c.decision_id)
    if search.sha256 is not None:
        found = found.where(decisions.c.id.in_(pictures.where(media.c.sha256 == bounded(search.sha256, ID))))
    if search.url is not None:
        found = found.where(
            decisions.c.id.in_(pictures.where(media.c.url_key == key(bounded_url(search.url, URL_LENGTH))))
        )
    return found
