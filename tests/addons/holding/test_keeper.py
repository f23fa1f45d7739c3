"""Claims of keepers: whatever ends where, each hold ends once, and what may be sent is sent."""

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from addons.alarms.kinds import AlarmKind
from addons.holding.keeper import Keeper
from addons.holding.settings import KeeperSettings
from addons.ledger.database import parsed
from addons.ledger.held import Held, HoldState, NewHold, Outcome
from addons.ledger.holds import Holds, hold_engine
from addons.ledger.ledger import Ledger
from addons.policy.words import Cause
from tests.addons.holding.keeping import DROP, PATIENCE, SETTINGS, Clock, Place, failing, place
from tests.net import OK

PERMITTED = {"state": HoldState.REPLAYING, "cause": None}
LEASE = timedelta(seconds=SETTINGS.lease)


@pytest.fixture
async def at(sqlite: Ledger, clock: Clock) -> AsyncIterator[Place]:
    async with place(sqlite.holds, clock) as made:
        yield made


@pytest.fixture
async def both(ledger: Ledger, clock: Clock) -> AsyncIterator[Place]:
    """On each kind of database."""
    async with place(ledger.holds, clock) as made:
        yield made


class Through:
    """A ledger's holds, with something done before or after a call, or instead of it."""

    def __init__(self, holds: Holds) -> None:
        self._holds = holds
        self.before: dict[str, Callable[[], None]] = {}
        self.after: dict[str, Callable[[], None]] = {}
        self.instead: dict[str, Callable[..., Any]] = {}
        self.calls: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        method = self.instead.get(name) or getattr(self._holds, name)

        def call(*arguments: Any, **named: Any) -> Any:
            self.calls[name] += 1
            self.before.get(name, _nothing)()
            result = method(*arguments, **named)
            self.after.get(name, _nothing)()
            return result

        return call


def _nothing() -> None:
    pass


def _ignored(result: object) -> None:
    pass


def once(function: Callable[[], None]) -> Callable[[], None]:
    """The first time only."""
    done = iter([function])
    return lambda: next(done, _nothing)()


def fails(times: int) -> Callable[[], None]:
    """A database that fails so many times."""
    left = iter(range(times))

    def fail() -> None:
        if next(left, None) is not None:
            raise OperationalError("UPDATE holds", {}, RuntimeError("database is locked"))

    return fail


def kill(keeper: Keeper) -> None:
    """As SIGKILL: no claim is given back, nothing is finished."""
    for task in (*keeper._loops, *keeper._aside, *(job.task for job in keeper._jobs())):
        assert task is not None
        task.cancel()


@contextmanager
def stuck() -> Iterator[Callable[[], None]]:
    """What hangs in a thread until the block ends, and then fails: its process is gone."""
    over = threading.Event()

    def hang() -> None:
        over.wait(PATIENCE)
        raise OperationalError("", {}, RuntimeError("killed"))

    try:
        yield hang
    finally:
        over.set()


# -- several -----------------------------------------------------------------------------------------------------------


async def test_many_keepers_and_each_hold_is_one_keepers(both: Place, address: str, clock: Clock) -> None:
    at = both
    news = [at.put(share=f"host:{number % 3}.example") for number in range(40)]
    forbidden = news[::4]
    for new in forbidden:
        at.judge.tell(new, DROP)
    processes = [Holds(hold_engine(parsed(address), busy=PATIENCE), clock) for _ in range(3)]
    for holds in processes:
        at.keeper(holds=holds)
    for new in news:
        await at.outcome(new)
    assert Counter(at.server.bodies) == Counter(new.body for new in news if new not in forbidden)
    assert at.told.counted == {Outcome.REPLAYED: 30, Outcome.DROPPED: 10}
    assert len({id for id, _ in at.told.ends}) == 40
    assert len(at.judge.asked) == 40
    for keeper, holds in zip(at.keepers, processes, strict=True):
        await keeper.stop(PATIENCE)
        holds.close()


# -- one that is killed ------------------------------------------------------------------------------------------------


async def test_killed_while_it_judges(both: Place, clock: Clock) -> None:
    at = both
    at.judge.hangs = True
    new = at.put()
    first = at.keeper()
    await at.until(lambda: bool(at.judge.asked))
    kill(first)
    at.judge.hangs = False
    at.keeper()
    assert at.record(new).worker == first.worker
    clock.turn(seconds=SETTINGS.lease)
    assert (await at.outcome(new))[0] is Outcome.REPLAYED
    assert at.server.bodies == [new.body]
    assert at.told.ends == [(new.id, Outcome.REPLAYED)]


