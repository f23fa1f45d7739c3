"""One budget of bytes for all bodies and media in memory; what does not fit is refused at once, never queued."""

import warnings
from types import TracebackType
from typing import Self


class BudgetSpentError(Exception):
    """The bytes do not fit in ``limits.memory`` just now: DESIGN.md's cause ``busy``."""


class MemoryBudget:
    """``limits.memory`` in bytes, shared by every door and fetch of this process.

    Not safe for threads: it is used on the event loop only, where nothing comes between two of its lines.
    """

    def __init__(self, limit: int) -> None:
        if limit < 1:
            raise ValueError(f"a memory budget must be at least one byte, not {limit}")
        self.limit = limit
        self._used = 0

    @property
    def used(self) -> int:
        """Bytes leased now, 0…limit."""
        return self._used

    def take(self, n: int) -> "Lease":
        """Lease ``n`` bytes (0 is a lease that will grow).

        Raises:
            BudgetSpentError: they are not there now. Nothing was taken.
        """
        self._reserve(n)
        return Lease(self, n)

    def _reserve(self, n: int) -> None:
        if n < 0:
            raise ValueError(f"cannot lease {n} bytes")
        if self._used + n > self.limit:
            raise BudgetSpentError(
                f"{n} bytes more do not fit in limits.memory: {self._used} of {self.limit} bytes are in use"
            )
        self._used += n

    def _give_back(self, n: int) -> None:
        self._used -= n


class Lease:
    """Bytes taken from a budget, given back exactly once: by :meth:`release`, or by leaving the ``with`` block."""

    __slots__ = ("_budget", "_released", "_shares", "_size")

    def __init__(self, budget: MemoryBudget, size: int) -> None:
        """Made by :meth:`MemoryBudget.take` only."""
        self._budget = budget
        self._size = size
        self._released = False
        self._shares = 0

    @property
    def size(self) -> int:
        """Bytes held; 0 once released."""
        return 0 if self._released else self._size

    def shared(self) -> "Share":
        """For another one who uses the same bytes, perhaps for longer: they count until both have released them.

        Raises:
            ValueError: the lease is released already.
        """
        if self._released:
            raise ValueError("this lease is released already")
        self._shares += 1
        return Share(self)

    def grow(self, n: int) -> None:
        """Take ``n`` bytes more.

        Raises:
            BudgetSpentError: they are not there now; the lease keeps what it had.
            ValueError: the lease is released already, or n is negative.
        """
        if self._released:
            raise ValueError("this lease is released already")
        self._budget._reserve(n)
        self._size += n

    def release(self) -> None:
        """Give everything back; a second call does nothing."""
        if not self._released:
            self._released = True
            self._settle()

    def _settle(self) -> None:
        if self._released and not self._shares:
            self._budget._give_back(self._size)
            self._size = 0

    def __enter__(self) -> Self:
        """The lease itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give everything back, whatever happened."""
        self.release()

    def __del__(self) -> None:
        """A forgotten lease would shrink the budget until the next start: give it back, and say that it is a bug."""
        if not self._released:
            warnings.warn(
                f"a lease of {self._size} bytes was never released", ResourceWarning, source=self, stacklevel=1
            )
            self.release()


class Share:
    """A second hold on a lease's bytes (:meth:`Lease.shared`), given back exactly once by :meth:`release`."""

    __slots__ = ("_lease",)

    def __init__(self, lease: Lease) -> None:
        """Made by :meth:`Lease.shared` only."""
        self._lease: Lease | None = lease

    def release(self) -> None:
        """Give it back; a second call does nothing."""
        if self._lease is not None:
            self._lease._shares -= 1
            self._lease._settle()
            self._lease = None
