import asyncio
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime

from addons.holding.order import Ids
from addons.holding.pending import REFRESH, Index, Order
from addons.ledger.clean import key
from addons.ledger.held import Outcome, Pending, Signer
from tests import net

NOTE = "https://remote.example/notes/1"
OTHER = "https://remote.example/notes/2"
REMOTE = Signer("verified", "remote.example")
STRANGER = Signer("verified", "else.example")
KEYS = (NOTE, f"remote.example {NOTE}")


class Kept:
    """The ledger's part, in memory."""

    def __init__(self, **holds: Sequence[str]) -> None:
        self.holds: dict[str, Sequence[str]] = dict(holds)
        self.signer = REMOTE
        self.asked = 0
        self.ended: list[tuple[str, str | None, Outcome]] = []
        self.broken = False
        self.gate: threading.Event | None = None

    def pending_concerning(self, ids: Sequence[str]) -> list[Pending]:
        self.asked += 1
        self._fail()
        found = [(id, tuple(one for one in ids if one in keys)) for id, keys in self.holds.items()]
        return [Pending(id, 1, self.signer.state, self.signer.host, gives) for id, gives in found if gives]

    def pending_ids(self) -> Mapping[str, Sequence[str]]:
        self._fail()
        found = {id: [key(one) for one in keys] for id, keys in self.holds.items()}
        if self.gate is not None:
            assert self.gate.wait(20)
        return found

    def end(self, id: str, worker: str | None, outcome: Outcome, detail: str, now: datetime) -> bool:
        self._fail()
        self.ended.append((id, worker, outcome))
        return self.holds.pop(id, None) is not None

    def _fail(self) -> None:
        if self.broken:
            raise OSError("the disk is gone")


def test_the_index_knows_what_is_pending() -> None:
    index = Index()
    assert not index.concerns(["a"])
    index.add("one", ["a", "b"])
    index.add("one", ["c"])  # known already
    index.add("two", ["b"])
    assert len(index) == 2
    assert [index.concerns([one]) for one in ("a", "b", "c")] == [True, True, False]
    index.drop("one")
    index.drop("three")
    assert [index.concerns([one]) for one in ("a", "b")] == [False, True]
    index.replace({"four": ["d"]}, but=["two"])
    assert [index.concerns([one]) for one in ("b", "d")] == [True, True]
    index.replace({})
    assert (len(index), index.concerns(["b", "d"])) == (0, False)


async def test_what_concerns_nothing_asks_nobody() -> None:
    kept = Kept()
    order = Order(kept, Index())
    assert not order.asks
    assert not order.may_concern(Ids((NOTE,), (NOTE,), ()))
    order.held("a", KEYS)
    assert not order.may_concern(Ids((OTHER,), (OTHER,), (OTHER,)))
    assert not order.may_concern(Ids((NOTE,), (), ()))
    assert order.may_concern(Ids((), (NOTE,), ()))
    assert order.may_concern(Ids((), (), (NOTE,)))
    assert kept.asked == 0


async def test_long_ids_take_no_more_memory_than_short_ones() -> None:
    index = Index()
    order = Order(Kept(), index)
    long = NOTE + "x" * 1600
    order.held("a", [long])
    assert order.may_concern(Ids((), (long,), ()))
    assert max(map(len, index._keys)) == 32


async def test_without_an_index_the_ledger_is_asked_for_what_has_an_id() -> None:
    kept = Kept(a=KEYS)
    order = Order(kept, None)
    assert order.asks
    order.fill()
    order.held("b", KEYS)
    order.over("b")
    assert order.any
    assert not order.may_concern(Ids((NOTE,), (), ()))
    assert order.may_concern(Ids((), (OTHER,), ()))
    assert await order.concerns(Ids((), (NOTE,), ()))
    assert await order.concerns(Ids((), (), (NOTE,)))
    assert not await order.concerns(Ids((), (OTHER,), ()))