async def test_killed_while_it_sends(at: Place, clock: Clock) -> None:
    new = at.put(**PERMITTED)
    at.server.says(None, OK)
    first = at.keeper()
    await at.until(lambda: len(at.server.requests) == 1)
    kill(first)
    at.keeper()
    clock.turn(seconds=SETTINGS.lease)
    assert (await at.outcome(new))[0] is Outcome.REPLAYED
    assert at.server.bodies == [new.body] * 2
    assert at.told.ends == [(new.id, Outcome.REPLAYED)]


async def test_killed_before_it_wrote_that_it_was_taken(both: Place, clock: Clock) -> None:
    at = both
    with stuck() as hang:
        holds = Through(at.holds)
        holds.before["end"] = hang
        new = at.put(**PERMITTED)
        first = at.keeper(holds=holds)
        await at.until(lambda: holds.calls["end"] == 1)
        kill(first)
        at.keeper()
        clock.turn(seconds=SETTINGS.lease)
        assert (await at.outcome(new))[0] is Outcome.REPLAYED
    assert at.server.bodies == [new.body] * 2
    assert at.told.ends == [(new.id, Outcome.REPLAYED)]


async def test_killed_with_what_is_forbidden(at: Place, clock: Clock) -> None:
    with stuck() as hang:
        holds = Through(at.holds)
        holds.before["end"] = hang
        new = at.put()
        at.judge.tell(new, DROP)
        first = at.keeper(holds=holds)
        await at.until(lambda: holds.calls["end"] == 1)
        kill(first)
        at.keeper()
        clock.turn(seconds=SETTINGS.lease)
        assert (await at.outcome(new))[0] is Outcome.DROPPED
    assert at.server.bodies == []


# -- a claim that is lost ----------------------------------------------------------------------------------------------


async def test_nothing_is_sent_once_somebody_else_has_it(both: Place, clock: Clock) -> None:
    at = both
    new = at.put(**PERMITTED)
    holds = Through(at.holds)

    def claim(*arguments: Any, **named: Any) -> list[Held]:
        found = at.holds.claim(*arguments, **named)
        if found and at.record(new).worker != "another":
            clock.turn(seconds=SETTINGS.lease)
            assert at.holds.claim([HoldState.REPLAYING], "another", clock(), LEASE, 1)
        return found

    holds.instead["claim"] = claim
    keeper = at.keeper(holds=holds)
    await at.until(lambda: at.record(new).worker == "another" and holds.calls["renew"] > 0)
    await at.until(lambda: not keeper.working)
    assert at.server.bodies == []
    assert at.record(new).worker == "another"


async def test_nothing_is_sent_of_what_was_withdrawn(at: Place, clock: Clock) -> None:
    new = at.put(**PERMITTED)
    holds = Through(at.holds)
    holds.before["renew"] = once(lambda: _withdraw(at, new.id))
    keeper = at.keeper(holds=holds)
    assert (await at.outcome(new))[0] is Outcome.WITHDRAWN
    await at.until(lambda: not keeper.working)
    assert at.server.bodies == []
    assert at.told.ends == []


async def test_a_claim_that_ran_out_and_came_back(at: Place, clock: Clock) -> None:
    """It was not renewed in time, and the same keeper claims it again while it still sends."""
    at.server.says(None, OK)
    new = at.put(**PERMITTED)
    keeper = at.keeper()
    await at.until(lambda: len(at.server.requests) == 1)
    clock.turn(seconds=SETTINGS.lease)
    await at.until(lambda: at.record(new).attempts == 2)
    assert keeper.working == 1
    at.server.release.set()
    assert (await at.outcome(new))[0] is Outcome.REPLAYED
    await at.until(lambda: not keeper.working)
    assert at.server.bodies == [new.body]
    assert at.told.ends == [(new.id, Outcome.REPLAYED)]


async def test_broken_off_before_it_began(at: Place) -> None:
    new = at.put()
    keeper = at.keeper(settings=KeeperSettings(judging=1, poll=0.02))
    await at.outcome(new)
    lane = keeper._judging
    record = at.put(state=HoldState.WAITING)
    lane.start(Held(**{name: getattr(record, name) for name in NewHold.__slots__}))
    for job in keeper._jobs():
        job.break_off()
    await at.until(lambda: not keeper.working)
    assert lane.free == 1


