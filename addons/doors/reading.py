"""Reads large bodies in a few threads, and lets no one sender have all of them."""

import asyncio
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

THREADS = 2
PER_SENDER = 8
"""Bodies of one sender that may be read or wait at a time."""
WAITING = 64
"""Bodies of all senders together."""


class ReadersBusyError(Exception):
    """Too many bodies are waiting to be read: the cause ``busy``."""


class Readers:
    """A few threads for work that would hold up every other connection on the event loop.

    What nobody waits for any more is not begun; what is begun goes on, and counts until its end.
    """

    def __init__(self, threads: int = THREADS, per_sender: int = PER_SENDER, waiting: int = WAITING) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="reading")
        self._per_sender, self._waiting = per_sender, waiting
        self._pending: Counter[str] = Counter()

    async def read[T](self, sender: str, work: Callable[[], T]) -> T:
        """The result of ``work``, done in a thread. Raises ReadersBusyError, and whatever ``work`` raises."""
        if self._pending.total() >= self._waiting or self._pending[sender] >= self._per_sender:
            raise ReadersBusyError(f"{self._pending[sender]} bodies of this sender are being read already")
        self._pending[sender] += 1
        loop = asyncio.get_running_loop()
        future = self._pool.submit(work)

        def done(_: Future[T]) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._done, sender)

        future.add_done_callback(done)
        return await asyncio.wrap_future(future)

    def _done(self, sender: str) -> None:
        self._pending[sender] -= 1
        if self._pending[sender] <= 0:
            del self._pending[sender]

    def close(self) -> None:
        """Begin nothing more; what is begun ends by itself."""
        self._pool.shutdown(wait=False, cancel_futures=True)
