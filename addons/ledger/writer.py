"""The one thread that writes the ledger: small batches, patience when the database fails, pruning in between."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial

from sqlalchemy import URL
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, StatementError

from addons.ledger.errors import explained
from addons.ledger.pending import Pending
from addons.ledger.store import Store

BATCH = 100
"""Entries in one transaction."""
BATCH_BYTES = 4 << 20
"""About how many bytes of entries in one transaction."""
LINGER = 0.05
"""Seconds from the first entry until its batch is written."""
COUNT_EVERY = 10.0
"""Seconds between two writings of the counters."""
PRUNE_EVERY = 600.0
"""Seconds between two prunings (the first comes at once)."""
BACKOFF = (0.1, 5.0)
"""Seconds until the first and the last of the tries after trouble; they double in between."""

log = logging.getLogger(__name__)


class Writer:
    """Drains ``pending`` into ``store`` until it is told to stop, then what is left.

    ``trouble`` is empty while all is well, else it says why nothing can be written.
    """

    def __init__(self, store: Store, pending: Pending, url: URL, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._pending = pending
        self._url = url
        self._clock = clock
        self._stop = threading.Event()
        self._end = False
        self._policies: dict[str, tuple[datetime, Mapping[str, object]]] = {}
        self._next_count = 0.0
        self._next_prune = 0.0
        self.trouble = ""
        self._thread = threading.Thread(target=self._run, name="fediward-ledger", daemon=True)
        self._thread.start()

    def note_policy(self, version: str, rules: Mapping[str, object]) -> None:
        """Have the rules of a policy version written, before the entries that follow."""
        self._policies[version] = (self._clock(), rules)
        self._pending.wake.set()

    def stop(self, timeout: float) -> bool:
        """Write what waits, for at most ``timeout`` seconds; False where something was given up."""
        self._pending.close()
        self._stop.set()
        self._thread.join(timeout)
        self._end = True
        lost = self._pending.give_up() if self._thread.is_alive() else 0
        if lost:
            log.error("%s; %d decisions were not written", self.trouble or "the ledger is too slow", lost)
        return not lost and not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._loop()
        finally:
            # Here, not in stop(): that may have given up waiting while a connection is still in use.
            self._store.engine.dispose()

    def _loop(self) -> None:
        pause = 0.0
        while not self._end:
            if pause:
                self._stop_or_sleep(pause)
            elif not self._stop.is_set():
                self._pending.wake.wait(1.0)
                self._stop.wait(LINGER)
            self._pending.wake.clear()
            ending = self._stop.is_set()
            try:
                self._work()
            except Exception as error:  # whatever it is, the thread must live on and say so
                pause = min(max(BACKOFF[0], pause * 2), BACKOFF[1])
                self._report(error)
                continue
            pause = 0.0
            if self.trouble:
                log.warning("the ledger can be written again")
                self.trouble = ""
            # Told to stop meanwhile, it goes round once more, for what was counted since.
            if ending and not len(self._pending):
                break

    def _stop_or_sleep(self, pause: float) -> None:
        # Once told to stop there is little time left: try often.
        if self._stop.is_set():
            time.sleep(BACKOFF[0])
        else:
            self._stop.wait(pause)

    def _work(self) -> None:
        now = time.monotonic()
        while self._policies:
            version, (at, rules) = next(iter(self._policies.items()))
            self._keep_or_skip(partial(self._store.insert_policy, version, at, rules))
            del self._policies[version]
        self._drain()
        if now >= self._next_count or self._stop.is_set():
            self._write_counts()
            self._next_count = now + COUNT_EVERY
        if now >= self._next_prune and not self._stop.is_set():
            # One batch a turn: entries go before old rows.
            if self._store.prune_batch(self._clock()) or self._store.give_back():
                self._pending.wake.set()
            else:
                self._next_prune = now + PRUNE_EVERY

    def _drain(self) -> None:
        while (batch := self._pending.first(BATCH, BATCH_BYTES)) and not self._end:
            lost = 0
            if not self._keep_or_skip(partial(self._store.insert, batch)):
                # One that the database can never take must not hold up the others.
                lost = sum(not self._keep_or_skip(partial(self._store.insert, [entry])) for entry in batch)
            self._pending.done(len(batch), lost)

    def _keep_or_skip(self, write: Callable[[], None]) -> bool:
        try:
            write()
        except Exception as error:
            if not _hopeless(error):
                raise
            log.error("the ledger cannot take a record: %s", explained(self._url, error))
            return False
        return True

    def _write_counts(self) -> None:
        if counts := self._pending.take_counts():
            try:
                self._store.add_counts(counts)
            except Exception:
                self._pending.put_back(counts)
                raise

    def _report(self, error: Exception) -> None:
        told = str(explained(self._url, error))
        if not self.trouble:
            log.error("%s (%d decisions wait)", told, len(self._pending))
        self.trouble = told


def _hopeless(error: Exception) -> bool:
    """Whether trying again is in vain: it is the value that is wrong, not the database."""
    if not isinstance(error, DBAPIError):
        return isinstance(error, StatementError | ValueError | TypeError | OverflowError)
    # Classes 22 (data), 23 (integrity) and 54 (too large for an index row, say); psycopg calls 54 operational.
    state = str(getattr(error.orig, "sqlstate", None) or "")
    return isinstance(error, DataError | IntegrityError) or state[:2] in ("22", "23", "54")
