"""What a keeper makes of a judgement."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from addons.holding import judging
from addons.holding.parts import Assessment
from addons.holding.settings import KeeperSettings
from addons.ledger.held import Held, HoldState, Outcome
from addons.ledger.ledger import Ledger
from addons.policy.words import Action, Cause
from tests.addons.holding.keeping import DROP, NOON, PATIENCE, SETTINGS, WINDOW, Clock, Place, failing, place


@pytest.fixture
async def at(sqlite: Ledger, clock: Clock) -> AsyncIterator[Place]:
    async with place(sqlite.holds, clock) as made:
        yield made


@pytest.mark.parametrize("action", [Action.PASS, Action.RECORD, Action.STRIP])
async def test_what_is_let_in_is_replayed(at: Place, action: Action) -> None:
    new = at.put()
    at.judge.tell(new, Assessment(action))
    at.keeper()
    assert await at.outcome(new) == (Outcome.REPLAYED, "the server answered 200 OK ok")
    assert at.server.bodies == [new.body]
    assert at.told.ends == [(new.id, Outcome.REPLAYED)]


@pytest.mark.parametrize("action", [Action.DROP, Action.REJECT])
async def test_what_is_not_is_dropped(at: Place, action: Action) -> None:
    new = at.put()
    at.judge.tell(new, Assessment(action, rule="forbidden"))
    at.keeper()
    assert await at.outcome(new) == (Outcome.DROPPED, f"judged: the rule forbidden says {action}")
    assert at.server.bodies == []
    assert at.told.ends == [(new.id, Outcome.DROPPED)]


async def test_a_cause_that_drops(at: Place) -> None:
    new = at.put()
    at.judge.tell(new, Assessment(Action.DROP, cause=Cause.UNDECODABLE))
    at.keeper()
    assert await at.outcome(new) == (Outcome.DROPPED, "judged: the cause undecodable says drop")


async def test_the_time_to_judge_ends_with_the_window(at: Place, clock: Clock) -> None:
    early, late, last = at.put(), *(at.put(closes=NOON + timedelta(seconds=left)) for left in (7, 0.1))
    at.keeper()
    for new in (early, late, last):
        await at.outcome(new)
    assert dict(zip((held.id for held in at.judge.asked), at.judge.timeouts, strict=True)) == {
        early.id: 60.0,
        late.id: 7.0,
        last.id: judging.LEAST,  # less says nothing of what is judged
    }


@pytest.mark.parametrize(
    ("cause", "first"), [(Cause.TIMEOUT, 5.0), (Cause.NO_WORKER, 5.0), (Cause.BUSY, 5.0), (Cause.FETCH_FAILED, 10.0)]
)
async def test_what_cannot_be_judged_yet_is_tried_again(at: Place, clock: Clock, cause: Cause, first: float) -> None:
    new = at.put()
    at.judge.tell(new, failing(cause), failing(cause), Assessment(Action.PASS))
    at.keeper()
    for tries in (1, 2):
        record = await at.later(new, tries)
        whole = timedelta(seconds=first * 2 ** (tries - 1))
        assert whole / 2 <= record.due - clock() <= whole
        assert (record.state, record.cause) == (HoldState.JUDGING, cause)
        clock.now = record.due
    assert (await at.outcome(new))[0] is Outcome.REPLAYED
    assert len(at.judge.asked) == 3


@pytest.mark.parametrize("action", [Action.HOLD, Action.DEFER])
async def test_defer_is_as_good_as_hold(at: Place, clock: Clock, action: Action) -> None:
    new = at.put()
    at.judge.tell(new, Assessment(action, cause=Cause.HOLD_FULL), DROP)
    at.keeper()
    clock.now = (await at.later(new)).due
    assert (await at.outcome(new))[0] is Outcome.DROPPED


async def test_a_judge_that_fails(at: Place, clock: Clock) -> None:
    new = at.put()
    at.judge.tell(new, RuntimeError("no such tensor"), DROP)
    at.keeper()
    record = await at.later(new)
    assert (record.state, record.cause) == (HoldState.JUDGING, "detector_error")
    clock.now = record.due
    assert (await at.outcome(new))[0] is Outcome.DROPPED


@pytest.mark.parametrize("said", [RuntimeError("no memory"), Assessment(Action.DEFER, cause=Cause.NO_WORKER)])
async def test_a_host_that_was_down_is_no_way_past_a_judge_that_fails(
    at: Place, clock: Clock, said: Assessment | Exception
) -> None:
    new = at.put(cause="fetch_failed", then="record")
    at.judge.tell(new, failing(Cause.FETCH_FAILED, then="record"), said)
    at.keeper()
    record = await at.later(new)
    assert record.then == "record"
    clock.now = record.due
    assert (await at.later(new, 2)).then == "drop"
    clock.now = new.closes
    assert (await at.outcome(new))[0] is Outcome.CLOSED
    assert at.server.bodies == []


async def test_a_judge_that_never_comes_back(at: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "GRACE", 0.01)
    new = at.put()
    at.judge.hangs = True
    at.keeper(settings=KeeperSettings(poll=0.02, judge_time=0.01))
    assert (await at.later(new)).cause == "detector_error"
    assert at.judge.broken_off == 1


async def test_judged_at_once_when_its_media_are_seen(at: Place, clock: Clock) -> None:
    new = at.put(cause="fetch_failed", then="record")
    urls = ("https://media.example/a.png", "https://media.example/b.png")
    at.judge.tell(new, failing(Cause.FETCH_FAILED, *urls, then="record"), DROP)
    keeper = at.keeper()
    await at.later(new)
    keeper.seen("https://media.example/other.png")
    keeper.seen(urls[1])
    assert (await at.outcome(new))[0] is Outcome.DROPPED
    assert clock() == NOON


async def test_of_urls_seen_no_more_wait_than_may(at: Place) -> None:
    keeper = at.keeper()
    for number in range(3000):
        keeper.seen(f"https://media.example/{number}")
    await at.until(lambda: not keeper.working)


# -- windows that close ------------------------------------------------------------------------------------------------


async def test_closed_and_dropped(at: Place, clock: Clock) -> None:
    new = at.put()
    at.judge.tell(new, failing(Cause.TIMEOUT, then="drop"))
    at.keeper()
    await at.later(new)
    clock.now = new.closes
    assert await at.outcome(new) == (Outcome.CLOSED, "its window closed while the cause timeout still held it")
    assert at.server.bodies == []


async def test_closed_and_let_by(at: Place, clock: Clock) -> None:
    new = at.put(cause="fetch_failed", then="record")
    at.judge.tell(new, failing(Cause.FETCH_FAILED, then="record"))
    at.keeper()
    await at.later(new)
    clock.now = new.closes
    outcome, detail = await at.outcome(new)
    assert outcome is Outcome.REPLAYED
    assert detail == (
        "its window closed while the cause fetch_failed still held it: let by unjudged; the server answered 200 OK ok"
    )
    assert at.record(new).unjudged
    assert at.server.bodies == [new.body]


async def test_the_last_judgement_says_what_happens_then(at: Place, clock: Clock) -> None:
    new = at.put(cause="fetch_failed", then="record")
    at.judge.tell(new, failing(Cause.DETECTOR_ERROR, then="drop"))
    at.keeper()
    await at.later(new)
    clock.now = new.closes
    assert (await at.outcome(new))[0] is Outcome.CLOSED


@pytest.mark.parametrize("cause", [Cause.TIMEOUT, Cause.FETCH_FAILED])
async def test_a_judgement_that_outlasts_the_window_puts_nothing_off(at: Place, clock: Clock, cause: Cause) -> None:
    new = at.put(then="record", cause=str(cause))

    async def judged(held: Held, timeout: float) -> Assessment:
        clock.now = new.closes + timedelta(seconds=1)
        return failing(cause, then="record")

    at.keeper(assess=judged)
    assert (await at.outcome(new))[0] is Outcome.REPLAYED
    assert at.record(new).unjudged


async def test_windows_close_though_every_judge_hangs(at: Place, clock: Clock) -> None:
    at.judge.hangs = True
    busy = at.put()
    keeper = at.keeper(settings=KeeperSettings(judging=1, poll=0.02))
    await at.until(lambda: keeper.working == 1)
    new = at.put(closes=NOON + timedelta(minutes=1))
    clock.turn(minutes=1)
    assert (await at.outcome(new))[0] is Outcome.CLOSED
    assert [held.id for held in at.judge.asked] == [busy.id]


# -- waiting for a person ----------------------------------------------------------------------------------------------


async def test_a_rule_that_holds_has_a_person_look(at: Place, clock: Clock) -> None:
    new = at.put(then="record", cause="fetch_failed")
    at.judge.tell(new, Assessment(Action.HOLD, then="drop", rule="look-at-it"))
    at.keeper()
    await at.until(lambda: at.record(new).state is HoldState.WAITING)
    record = at.record(new)
    assert (record.then, record.rule, record.cause, record.worker) == ("drop", "look-at-it", None, None)
    assert record.due == new.closes
    clock.now = new.closes
    assert await at.outcome(new) == (Outcome.CLOSED, "its window closed while the rule look-at-it still held it")
    assert len(at.judge.asked) == 1


async def test_what_waits_is_not_judged_and_let_go_by_a_person(at: Place, clock: Clock) -> None:
    new = at.put(state=HoldState.WAITING, cause=None, rule="look-at-it")
    other = at.put()
    at.keeper()
    await at.outcome(other)
    assert at.record(new).state is HoldState.WAITING
    assert at.holds.permit(new.id, None, unjudged=True, detail="let go by an admin")
    assert await at.outcome(new) == (Outcome.REPLAYED, "let go by an admin; the server answered 200 OK ok")
    assert [held.id for held in at.judge.asked] == [other.id]


# -- how many ----------------------------------------------------------------------------------------------------------


async def test_so_many_at_a_time(at: Place) -> None:
    at.judge.hangs = True
    for _ in range(6):
        at.put()
    keeper = at.keeper(settings=KeeperSettings(judging=4, poll=0.02))
    await at.until(lambda: len(at.judge.asked) == 4)
    for _ in range(5):
        keeper.wake()
        await asyncio.sleep(0)
    await asyncio.sleep(0.1)  # it would have looked several times
    assert len(at.judge.asked) == 4


def test_settings_with_which_two_would_send_at_once() -> None:
    with pytest.raises(ValueError, match="must last longer than one replay"):
        KeeperSettings(replay_time=30, lease=30)
    assert KeeperSettings(replay_time=24, lease=30).lease == 30
    assert SETTINGS.judge_time < PATIENCE + 1
    assert timedelta(seconds=SETTINGS.judge_time) < WINDOW
