import asyncio

import pytest

from classifier.flights import Flight
from classifier.hashlists import Digests
from classifier.types import CannotJudgeError, JudgedFrame, Judgement


def judgement(*symbols: dict[str, float], partial: bool = False) -> Judgement:
    frames = tuple(JudgedFrame(at, found) for at, found in enumerate(symbols))
    return Judgement("ab" * 32, "image/png", 1, 1, frames, "v", partial=partial)


@pytest.fixture
def flight() -> Flight:
    return Flight(Digests("ab" * 32), b"x")


async def boarded(flight: Flight, *stops: float | None) -> list["asyncio.Future[Judgement]"]:
    """A waiter each, its ``stop`` content with ``hash.x`` of this score."""

    def waiter(at: int, least: float | None) -> "asyncio.Future[Judgement]":
        stop = None if least is None else lambda symbols: symbols.get("hash.x", 0.0) >= least
        return asyncio.ensure_future(flight.landing(flight.board(10.0 + at, stop)))

    waiting = [waiter(at, least) for at, least in enumerate(stops)]
    await asyncio.sleep(0)
    return waiting


async def test_all_get_what_it_came_to(flight: Flight) -> None:
    assert (flight.wanted, flight.may_stop, flight.deadline) == (False, False, 0)
    waiting = await boarded(flight, None, None)
    assert (flight.wanted, flight.may_stop, flight.deadline) == (True, False, 11)
    whole = judgement({"clip.x": 0.5})
    flight.land(whole)
    assert not flight.wanted
    assert [one is whole for one in await asyncio.gather(*waiting)] == [True, True]


async def test_each_gets_an_error_of_its_own(flight: Flight) -> None:
    waiting = await boarded(flight, None, None)
    flight.land(CannotJudgeError("unsupported", "it is a poem", "text/plain"))
    one, other = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(one, CannotJudgeError)
    assert (one.cause, str(one), one.media_type) == ("unsupported", "it is a poem", "text/plain")
    assert one is not other


async def test_an_error_nobody_foresaw_comes_through(flight: Flight) -> None:
    (waiting,) = await boarded(flight, None)
    flight.land(KeyError("x"))
    with pytest.raises(KeyError):
        await waiting


async def test_what_was_found_so_far_is_for_those_who_are_content_with_it(flight: Flight) -> None:
    content, picky, patient = await boarded(flight, 1.0, 1.1, None)
    assert flight.may_stop
    partial = judgement({}, {"hash.x": 1.0}, partial=True)
    flight.offer(partial)
    assert await content is partial
    assert flight.wanted
    assert not picky.done()
    assert not patient.done()
    whole = judgement({"clip.x": 0.5})
    flight.land(whole)
    assert await picky is await patient is whole


async def test_who_has_gone_is_given_nothing(flight: Flight) -> None:
    (waiting,) = await boarded(flight, 1.0)
    flight.offer(judgement({"hash.x": 0.9}, partial=True))
    assert flight.wanted
    waiting.cancel()
    await asyncio.sleep(0)
    flight.offer(judgement({"hash.x": 1.0}, partial=True))
    flight.land(judgement({}))
    assert not flight.wanted


async def test_the_latest_deadline_counts_while_its_waiter_is_there(flight: Flight) -> None:
    _, last = await boarded(flight, None, None)
    last.cancel()
    await asyncio.sleep(0)
    assert flight.deadline == 10