async def test_what_was_pending_before_is_known_until_it_is_over() -> None:
    order = Order(Kept(a=KEYS), Index())
    assert not order.any
    order.fill()
    assert (order.any, order.may_concern(Ids((), (NOTE,), ()))) == (True, True)
    order.over("a")
    assert not order.any
    assert not order.may_concern(Ids((), (NOTE,), ()))


async def test_who_is_blocked() -> None:
    kept = Kept(a=KEYS)
    order = Order(kept, Index())
    assert await order.blocked(Ids((), (NOTE,), ()), REMOTE)
    assert await order.blocked(Ids((), (NOTE,), ()), STRANGER)  # behind the id's own host
    assert not await order.blocked(Ids((), (OTHER,), ()), REMOTE)
    assert not await order.blocked(Ids((), (), (NOTE,)), REMOTE)
    assert not await order.blocked(Ids((), (NOTE,), ()), Signer())
    kept.signer = Signer("unverifiable", "remote.example")
    assert not await order.blocked(Ids((), (NOTE,), ()), REMOTE)


async def test_what_is_taken_back() -> None:
    kept = Kept(a=KEYS, b=(OTHER,))
    order = Order(kept, Index())
    order.fill()
    deleted = Ids((), (), (NOTE,))
    assert await order.withdraw(Ids(), REMOTE) == []
    assert await order.withdraw(deleted, Signer("unverified")) == []
    assert await order.withdraw(deleted, STRANGER) == []
    assert await order.withdraw(deleted, REMOTE) == ["a"]
    assert kept.ended == [("a", None, Outcome.WITHDRAWN)]
    assert not order.may_concern(deleted)
    assert order.may_concern(Ids((), (), (OTHER,)))


async def test_a_ledger_that_cannot_be_asked_stops_nothing() -> None:
    kept = Kept(a=KEYS)
    order = Order(kept, None)
    kept.broken = True
    assert not await order.concerns(Ids((), (NOTE,), ()))
    assert not await order.blocked(Ids((), (NOTE,), ()), REMOTE)
    assert await order.withdraw(Ids((), (), (NOTE,)), REMOTE) == []


async def test_what_cannot_be_ended_stays() -> None:
    kept = Kept(a=KEYS)
    order = Order(kept, Index())
    order.fill()
    real = kept.pending_concerning

    def then_broken(ids: Sequence[str]) -> list[Pending]:
        found = real(ids)
        kept.broken = True
        return found

    kept.pending_concerning = then_broken  # type: ignore[method-assign]  # a database that fails between two questions
    assert await order.withdraw(Ids((), (), (NOTE,)), REMOTE) == []
    assert order.may_concern(Ids((), (), (NOTE,)))


async def test_the_memory_is_compared_with_the_ledger_now_and_then() -> None:
    now = 0.0
    kept = Kept(a=KEYS)
    order = Order(kept, Index(), clock=lambda: now)
    order.fill()
    kept.holds = {"b": (OTHER,)}
    assert order.may_concern(Ids((), (NOTE,), ()))
    now = REFRESH
    kept.gate = threading.Event()
    assert order.may_concern(Ids((), (NOTE,), ()))  # and asks now
    now = 2 * REFRESH
    assert order.may_concern(Ids((), (NOTE,), ()))  # which it does but once at a time
    order.held("c", ["https://remote.example/notes/3"])  # while it is asking
    kept.gate.set()
    await net.until(lambda: not order.may_concern(Ids((), (NOTE,), ())))
    assert order.may_concern(Ids((), (OTHER,), ()))
    assert order.may_concern(Ids((), ("https://remote.example/notes/3",), ()))
    await order.close()


async def test_a_comparison_that_fails_changes_nothing() -> None:
    now = 0.0
    kept = Kept(a=KEYS)
    order = Order(kept, Index(), clock=lambda: now)
    order.fill()
    kept.broken = True
    for turn in range(1, 4):
        now = turn * REFRESH
        assert order.may_concern(Ids((), (NOTE,), ()))
        await asyncio.sleep(0)
    await order.close()
