"""What waits to be written: a queue bounded in entries and bytes, and counters, safe between threads."""

import threading
from collections import deque
from collections.abc import Mapping
from datetime import date
from itertools import islice

from addons.ledger.entry import Entry


class Pending:
    """Entries wait here in order; one that is taken counts against the bounds until it is done with.

    ``entries`` and ``size`` are the bounds: how many, and about how many bytes of memory.
    """

    def __init__(self, entries: int, size: int) -> None:
        self._lock = threading.Lock()
        self._queue: deque[tuple[Entry, int]] = deque()
        self._entries = entries
        self._size = size
        self._held = 0
        self._open = True
        self._counts: dict[tuple[date, str, str], int] = {}
        self.lost = 0
        """Entries that were refused, or given up."""
        self.wake = threading.Event()
        """Set when there is something to write."""

    def put(self, entry: Entry) -> bool:
        """Add ``entry``; False, and one more lost, where there is no room or it is closed. Never waits."""
        weight = entry.weight
        with self._lock:
            if not self._open or len(self._queue) >= self._entries or self._held + weight > self._size:
                self.lost += 1
                return False
            self._queue.append((entry, weight))
            self._held += weight
        if not self.wake.is_set():
            self.wake.set()
        return True

    def first(self, count: int, size: int) -> list[Entry]:
        """The oldest entries, at most ``count`` and about ``size`` bytes of them (but one), without taking them out."""
        batch: list[Entry] = []
        with self._lock:
            for entry, weight in islice(self._queue, count):
                size -= weight
                if batch and size < 0:
                    break
                batch.append(entry)
        return batch

    def done(self, count: int, lost: int = 0) -> None:
        """Take the ``count`` oldest out, of which ``lost`` were given up (none is there after :meth:`give_up`)."""
        with self._lock:
            for _ in range(min(count, len(self._queue))):
                self._held -= self._queue.popleft()[1]
            self.lost += lost

    def count(self, day: date, door: str, action: str, number: int = 1) -> None:
        """Add to a counter."""
        key = (day, door, action)
        with self._lock:
            self._counts[key] = self._counts.get(key, 0) + number

    def take_counts(self) -> dict[tuple[date, str, str], int]:
        """All counters, which begin anew."""
        with self._lock:
            counts, self._counts = self._counts, {}
        return counts

    def put_back(self, counts: Mapping[tuple[date, str, str], int]) -> None:
        """Counters that could not be written."""
        for (day, door, action), number in counts.items():
            self.count(day, door, action, number)

    def close(self) -> None:
        """Take nothing more."""
        with self._lock:
            self._open = False
        self.wake.set()

    def give_up(self) -> int:
        """Throw away what waits, counted as lost; how many that were."""
        with self._lock:
            count = len(self._queue)
            self.lost += count
            self._queue.clear()
            self._held = 0
        return count

    def __len__(self) -> int:
        return len(self._queue)