async def test_withdrawn_while_it_is_judged(at: Place) -> None:
    at.judge.hangs = True
    new = at.put()
    keeper = at.keeper()
    await at.until(lambda: bool(at.judge.asked))
    await keeper.renew()
    assert keeper.working == 1
    _withdraw(at, new.id)
    await keeper.renew()
    await at.until(lambda: not keeper.working)
    assert at.judge.broken_off == 1


async def test_withdrawn_and_then_permitted(at: Place) -> None:
    new = at.put()
    holds = Through(at.holds)
    holds.before["permit"] = once(lambda: _withdraw(at, new.id))
    keeper = at.keeper(holds=holds)
    await at.until(lambda: holds.calls["permit"] == 1)
    await at.until(lambda: not keeper.working)
    assert at.record(new).outcome is Outcome.WITHDRAWN
    assert at.server.bodies == []


async def test_withdrawn_while_it_is_sent(at: Place) -> None:
    """It is not broken off: half a request helps nobody."""
    at.server.says(None)
    new = at.put(**PERMITTED)
    keeper = at.keeper()
    await at.until(lambda: len(at.server.requests) == 1)
    _withdraw(at, new.id)
    await keeper.renew()
    assert keeper.working == 1
    at.server.release.set()
    await at.until(lambda: not keeper.working)
    assert at.record(new).outcome is Outcome.WITHDRAWN
    assert at.told.ends == []


async def test_a_long_judgement_keeps_its_claim(at: Place, clock: Clock) -> None:
    at.judge.hangs = True
    new = at.put()
    keeper = at.keeper()
    await at.until(lambda: bool(at.judge.asked))
    for _ in range(4):
        clock.turn(seconds=SETTINGS.lease / 3)
        await keeper.renew()
        assert at.holds.claim([HoldState.JUDGING], "another", clock(), LEASE, 1) == []
    record = at.record(new)
    assert (record.worker, record.lease) == (keeper.worker, clock() + LEASE)


def _withdraw(at: Place, id: str) -> None:
    assert at.holds.end(id, None, Outcome.WITHDRAWN, "its author took it back", at.clock())


# -- a database in trouble ---------------------------------------------------------------------------------------------


class Alarms:
    def __init__(self) -> None:
        self.said: list[tuple[str, AlarmKind, str]] = []

    def raise_(self, kind: AlarmKind, message: str) -> None:
        self.said.append(("raised", kind, message))

    def over(self, kind: AlarmKind, message: str) -> None:
        self.said.append(("over", kind, message))


