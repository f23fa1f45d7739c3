"""The block set and what admins allowed, in the ledger's database: shared by all doors of all processes, asked anew."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import Connection, Engine, delete, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from addons.fetching.data_urls import is_data_url
from addons.fetching.urls import UrlRefusedError, parse
from addons.ledger.clean import bounded, bounded_url, key
from addons.ledger.database import READS
from addons.ledger.entry import MESSAGE, NAME, URL, utc_now
from addons.ledger.tables import media, standings
from addons.policy.words import Action, Standing

type Kind = Literal["url", "sha256"]

_LOOKS = 1000
"""Media of allowed bytes that are compared by their looks."""
_AT_ONCE = 200
"""Keys asked in one statement."""
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Place:
    """What a standing may be of: a URL, the SHA-256 of the bytes that it gave, where redirects led (None: not known).

    ``sha256`` may be the digest of a file known in parts (``parts:…``): that is no file's, and nothing stands of it.
    """

    url: str | None
    sha256: str | None = None
    final_url: str | None = None


class Standings:
    """All methods wait for the database (some 1 ms): call them in a thread. They raise SQLAlchemy's errors."""

    def __init__(self, engine: Engine, clock: Callable[[], datetime] = utc_now) -> None:
        self._engine = engine
        self._reading = engine.execution_options(**READS)
        self._clock = clock

    def of(self, places: Sequence[Place]) -> list[Standing | None]:
        """The standing of each place. Bytes go before a URL, and what is allowed before what is blocked."""
        keys = {place: _keys(place) for place in places}
        wanted = sorted({one for every in keys.values() for one in every})
        if not wanted:
            return [None] * len(places)
        found: dict[tuple[Kind, str], Standing] = {}
        with self._reading.begin() as connection:
            for start in range(0, len(wanted), _AT_ONCE):
                found |= _ask(connection, wanted[start : start + _AT_ONCE])
        return [_best(found.get(one) for one in keys[place]) for place in places]

    def allowed_by(self, by: str) -> list[str]:
        """The SHA-256s that were allowed when the decision ``by`` was undone."""
        mine = select(standings.c.key).where(standings.c.by == bounded(by, NAME), standings.c.allowed)
        with self._reading.begin() as connection:
            return list(connection.scalars(mine.order_by(standings.c.key)))

    def allowed_looks(self) -> list[tuple[str, list[str]]]:
        """What allowed bytes look like: for each of the newest, the decision that was undone and its frames' PDQs."""
        looks = (
            select(standings.c.by, standings.c.key, media.c.frames)
            .join_from(standings, media, media.c.sha256 == standings.c.key)
            .where(standings.c.kind == "sha256", standings.c.allowed)
            .order_by(standings.c.at.desc())
            .limit(_LOOKS)
        )
        with self._reading.begin() as connection:
            rows = connection.execute(looks).all()
        found = {row.key: (row.by, [one["pdq"] for one in row.frames if one.get("pdq")]) for row in rows}
        return [(by, pdqs) for by, pdqs in found.values() if pdqs]

    def block(self, places: Iterable[Place], action: Action, by: str) -> None:
        """Put them on the block set for the decision ``by``, committed; what is allowed stays allowed."""
        self._put(places, allowed=False, action=action, by=by, note="")

    def allow(self, sha256: Iterable[str], by: str, note: str = "") -> None:
        """Let these bytes pass everywhere: ``by`` is the id of the decision that was undone, ``note`` says why."""
        self._put([Place(None, one) for one in sha256], allowed=True, action=Action.PASS, by=by, note=note)

    def unblock(self, places: Iterable[Place]) -> int:
        """Take URLs and bytes off the block set; how many entries went."""
        return self._delete(places, allowed=False)

    def disallow(self, sha256: Iterable[str]) -> int:
        """Take allowances back, so that rules decide on these bytes again; how many there were."""
        return self._delete([Place(None, one) for one in sha256], allowed=True)

    def _delete(self, places: Iterable[Place], *, allowed: bool) -> int:
        gone = 0
        # In order, as _put: two that lock the same rows of PostgreSQL must not wait for each other.
        keys = sorted({each for place in places for each in _keys(place)})
        with self._engine.begin() as connection:
            for kind, one in keys:
                same = (standings.c.kind == kind) & (standings.c.key == one) & (standings.c.allowed == allowed)
                gone += connection.execute(delete(standings).where(same)).rowcount
        return gone

    def _put(self, places: Iterable[Place], *, allowed: bool, action: Action, by: str, note: str) -> None:
        shared = {
            "allowed": allowed,
            "action": str(action),
            "by": bounded(by, NAME),
            "at": self._clock(),
            "note": bounded(note, MESSAGE),
        }
        rows = {
            (kind, one): {**shared, "kind": kind, "key": one, "value": value}
            for place in places
            for (kind, one), value in _keys(place).items()
        }
        if not rows:
            return
        with self._engine.begin() as connection:
            new = (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(standings)
            changed = {name: new.excluded[name] for name in (*shared, "value")}
            # A block never undoes what an admin allowed.
            statement = new.on_conflict_do_update(
                index_elements=["kind", "key"], set_=changed, where=None if allowed else ~standings.c.allowed
            )
            connection.execute(statement, [rows[each] for each in sorted(rows)])


def _keys(place: Place) -> dict[tuple[Kind, str], str]:
    """Each key with what it stands for, to be shown; the bytes' first."""
    found: dict[tuple[Kind, str], str] = {}
    if place.sha256 and _SHA256.fullmatch(place.sha256):
        found["sha256", place.sha256] = place.sha256
    # Of where a data: URL "led" only the beginning is known, which others share.
    led = None if place.final_url is None or is_data_url(place.final_url) else place.final_url
    for url in (place.url, led):
        if url:
            found["url", key(plain(url))] = bounded_url(url, URL)
    return found


def plain(url: str) -> str:
    """A URL in the one form that all who fetch it share: without fragment, its host in lower case and ASCII."""
    try:
        return parse(url).url
    except UrlRefusedError:
        return url


def _ask(connection: Connection, wanted: Sequence[tuple[Kind, str]]) -> dict[tuple[Kind, str], Standing]:
    by_kind = {kind: [one for each, one in wanted if each == kind] for kind in ("sha256", "url")}
    rows = connection.execute(
        select(standings.c.kind, standings.c.key, standings.c.by, standings.c.allowed, standings.c.action).where(
            or_(*((standings.c.kind == kind) & standings.c.key.in_(keys) for kind, keys in by_kind.items() if keys))
        )
    )
    return {(row.kind, row.key): Standing(row.by, row.allowed, Action(row.action)) for row in rows}


def _best(found: Iterable[Standing | None]) -> Standing | None:
    there = [one for one in found if one is not None]
    return next((one for one in there if one.allowed), there[0] if there else None)
