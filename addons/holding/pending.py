"""Which pending holds a delivery has to do with: what it must wait behind, and what its Delete or Undo takes back."""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Protocol

from addons.holding.order import Ids, may_withdraw, needs_keys
from addons.ledger.clean import key
from addons.ledger.held import Outcome, Pending, Signer

REFRESH = 5.0
"""Seconds after which the memory is compared with the ledger, as long as somebody asks."""

logger = logging.getLogger(__name__)


class Asks(Protocol):
    """The part of :class:`addons.ledger.holds.Holds` that is needed here. Every method blocks."""

    def pending_concerning(self, ids: Sequence[str]) -> list[Pending]:
        """Pending holds that give one of these keys."""
        ...

    def pending_ids(self) -> Mapping[str, Sequence[str]]:
        """Every pending hold, with the short form (:func:`addons.ledger.clean.key`) of each key that it gives."""
        ...

    def end(self, id: str, worker: str | None, outcome: Outcome, detail: str, now: datetime) -> bool:
        """Its one outcome; False: it is over already."""
        ...


class Index:
    """The keys that pending holds give, in memory, in their short form. Belongs to one event loop."""

    def __init__(self) -> None:
        self._holds: dict[str, tuple[str, ...]] = {}
        self._keys: dict[str, int] = {}

    def __len__(self) -> int:
        """How many holds are known."""
        return len(self._holds)

    def add(self, id: str, keys: Sequence[str]) -> None:
        """A hold is pending, and gives these keys."""
        if id in self._holds:
            return
        self._holds[id] = tuple(keys)
        for one in self._holds[id]:
            self._keys[one] = self._keys.get(one, 0) + 1

    def drop(self, id: str) -> None:
        """A hold is over."""
        for one in self._holds.pop(id, ()):
            self._keys[one] -= 1
            if not self._keys[one]:
                del self._keys[one]

    def replace(self, holds: Mapping[str, Sequence[str]], but: Collection[str] = ()) -> None:
        """These are pending, and no others ``but`` those."""
        for id in [one for one in self._holds if one not in holds and one not in but]:
            self.drop(id)
        for id, keys in holds.items():
            self.add(id, keys)

    def concerns(self, keys: Iterable[str]) -> bool:
        """Whether a pending hold gives one of these keys."""
        return bool(self._keys) and any(one in self._keys for one in keys)


class Order:
    """Asked for each delivery that may go on. Belongs to one event loop; ``clock`` in seconds.

    With an ``index`` (SQLite: the ledger is this process's own) most deliveries ask nobody. It may say too much, never
    too little of what this process holds; the ledger is asked before anything is done. Without one (PostgreSQL: other
    processes hold deliveries too) each delivery that names an id is one query.
    """

    def __init__(self, holds: Asks, index: Index | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._holds = holds
        self._index = index
        self._clock = clock
        self._looked = clock()
        self._added: set[str] = set()
        self._refreshing: asyncio.Task[None] | None = None

    @property
    def asks(self) -> bool:
        """Whether it takes a query to say whether a delivery concerns what is pending."""
        return self._index is None

    @property
    def any(self) -> bool:
        """Whether anything may be pending."""
        return self._index is None or len(self._index) > 0

    def fill(self) -> None:
        """Learn what is pending from before. Blocks."""
        if self._index is not None:
            self._index.replace(self._holds.pending_ids())

    def held(self, id: str, keys: Sequence[str]) -> None:
        """A hold was stored that gives these keys."""
        if self._index is not None:
            self._index.add(id, [key(one) for one in keys])
            self._added.add(id)

    def over(self, id: str) -> None:
        """A hold is over."""
        if self._index is not None:
            self._index.drop(id)

    def may_concern(self, ids: Ids) -> bool:
        """What memory says: False where nothing that is pending has to do with these. Never waits."""
        named = ids.needs or ids.removes
        if not named or self._index is None:
            return bool(named)
        found = self._index.concerns(key(one) for one in (*ids.needs, *ids.removes))
        if len(self._index) and self._clock() - self._looked >= REFRESH and self._refreshing is None:
            self._looked = self._clock()
            self._added.clear()
            self._refreshing = asyncio.get_running_loop().create_task(self._refresh())
        return found

    async def concerns(self, ids: Ids) -> bool:
        """What the ledger says; False where it cannot be asked: order is kept as well as it can be."""
        return bool(await self._asked((*ids.needs, *ids.removes)))

    async def blocked(self, ids: Ids, signer: Signer) -> bool:
        """Whether a delivery of this signer has to wait behind what is pending."""
        keys = needs_keys(ids.needs, signer)
        return bool(keys) and any(one.signer_state == "verified" for one in await self._asked(keys))

    async def withdraw(self, ids: Ids, signer: Signer) -> list[str]:
        """End what this signer's Delete or Undo takes back, as far as it may; the ids of those holds."""
        if not ids.removes or signer.state != "verified":
            return []
        ended = []
        for one in await self._asked(ids.removes):
            held = Signer(one.signer_state, one.signer_host)
            if may_withdraw(signer, held, one.gives, ids.removes) and await self._end(one.id, signer):
                ended.append(one.id)
        return ended

    async def close(self) -> None:
        """Ask nothing more."""
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.gather(self._refreshing, return_exceptions=True)

    async def _asked(self, keys: Sequence[str]) -> list[Pending]:
        try:
            return await asyncio.to_thread(self._holds.pending_concerning, keys)
        except Exception as error:
            logger.error("the ledger cannot say what is held (%s): a delivery goes on as it came", _told(error))
            return []

    async def _end(self, id: str, signer: Signer) -> bool:
        detail = f"{signer.host} took it back before it was let in"
        try:
            ended = await asyncio.to_thread(self._holds.end, id, None, Outcome.WITHDRAWN, detail, datetime.now(UTC))
        except Exception as error:
            logger.error("the hold %s could not be taken back (%s); the Delete goes on to the server", id, _told(error))
            return False
        self.over(id)
        return ended

    async def _refresh(self) -> None:
        try:
            holds = await asyncio.to_thread(self._holds.pending_ids)
        except Exception as error:
            logger.error("the ledger cannot say what is held (%s)", _told(error))
        else:
            if self._index is not None:
                self._index.replace(holds, but=self._added)
        finally:
            self._refreshing = None


def _told(error: Exception) -> str:
    return " ".join(str(getattr(error, "orig", None) or error).split())[:200] or type(error).__name__
