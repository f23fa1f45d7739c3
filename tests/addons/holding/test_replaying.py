"""What a keeper does with what may go to the server."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from addons.holding.backoff import Backoff
from addons.holding.settings import TAKEN, KeeperSettings
from addons.ledger.held import HoldState, Outcome, Signer
from addons.ledger.ledger import Ledger
from tests.addons.fetching.servers import answer
from tests.addons.holding.keeping import NOON, SETTINGS, Clock, Place, place
from tests.net import OK

BUSY = answer(b"later", "503 Service Unavailable")
PERMITTED = {"state": HoldState.REPLAYING, "cause": None}


@pytest.fixture
async def at(sqlite: Ledger, clock: Clock) -> AsyncIterator[Place]:
    async with place(sqlite.holds, clock) as made:
        yield made


async def test_byte_for_byte(at: Place) -> None:
    head = b"POST /inbox HTTP/1.1\r\nhost: example.org\r\nX-B: 2\r\nX-A:  1 \r\nContent-Length: 4\r\n\r\n"
    new = at.put(head=head, body=b"\x00\xff\r\n", **PERMITTED)
    at.keeper()
    assert (await at.outcome(new))[0] is Outcome.REPLAYED
    assert [(got.head + b"\r\n\r\n", got.body) for got in at.server.requests] == [(new.head, new.body)]
    assert at.judge.asked == []


@pytest.mark.parametrize("status", ["400 Bad Request", "401 Unauthorized", "404 Not Found", "410 Gone", "302 Found"])
async def test_refused_is_over(at: Place, status: str) -> None:
    at.server.says(answer(b'{"error": "no"}', status))
    new = at.put(**PERMITTED)
    at.keeper()
    assert await at.outcome(new) == (Outcome.REFUSED, f'the server answered {status} {{"error": "no"}}')
    assert len(at.server.requests) == 1


@pytest.mark.parametrize(
    "status", ["408 Request Timeout", "429 Too Many Requests", "500 Internal Server Error", "503 Service Unavailable"]
)
async def test_again_and_again(at: Place, clock: Clock, status: str) -> None:
    at.server.says(*[answer(b"", status)] * 2, OK)
    new = at.put(**PERMITTED)
    keeper = at.keeper()
    for tries in (1, 2):
        record = await at.later(new, tries)
        whole = timedelta(seconds=2.0**tries)
        assert whole / 2 <= record.due - clock() <= whole
        clock.now = record.due
    assert (await at.outcome(new))[0] is Outcome.REPLAYED
    assert at.server.bodies == [new.body] * 3
    assert not keeper.upstream.down


async def test_as_long_as_the_server_asks(at: Place, clock: Clock) -> None:
    at.server.says(answer(b"", "429 Too Many Requests", {"Retry-After": "600"}), OK)
    new = at.put(**PERMITTED)
    at.keeper()
    assert (await at.later(new)).due == clock() + timedelta(seconds=600)


@pytest.mark.parametrize("asked", ["3585", "3586", "999999999"])
async def test_not_longer_than_the_window(at: Place, clock: Clock, asked: str) -> None:
    """59 minutes are left, and 50 seconds beyond them of which the last five are kept."""
    at.server.says(answer(b"", "429 Too Many Requests", {"Retry-After": asked}), OK)
    new = at.put(**PERMITTED)
    at.keeper()
    record = await at.later(new)
    if asked == "3585":
        assert record.due == new.closes + timedelta(seconds=45)
    else:
        assert record.due <= clock() + timedelta(seconds=2)
    clock.now = record.due
    assert (await at.outcome(new))[0] is Outcome.REPLAYED


async def test_a_last_try(at: Place, clock: Clock) -> None:
    at.server.says(*[BUSY] * 2, OK)
    new = at.put(**PERMITTED)
    at.keeper(settings=replace(SETTINGS, replay_again=Backoff(100_000.0, 100_000.0)))
    first = await at.later(new, 1)
    assert first.due == new.closes + TAKEN - timedelta(seconds=5)
    clock.now = first.due
    second = await at.later(new, 2)
    assert second.due == new.closes + TAKEN
    clock.now = second.due
    assert (await at.outcome(new))[0] is Outcome.UNREACHED
    assert len(at.server.requests) == 2


async def test_never_taken(at: Place, clock: Clock) -> None:
    at.server.says(BUSY)
    new = at.put(**PERMITTED)
    at.keeper()
    tries, last = 0, NOON

    def tried() -> bool:
        record = at.record(new)
        return record.outcome is not None or (record.attempts == tries and record.worker is None)

    while at.record(new).outcome is None:
        tries += 1
        await at.until(tried)
        if at.record(new).outcome is None:
            last = clock.now = at.record(new).due
    assert await at.outcome(new) == (Outcome.UNREACHED, "the server did not take it before its window closed")
    assert last == new.closes + TAKEN
    assert len(at.server.requests) == tries - 1
    assert 20 < tries < 80  # two minutes apart at most


async def test_nothing_ran_until_the_window_was_closed(at: Place, clock: Clock) -> None:
    new, busy = at.put(**PERMITTED), at.put(**PERMITTED, share="host:other.example")
    at.server.says(OK, BUSY)
    clock.now = new.closes + timedelta(days=1)
    at.keeper(settings=KeeperSettings(replays=1, poll=0.02))
    assert (await at.outcome(new))[0] is Outcome.REPLAYED
    assert await at.outcome(busy) == (
        Outcome.UNREACHED,
        "the server did not take it before its window closed: the server answered 503 Service Unavailable later",
    )
    assert len(at.server.requests) == 2


async def test_a_server_that_hangs_up(at: Place, clock: Clock) -> None:
    at.server.says(b"", OK)
    new = at.put(**PERMITTED)
    keeper = at.keeper()
    clock.now = (await at.later(new)).due
    assert (await at.outcome(new))[0] is Outcome.REPLAYED
    assert at.server.bodies == [new.body] * 2  # it may have got it the first time
    assert not keeper.upstream.down


async def test_a_server_that_does_not_answer(at: Place, clock: Clock) -> None:
    at.server.says(None, OK)
    new = at.put(**PERMITTED)
    at.keeper(settings=KeeperSettings(replay_time=0.05, poll=0.02))
    clock.now = (await at.later(new)).due
    await at.until(lambda: len(at.server.requests) >= 2)


async def test_a_server_that_is_not_there(at: Place, clock: Clock) -> None:
    new = at.put(**PERMITTED)
    port, at.server.port = at.server.port, 1  # nothing listens there
    keeper = at.keeper()
    record = await at.later(new)
    assert keeper.upstream.down
    assert clock() < record.due <= clock() + timedelta(seconds=2)
    clock.now = record.due
    record = await at.later(new, 2)  # it was asked whether it is there, and nothing more
    await keeper.stop(1)
    at.server.port = port
    other = at.keeper()
    clock.now = record.due
    assert (await at.outcome(new))[0] is Outcome.REPLAYED
    assert not other.upstream.down


async def test_one_after_the_other(at: Place, clock: Clock) -> None:
    """An Update waits behind its Create, whatever becomes of that one; who is not verified neither waits nor blocks."""
    first = at.put(**PERMITTED, gives=("note",), needs=("note",))
    second = at.put(**PERMITTED, gives=("note",), needs=("note",))
    stranger = at.put(**PERMITTED, needs=("note",), signer=Signer(), share="unverified:192.0.2.1")
    other = at.put(**PERMITTED, needs=("another",))
    at.server.says(BUSY, OK)
    at.keeper(settings=KeeperSettings(replays=1, poll=0.02))
    record = await at.later(first)
    await at.outcome(stranger)
    await at.outcome(other)
    assert at.record(second).attempts == 0
    clock.now = record.due
    await at.outcome(second)
    assert [body for body in at.server.bodies if body in (first.body, second.body)] == [
        *(first.body, first.body, second.body)
    ]


async def test_so_many_at_a_time(at: Place) -> None:
    at.server.says(None)
    news = [at.put(**PERMITTED) for _ in range(9)]
    keeper = at.keeper(settings=KeeperSettings(replays=3, poll=0.02))
    await at.until(lambda: at.server.open == 3)
    at.server.release.set()
    for new in news:
        await at.outcome(new)
    assert at.server.most <= 3
    assert SETTINGS.replays == 8
    assert keeper.trouble == ""
