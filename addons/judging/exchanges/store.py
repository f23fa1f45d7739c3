"""What is known of one exchange from one fetch to the next: its hashes by record and its checkpoint, in a SQLite file.

Records and the checkpoint that stands for them are committed together, so that a crash at any point loses nothing.
Fetching afresh is a new generation: what the old one had counts until the new one is complete.
"""

import hashlib
import itertools
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self

from classifier.hashlists.entries import Kind
from classifier.hashlists.parsing import MAX_FIELD, Entry, entry_of
from classifier.hashlists.reading import MAX_ENTRIES

BUSY = 5.0
"""Seconds to wait for another process that reads or writes the file."""
_MAX_KEY = 200

_SCHEMA = """
CREATE TABLE IF NOT EXISTS state (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS hashes (
    kind TEXT, hash BLOB, record TEXT, generation INTEGER, note TEXT, PRIMARY KEY (kind, hash, record)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS hashes_by_record ON hashes (record);
"""


class Found(NamedTuple):
    """One hash of a record: hex digits, and a remark for who asks why a picture matched."""

    kind: Kind
    hash: str
    note: str


class TooManyError(Exception):
    """An exchange has more hashes than a list can hold."""


class Store:
    """One exchange's state. Belongs to one thread; any number of processes may look, one at a time fetches."""

    def __init__(self, path: Path, *, most: int = MAX_ENTRIES) -> None:
        """Open or make the file. Raises sqlite3.Error."""
        self._db = sqlite3.connect(path, timeout=BUSY, isolation_level=None)
        self._most = most
        try:
            self._db.executescript(_SCHEMA)
            self._count: int = self._db.execute("SELECT count(*) FROM hashes").fetchone()[0]
        except BaseException:
            self._db.close()
            raise

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._db.close()

    def __len__(self) -> int:
        """Hashes, each counted for every record that has it."""
        return self._count

    @property
    def checkpoint(self) -> str | None:
        """Where the last fetch came to, as the exchange's kind wrote it."""
        value = self._get("checkpoint")
        return value if isinstance(value, str) else None

    @property
    def origin(self) -> str | None:
        """Which database the hashes are from."""
        value = self._get("origin")
        return value if isinstance(value, str) else None

    @property
    def fetched_at(self) -> float | None:
        """When a fetch was last complete: seconds since 1970."""
        value = self._get("fetched_at")
        return value if isinstance(value, float) else None

    @property
    def trouble(self) -> str:
        """Why fetching has failed since; "" if it has not."""
        return str(self._get("trouble") or "")

    @property
    def unwritten(self) -> bool:
        """Whether the list's file is older than the hashes here."""
        return bool(self._get("unwritten"))

    def afresh(self, origin: str) -> None:
        """Begin a new generation, from ``origin``."""
        with self._transaction():
            self._set(generation=self._generation + 1, checkpoint=None, origin=origin)

    def take(self, updates: Mapping[str, Sequence[Found] | None], checkpoint: str | None) -> None:
        """Put in the records (None: deleted) and where the fetch has come to, both or neither.

        Raises TooManyError. A hash that a list could not hold is left out.
        """
        count = self._count
        with self._transaction():
            generation = self._generation
            for key, found in updates.items():
                record = key if len(key) <= _MAX_KEY else hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()
                self._count -= self._db.execute("DELETE FROM hashes WHERE record = ?", (record,)).rowcount
                rows = {
                    (entry.kind, entry.hash): (entry.kind, entry.hash, record, generation, entry.note)
                    for one in found or ()
                    if isinstance(entry := entry_of(one.kind, one.hash, note=one.note[:MAX_FIELD]), Entry)
                }
                self._db.executemany("INSERT INTO hashes VALUES (?, ?, ?, ?, ?)", rows.values())
                self._count += len(rows)
                if self._count > self._most:
                    self._count = count
                    raise TooManyError(f"it has more than {self._most} hashes")
            self._set(checkpoint=checkpoint, **({"unwritten": 1} if updates else {}))

    def complete(self, now: float) -> None:
        """All has been fetched, at ``now`` (seconds since 1970): what only an older generation had is gone."""
        with self._transaction():
            gone = self._db.execute("DELETE FROM hashes WHERE generation < ?", (self._generation,)).rowcount
            self._count -= gone
            self._set(fetched_at=now, trouble=None, **({"unwritten": 1} if gone else {}))

    def failed(self, trouble: str) -> None:
        """Note why a fetch was not completed."""
        with self._transaction():
            self._set(trouble=trouble)

    @property
    def listed(self) -> int:
        """Entries in the list's file, as it was last written."""
        return int(str(self._get("listed") or 0))

    def written(self, listed: int) -> None:
        """The list's file has all that is here, in so many entries."""
        with self._transaction():
            self._set(unwritten=None, listed=listed)

    def entries(self, source: str) -> Iterator[Entry]:
        """All hashes as a list has them, each once, with the remarks of all its records."""
        rows = self._db.execute("SELECT kind, hash, note FROM hashes ORDER BY kind, hash, record")
        for (kind, digest), same in itertools.groupby(rows, key=lambda row: (row[0], row[1])):
            notes = "; ".join(dict.fromkeys(row[2] for row in same if row[2]))
            yield Entry(kind, digest, source, notes[:MAX_FIELD])

    @property
    def _generation(self) -> int:
        return int(str(self._get("generation") or 0))

    def _transaction(self) -> sqlite3.Connection:
        self._db.execute("BEGIN IMMEDIATE")
        return self._db

    def _get(self, key: str) -> object:
        row = self._db.execute("SELECT value FROM state WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def _set(self, **values: str | float | None) -> None:
        self._db.executemany("INSERT OR REPLACE INTO state VALUES (?, ?)", values.items())
