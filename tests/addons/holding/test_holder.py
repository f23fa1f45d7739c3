import asyncio
import threading

import pytest
from sqlalchemy.exc import OperationalError

from addons.holding.holder import Holder, LedgerTroubleError
from addons.ledger.held import Bounds, HoldFullError, NewHold
from addons.ledger.ledger import Ledger
from tests.addons.holding.keeping import PATIENCE, hold
from tests.net import until


class Stuck:
    """A database that takes nothing until it is let."""

    def __init__(self) -> None:
        self.let = threading.Event()
        self.begun: list[str] = []

    def put(self, new: NewHold, bounds: Bounds) -> bool:
        self.begun.append(new.id)
        self.let.wait(PATIENCE)
        return True


class Broken:
    def put(self, new: NewHold, bounds: Bounds) -> bool:
        raise OperationalError("INSERT INTO holds", {"body": new.body}, RuntimeError("disk I/O error"))


async def test_what_is_held_is_on_the_disk(ledger: Ledger) -> None:
    told: list[str] = []
    holder = Holder(ledger.holds, Bounds(), stored=lambda new: told.append(new.id), seconds=PATIENCE)
    new = hold()
    assert await holder.hold(new) == "held"
    assert told == [new.id]  # by then
    found = ledger.holds.get(new.id)
    assert found is not None
    assert found.outcome is None
    assert await holder.hold(hold(head=new.head, body=new.body)) == "already"
    assert told == [new.id]
    assert ledger.holds.totals().count == 1
    holder.close()


async def test_full(ledger: Ledger) -> None:
    told: list[str] = []
    holder = Holder(ledger.holds, Bounds(count=2), stored=lambda new: told.append(new.id), seconds=PATIENCE)
    assert [await holder.hold(hold()) for _ in range(2)] == ["held", "held"]
    with pytest.raises(HoldFullError) as raised:
        await holder.hold(hold())
    assert raised.value.which == "count"
    assert len(told) == 2
    holder.close()


async def test_many_at_once(ledger: Ledger) -> None:
    holder = Holder(ledger.holds, Bounds(), seconds=PATIENCE)
    assert set(await asyncio.gather(*(holder.hold(hold()) for _ in range(50)))) == {"held"}
    assert ledger.holds.totals().count == 50
    holder.close()


async def test_a_database_that_hangs_is_not_waited_for() -> None:
    stuck, told = Stuck(), list[str]()
    holder = Holder(stuck, Bounds(), stored=lambda new: told.append(new.id), seconds=0.05, threads=1)
    first, second = hold(), hold()
    results = await asyncio.gather(holder.hold(first), holder.hold(second), return_exceptions=True)
    assert [type(result) for result in results] == [LedgerTroubleError] * 2
    assert "within 0.05 s" in str(results[0])
    stuck.let.set()
    await until(lambda: told == [first.id], PATIENCE)  # what had begun stands, and is known
    assert stuck.begun == [first.id]  # what had not, never will
    holder.close()


async def test_a_database_that_fails() -> None:
    holder = Holder(Broken(), Bounds(), seconds=PATIENCE)
    new = hold()
    with pytest.raises(LedgerTroubleError, match=r"could not be stored: disk I/O error$"):
        await holder.hold(new)
    holder.close()


async def test_no_more_wait_than_may() -> None:
    stuck = Stuck()
    holder = Holder(stuck, Bounds(), seconds=PATIENCE, waiting=2)
    waiting = [asyncio.ensure_future(holder.hold(hold())) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(LedgerTroubleError, match="2 deliveries wait to be stored already"):
        await holder.hold(hold())
    stuck.let.set()
    assert await asyncio.gather(*waiting) == ["held", "held"]
    assert await holder.hold(hold()) == "held"
    holder.close()
