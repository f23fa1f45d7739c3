"""The ledger as doors use it: hand over an entry and go on; a thread of its own writes it."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self

from sqlalchemy import URL

from addons.ledger.database import BUSY, engine_for, parsed
from addons.ledger.denials import Denials
from addons.ledger.entry import Entry, utc_now
from addons.ledger.errors import explained
from addons.ledger.holds import BUSY as HOLD_BUSY
from addons.ledger.holds import Holds, hold_engine
from addons.ledger.pending import Pending
from addons.ledger.schema import upgrade
from addons.ledger.secrets import Secrets
from addons.ledger.standings import Standings
from addons.ledger.store import Store
from addons.ledger.writer import Writer

KEEP = timedelta(days=90)
"""How long decisions and counters are kept."""
KEEP_DROPPED = timedelta(days=7)
"""How long the JSON of dropped activities is kept."""
DROPPED_BYTES = 512 << 20
"""How many bytes of it, compressed: a flood of large activities must not fill the disk."""
QUEUE = 10_000
"""Entries that may wait to be written."""
QUEUE_BYTES = 64 << 20
"""About how many bytes of memory they may take."""


HELD = "held"
"""What is counted instead of a door, where a held delivery is decided."""

type Counted = Callable[[str, str, str | None, str | None, float | None], None]
"""Door, action, rule, cause, and the seconds it took where something was judged."""


def _nobody(door: str, action: str, rule: str | None, cause: str | None, seconds: float | None) -> None:
    """Nobody counts."""


class Ledger:
    """An open ledger. Make it with :meth:`open`; all methods may be called from any thread."""

    def __init__(self, url: URL, store: Store, holds: Holds, pending: Pending, clock: Callable[[], datetime]) -> None:
        self._url = url
        self._store = store
        self._pending = pending
        self._clock = clock
        self.standings = Standings(store.engine, clock)
        """The block set, and what admins allowed."""
        self.secrets = Secrets(store.engine, clock)
        """Keys of this installation."""
        self.holds = holds
        """Deliveries that wait to be judged or replayed."""
        self.denials = Denials(store.engine)
        """Hosts and actors that rules denied for a while."""
        self._writer = Writer(store, pending, url, clock)
        self.counted: Counted = _nobody
        """Is told of every decision of every door, as it is handed over: the metrics."""

    @classmethod
    def open(
        cls,
        url: str,
        *,
        keep: timedelta = KEEP,
        keep_dropped: timedelta = KEEP_DROPPED,
        dropped_bytes: int = DROPPED_BYTES,
        queue: int = QUEUE,
        queue_bytes: int = QUEUE_BYTES,
        busy: float = BUSY,
        clock: Callable[[], datetime] = utc_now,
    ) -> "Ledger":
        """Open the ledger at ``url`` (``sqlite:///FILE`` or ``postgresql://…``), making or upgrading its tables.

        ``busy``: seconds to wait for another process's lock. Raises LedgerError, which says what to do.
        """
        address = parsed(url)
        engine = engine_for(address, busy=busy)
        try:
            upgrade(engine, address)
        except BaseException:
            engine.dispose()
            raise
        store = Store(engine, keep, keep_dropped, dropped_bytes)
        holds = Holds(hold_engine(address, min(busy, HOLD_BUSY)), clock)
        return cls(address, store, holds, Pending(queue, queue_bytes), clock)

    def write(self, entry: Entry) -> bool:
        """Hand ``entry`` over to be written; never waits. False, and one more :attr:`lost`, where the queue is full."""
        # A hold was counted when it came in; what becomes of it is no second delivery.
        door = entry.door if entry.hold is None else HELD
        self.counted(door, entry.action, entry.rule, entry.cause, entry.took_ms / 1000)
        return self._pending.put(entry)

    def count(self, door: str, action: str, *, rule: str | None = None, cause: str | None = None) -> None:
        """Count a delivery that is not written (it has no media): by day, door and action."""
        self.counted(door, action, rule, cause, None)
        self._pending.count(self._clock().date(), door, action)

    def note_policy(self, version: str, rules: Mapping[str, object]) -> None:
        """Remember what each rule of a policy version asks (name to its ``when:`` as JSON): ``explain`` shows it."""
        self._writer.note_policy(version, rules)

    @property
    def lost(self) -> int:
        """Entries that were refused because the queue was full, or given up."""
        return self._pending.lost

    @property
    def waiting(self) -> int:
        """Entries that wait to be written."""
        return len(self._pending)

    @property
    def healthy(self) -> bool:
        """Whether the last try to write went well."""
        return not self._writer.trouble

    @property
    def trouble(self) -> str:
        """Why it is not healthy, for a person; empty when it is."""
        return self._writer.trouble

    def prune(self, now: datetime) -> int:
        """Delete all that is older than it is kept, in small transactions; how many rows. The writer does it by itself.

        Raises LedgerError.
        """
        total = 0
        try:
            while rows := self._store.prune_batch(now):
                total += rows
            while self._store.give_back():
                pass
        except Exception as error:
            raise explained(self._url, error) from error
        return total

    def close(self, timeout: float = 5.0) -> bool:
        """Write what waits, for at most ``timeout`` seconds, and end; False where something could not be written."""
        self.holds.close()
        return self._writer.stop(timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