async def test_claims_that_fail(at: Place, caplog: pytest.LogCaptureFixture) -> None:
    new, alarms = at.put(), Alarms()
    holds = Through(at.holds)
    holds.before["claim"] = fails(20)
    keeper = at.keeper(holds=holds, alarms=alarms)
    assert (await at.outcome(new))[0] is Outcome.REPLAYED
    await at.until(lambda: not keeper.trouble)
    # Each lane may have its own luck in between, but no failure is told twice in a row.
    assert [what for what, _, _ in alarms.said] == ["raised", "over"] * (len(alarms.said) // 2)
    assert {kind for _, kind, _ in alarms.said} == {AlarmKind.LEDGER}
    assert "the ledger's database fails: database is locked" in alarms.said[0][2]
    assert len([one for one in caplog.records if one.levelname == "ERROR"]) == len(alarms.said) // 2


@pytest.mark.parametrize("method", ["permit", "end", "retry"])
async def test_what_was_done_is_not_done_again_for_want_of_writing_it_down(
    at: Place, clock: Clock, method: str
) -> None:
    new = at.put()
    if method == "retry":
        at.judge.tell(new, failing(Cause.TIMEOUT))
    holds = Through(at.holds)
    holds.before[method] = fails(5)
    at.keeper(holds=holds)
    if method == "retry":
        assert (await at.later(new)).attempts == 1
    else:
        assert (await at.outcome(new))[0] is Outcome.REPLAYED
        assert at.server.bodies == [new.body]
    assert len(at.judge.asked) == 1


async def test_a_commit_whose_answer_was_lost(at: Place) -> None:
    new = at.put(**PERMITTED)
    holds = Through(at.holds)
    holds.after["end"] = fails(1)
    keeper = at.keeper(holds=holds)
    assert (await at.outcome(new))[0] is Outcome.REPLAYED
    await at.until(lambda: not keeper.working)
    assert at.server.bodies == [new.body]


async def test_a_claim_that_cannot_be_renewed_sends_nothing(at: Place, clock: Clock) -> None:
    new = at.put(**PERMITTED)
    holds = Through(at.holds)
    holds.before["renew"] = fails(1)
    keeper = at.keeper(holds=holds)
    await at.until(lambda: holds.calls["renew"] == 1)
    await at.until(lambda: not keeper.working)
    assert at.server.bodies == []
    clock.turn(seconds=SETTINGS.lease)
    assert (await at.outcome(new))[0] is Outcome.REPLAYED


async def test_urls_seen_while_the_database_fails(at: Place) -> None:
    new = at.put()
    at.judge.tell(new, failing(Cause.FETCH_FAILED, "https://a.example/1"), DROP)
    holds = Through(at.holds)
    holds.before["awaiting"] = fails(1)
    keeper = at.keeper(holds=holds)
    await at.later(new)
    keeper.seen("https://a.example/1")
    await at.until(lambda: holds.calls["awaiting"] == 1)
    keeper.seen("https://a.example/1")
    assert (await at.outcome(new))[0] is Outcome.DROPPED


# -- told to stop ------------------------------------------------------------------------------------------------------


async def test_stopped_while_it_judges(at: Place) -> None:
    at.judge.hangs = True
    new = at.put()
    keeper = at.keeper()
    await at.until(lambda: bool(at.judge.asked))
    await keeper.stop(PATIENCE)
    record = at.record(new)
    assert (record.worker, record.attempts, record.state) == (None, 0, HoldState.JUDGING)
    at.judge.hangs = False
    at.keeper()  # it need not wait for a claim to run out
    assert (await at.outcome(new))[0] is Outcome.REPLAYED


async def test_stopped_while_it_sends(at: Place) -> None:
    at.server.says(None)
    new = at.put(**PERMITTED)
    keeper = at.keeper()
    await at.until(lambda: len(at.server.requests) == 1)
    stopping = asyncio.ensure_future(keeper.stop(PATIENCE))
    await asyncio.sleep(0.05)
    assert not stopping.done()
    at.server.release.set()
    await stopping
    assert at.record(new).outcome is Outcome.REPLAYED


async def test_stopped_while_a_server_never_answers(at: Place) -> None:
    at.server.says(None, OK)
    new = at.put(**PERMITTED)
    keeper = at.keeper()
    await at.until(lambda: len(at.server.requests) == 1)
    await keeper.stop(0.05)
    assert at.record(new).worker is None
    at.keeper()
    assert (await at.outcome(new))[0] is Outcome.REPLAYED


async def test_stopped_it_claims_nothing(at: Place) -> None:
    keeper = at.keeper()
    await keeper.stop(PATIENCE)
    new = at.put()
    keeper.wake()
    keeper.seen("https://a.example/1")
    await asyncio.sleep(0.05)
    assert at.record(new).worker is None


async def test_stopped_in_the_middle_of_a_claim(at: Place) -> None:
    let = threading.Event()
    holds = Through(at.holds)
    holds.after["claim"] = lambda: _ignored(let.wait(PATIENCE))
    new = at.put()
    keeper = at.keeper(holds=holds)
    await at.until(lambda: at.record(new).worker is not None)
    stopping = asyncio.ensure_future(keeper.stop(PATIENCE))
    await asyncio.sleep(0)
    let.set()
    await stopping
    record = at.record(new)
    assert (record.worker, record.attempts) == (None, 0)


async def test_stopped_without_a_database(at: Place) -> None:
    at.judge.hangs = True
    at.put()
    holds = Through(at.holds)
    holds.before["give_back"] = fails(100)
    keeper = at.keeper(holds=holds)
    await at.until(lambda: bool(at.judge.asked))
    await keeper.stop(PATIENCE)


async def test_wakes_at_once_for_what_this_process_stored(at: Place) -> None:
    keeper = at.keeper(settings=KeeperSettings(poll=PATIENCE))
    first = at.put()
    keeper.wake()
    await at.outcome(first)
    second = at.put()
    keeper.wake()
    assert (await at.outcome(second))[0] is Outcome.REPLAYED
