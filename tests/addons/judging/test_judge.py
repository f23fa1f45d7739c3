import asyncio
import hashlib
import threading
from collections import Counter
from collections.abc import Mapping

import pytest

from addons.activitypub.references import MediaRef
from addons.fetching.budget import MemoryBudget
from addons.fetching.client import Fetched, FetchError
from addons.fetching.ranges import InParts
from addons.fetching.slots import Waiting
from addons.judging import judge as judging
from addons.judging.judge import JOIN_SECONDS, JUDGEMENT_FRAMES, LOOK_UP_INLINE, URL_LENGTH, URL_SECONDS, Judge
from addons.policy.words import Cause, Medium
from classifier import CannotJudgeError, JudgedFrame, Judgement, Parts
from classifier.flights import Stop
from classifier.hashlists import Digests
from tests import net

URL = "https://remote.example/a.png"


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Remote:
    """Fetches from a table instead of the network; waits for ``gate`` where one is set."""

    def __init__(self) -> None:
        self.files: dict[str, bytes | FetchError] = {}
        self.final: dict[str, str] = {}
        self.fetched: Counter[str] = Counter()
        self.gate: asyncio.Event | None = None
        self.no_slot = False
        self.full: set[str] = set()
        self.paid: list[tuple[str, str]] = []
        self.content_type = "image/png"
        self.budget = MemoryBudget(1 << 30)

    async def get(self, url: str, *, timeout: float, waiting: Waiting | None = None, share: str = "") -> Fetched:
        assert timeout > 0
        waiting = waiting or Waiting()
        self.fetched[url] += 1
        self.paid.append((share, url))
        waiting.for_slot = self.no_slot
        waiting.for_share = share in self.full
        if self.gate is not None:
            await self.gate.wait()
        waiting.for_slot = waiting.for_share = False
        found = self.files.get(url, url.encode())
        if isinstance(found, FetchError):
            raise found
        final = self.final.get(url, url)
        return Fetched(found, final, "192.0.2.1", self.content_type, 200, self.budget.take(len(found)))

    async def get_parts(self, url: str, *, timeout: float, waiting: Waiting | None = None, share: str = "") -> InParts:
        raise AssertionError("nothing here is too large")


class Eyes:
    """Judges bytes by counting them; the list is asked in ``look_up``."""

    def __init__(self, frames: int = 1) -> None:
        self.version = "eyes-1"
        self.frames = frames
        self.judged: Counter[bytes | Parts] = Counter()
        self.listed: set[str] = set()
        self.cost = 0
        self.looked_in: list[threading.Thread] = []
        self.fails: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.timeouts: list[float] = []

    async def digests(self, data: bytes | Parts) -> Digests:
        assert isinstance(data, bytes)
        return Digests.of(data, every=True)

    def known(self, digests: Digests, stop: Stop | None, media_type: str) -> Judgement | None:
        if stop is None or digests.sha256 not in self.listed or not stop({"hash.ours": 1.0}):
            return None
        frames = (JudgedFrame(0, {"hash.ours": 1.0}),)
        return Judgement(digests.sha256, media_type, 0, 0, frames, self.version, partial=True, md5=digests.md5)

    async def judge(
        self, data: bytes | Parts, *, timeout: float, stop: Stop | None = None, digests: Digests | None = None
    ) -> Judgement:
        self.timeouts.append(timeout)
        assert timeout > 0
        assert digests is not None
        if (known := self.known(digests, stop, "image/png")) is not None:
            return known
        assert isinstance(data, bytes)
        self.judged[data] += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.fails:
            raise self.fails
        frames = tuple(JudgedFrame(n, {"clip.x": 0.5}) for n in range(self.frames))
        return Judgement(hashlib.sha256(data).hexdigest(), "image/png", 1, 1, frames, self.version)

    def look_up_cost(self, judgement: Judgement) -> int:
        return self.cost

    def look_up(self, judgement: Judgement) -> Judgement:
        self.looked_in.append(threading.current_thread())
        if judgement.sha256 not in self.listed:
            return judgement
        frames = [JudgedFrame(f.index, {**f.symbols, "hash.ours": 1.0}) for f in judgement.frames]
        return judgement.with_lists(frames, ())


def ref(url: str = URL, path: str = "/a") -> MediaRef:
    return MediaRef(url, "image", path)


class Bench:
    """A judge with its parts."""

    def __init__(self, frames: int = 1, stop: Stop | None = None, **bounds: int) -> None:
        self.clock, self.remote, self.eyes = Clock(), Remote(), Eyes(frames)
        self.judge = Judge(self.remote, self.eyes, stop=stop, clock=self.clock, **bounds)

    async def one(self, url: str = URL, timeout: float = 5) -> Medium:
        (medium,) = await self.judge.judge([ref(url)], timeout=timeout)
        return medium


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_each_reference_gets_its_medium_in_order_and_each_url_is_fetched_once(bench: Bench) -> None:
    refs = [ref("https://a/1", "/0"), ref("https://a/2", "/1"), ref("https://a/1", "/2")]
    media = await bench.judge.judge(refs, timeout=5)
    assert [medium.ref for medium in media] == refs
    assert bench.remote.fetched == {"https://a/1": 1, "https://a/2": 1}
    assert [medium.judgement.sha256 for medium in media if medium.judgement] == [
        hashlib.sha256(url.encode()).hexdigest() for url in ("https://a/1", "https://a/2", "https://a/1")
    ]
    assert {(medium.address, medium.cached, medium.cause) for medium in media} == {("192.0.2.1", False, None)}
    assert await bench.judge.judge([], timeout=5) == []


# -- what is remembered ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("later", "fetched"), [(URL_SECONDS - 1, 1), (URL_SECONDS, 2)])
async def test_a_url_is_remembered_for_ten_minutes(bench: Bench, later: float, fetched: int) -> None:
    bench.remote.final[URL] = "https://remote.example/moved"
    first = await bench.one()
    bench.clock.now += later
    again = await bench.one()
    assert bench.remote.fetched[URL] == fetched
    assert (first.cached, again.cached) == (False, True)  # the bytes are known even when fetched anew
    assert (again.address, again.final_url) == ("192.0.2.1", "https://remote.example/moved")
    assert sum(bench.eyes.judged.values()) == 1


async def test_the_same_bytes_from_elsewhere_are_not_judged_again(bench: Bench) -> None:
    bench.remote.files = {"https://a/1": b"same", "https://b/2": b"same"}
    await bench.one("https://a/1")
    medium = await bench.one("https://b/2")
    assert (medium.cached, bench.eyes.judged) == (True, {b"same": 1})


async def test_a_hit_needs_no_time(bench: Bench) -> None:
    await bench.one()
    assert (await bench.one(timeout=0)).judgement is not None
    medium = await bench.one("https://a/new", timeout=0)
    assert (medium.cause, medium.message) == (Cause.TIMEOUT, "no time was left to fetch it")
    assert bench.remote.fetched["https://a/new"] == 0


async def test_lists_are_asked_anew_on_every_hit(bench: Bench) -> None:
    first = await bench.one()
    assert first.judgement is not None
    bench.eyes.listed.add(first.judgement.sha256)
    second = await bench.one()
    bench.eyes.listed.clear()
    third = await bench.one()
    told = [medium.judgement.worst() for medium in (first, second, third) if medium.judgement]
    assert told == [{"clip.x": 0.5}, {"clip.x": 0.5, "hash.ours": 1.0}, {"clip.x": 0.5}]


@pytest.mark.parametrize(("cost", "aside"), [(LOOK_UP_INLINE, False), (LOOK_UP_INLINE + 1, True)])
async def test_long_look_ups_do_not_hold_up_the_event_loop(bench: Bench, cost: int, aside: bool) -> None:
    bench.eyes.cost = cost
    for _ in ("judged", "remembered"):
        await bench.one()
    assert [thread is not threading.current_thread() for thread in bench.eyes.looked_in] == [aside, aside]


async def test_another_version_of_the_detectors_judges_anew(bench: Bench) -> None:
    await bench.one()
    bench.eyes.version = "eyes-2"
    assert bench.judge.version == "eyes-2"
    medium = await bench.one()
    assert (medium.cached, bench.eyes.judged[URL.encode()]) == (False, 2)


@pytest.mark.parametrize(("extra", "fetched"), [(0, 1), (1, 2)])
async def test_urls_at_the_bound_and_past_it(bench: Bench, extra: int, fetched: int) -> None:
    url = "data:" + "x" * 43
    bench.remote.final[url] = "y" * (URL_LENGTH - len(url) + extra)
    for _ in range(2):
        await bench.one(url)
    assert bench.remote.fetched[url] == fetched


@pytest.mark.parametrize(("frames", "bound", "judged"), [(2, 4, 2), (2, 3, 3), (4, 4, 3), (5, 4, 4)])
async def test_judgements_are_bounded_by_their_frames(frames: int, bound: int, judged: int) -> None:
    bench = Bench(frames, judgement_frames=bound)
    for url in ("a", "b", "b", "a"):
        assert (await bench.one(url)).judgement is not None
    assert sum(bench.eyes.judged.values()) == judged


async def test_urls_are_bounded_in_number() -> None:
    bench = Bench(url_entries=2)
    for url in ("a", "b", "a", "c", "b"):
        await bench.one(url)
    assert bench.remote.fetched == {"a": 1, "b": 2, "c": 1}


def test_the_defaults_fit_in_memory() -> None:
    assert judging.URL_ENTRIES * URL_LENGTH <= 64 << 20
    assert JUDGEMENT_FRAMES * 2048 <= 128 << 20


# -- what goes wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cause", [Cause.FETCH_FAILED, Cause.FETCH_REFUSED, Cause.FETCH_UNAUTHORIZED, Cause.BUSY])
async def test_a_fetch_that_fails_is_tried_again_next_time(bench: Bench, cause: Cause) -> None:
    bench.remote.files[URL] = FetchError(cause, "no", URL, "192.0.2.9")
    for turn in (1, 2):
        medium = await bench.one()
        assert (medium.cause, medium.message, medium.address) == (cause, f"{URL}: no", "192.0.2.9")
        assert bench.remote.fetched[URL] == turn
    bench.remote.files[URL] = b"good"
    assert (await bench.one()).judgement is not None


async def test_bytes_that_cannot_be_judged_are_tried_again_next_time(bench: Bench) -> None:
    bench.eyes.fails = CannotJudgeError("undecodable", "broken")
    for turn in (1, 2):
        medium = await bench.one()
        assert (medium.cause, medium.message) == (Cause.UNDECODABLE, "broken")
        assert bench.eyes.judged[URL.encode()] == turn
    assert bench.remote.budget.used == 0


@pytest.mark.parametrize(
    ("content_type", "causes"),
    [("text/html", [Cause.UNSUPPORTED]), ("image/svg+xml", [Cause.UNSUPPORTED, Cause.UNSUPPORTED])],
)
async def test_a_link_that_leads_to_an_article_is_no_medium(
    bench: Bench, content_type: str, causes: list[Cause]
) -> None:
    bench.remote.content_type = content_type
    bench.eyes.fails = CannotJudgeError("unsupported", "an HTML page", "text/html")
    link = MediaRef(URL, "page", "/attachment/0/href")
    media = await bench.judge.judge([ref(), link], timeout=5)
    assert [medium.ref for medium in media] == [ref(), link][: len(causes)]
    assert [medium.cause for medium in media] == causes


@pytest.mark.parametrize(("shows", "media"), [("text/html", 0), (None, 0), ("", 1), ("image/png", 1)])
async def test_a_dead_link_is_no_medium_if_it_shows_no_picture(bench: Bench, shows: str | None, media: int) -> None:
    bench.remote.files[URL] = FetchError(Cause.FETCH_FAILED, "404", URL, shows=shows)
    link = MediaRef(URL, "inline", "/content", linked=True)
    assert len(await bench.judge.judge([link], timeout=5)) == media


async def test_one_failure_leaves_the_other_media_be(bench: Bench) -> None:
    bench.remote.files["https://a/1"] = FetchError(Cause.FETCH_FAILED, "no", "https://a/1")
    media = await bench.judge.judge([ref("https://a/1"), ref("https://a/2")], timeout=5)
    assert [medium.cause for medium in media] == [Cause.FETCH_FAILED, None]


async def test_a_bug_ends_the_work_on_the_other_media(bench: Bench) -> None:
    class Broken(Remote):
        async def get(self, url: str, *, timeout: float, waiting: Waiting | None = None, share: str = "") -> Fetched:
            if url == "bug":
                raise ZeroDivisionError
            return await super().get(url, timeout=timeout, waiting=waiting, share=share)

    remote = Broken()
    remote.gate = asyncio.Event()
    judge = Judge(remote, bench.eyes)
    with pytest.raises(ExceptionGroup):
        await judge.judge([ref("hangs"), ref("bug")], timeout=60)
    await asyncio.sleep(0)
    assert judge.in_flight == 0


@pytest.mark.parametrize(
    ("no_slot", "at", "cause", "message"),
    [
        (False, "remote", Cause.TIMEOUT, "not fetched and judged within 0.1 s"),
        (True, "remote", Cause.BUSY, "waited 0.1 s for other fetches to end"),
        (True, "eyes", Cause.TIMEOUT, "not fetched and judged within 0.1 s"),
    ],
)
async def test_time_runs_out(bench: Bench, no_slot: bool, at: str, cause: Cause, message: str) -> None:
    bench.remote.no_slot = no_slot
    part = bench.remote if at == "remote" else bench.eyes
    part.gate = asyncio.Event()
    medium = await bench.one(timeout=0.1)
    assert (medium.cause, medium.message) == (cause, message)
    await asyncio.sleep(0)
    assert (bench.judge.in_flight, bench.remote.budget.used) == (0, 0)


# -- at the same time --------------------------------------------------------------------------------------------------


async def test_who_has_more_time_does_not_lose_it_to_who_has_less(bench: Bench) -> None:
    bench.remote.gate = asyncio.Event()
    hasty = asyncio.ensure_future(bench.one(timeout=0.05))
    await asyncio.sleep(0)
    patient = asyncio.ensure_future(bench.one(timeout=10))
    assert (await hasty).cause == Cause.TIMEOUT
    bench.remote.gate.set()
    assert (await patient).judgement is not None
    assert bench.remote.fetched[URL] == 1


async def test_one_that_is_cancelled_leaves_the_others_their_work(bench: Bench) -> None:
    bench.eyes.gate = asyncio.Event()
    gone, stays = (asyncio.ensure_future(bench.one()) for _ in range(2))
    await asyncio.sleep(0.01)
    gone.cancel()
    await asyncio.sleep(0)
    bench.eyes.gate.set()
    assert (await stays).judgement is not None
    assert gone.cancelled()
    assert sum(bench.eyes.judged.values()) == 1


async def test_the_first_to_want_a_url_pays_for_it(bench: Bench) -> None:
    bench.remote.gate = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for share in ("one", "two"):
            group.create_task(bench.judge.judge([ref()], timeout=5, share=share))
            await asyncio.sleep(0.01)
        bench.remote.gate.set()
    await bench.judge.judge([ref("https://a/2")], timeout=5)
    assert bench.remote.paid == [("one", URL), ("", "https://a/2")]


async def test_nobody_waits_for_a_share_that_another_used_up(bench: Bench) -> None:
    bench.remote.full = {"one"}
    bench.remote.gate = asyncio.Event()
    hogs = asyncio.ensure_future(bench.judge.judge([ref()], timeout=5, share="one"))
    await asyncio.sleep(0.01)
    other = asyncio.ensure_future(bench.judge.judge([ref()], timeout=5, share="two"))
    await asyncio.sleep(0.01)
    bench.remote.gate.set()
    assert [medium.cause for medium in [*await hogs, *await other]] == [None, None]
    assert bench.remote.paid == [("one", URL), ("two", URL)]


async def test_the_engine_is_told_how_long_anybody_can_wait(bench: Bench) -> None:
    bench.remote.gate = asyncio.Event()
    waiting = [asyncio.ensure_future(bench.one(timeout=timeout)) for timeout in (4.0, 6.0, 5.0)]
    await asyncio.sleep(0.01)
    bench.clock.now += 1
    bench.remote.gate.set()
    await asyncio.gather(*waiting)
    assert bench.eyes.timeouts == [6.0 - 1 + JOIN_SECONDS]


# -- what suffices -----------------------------------------------------------------------------------------------------


def on_ours(symbols: Mapping[str, float]) -> bool:
    return symbols.get("hash.ours") == 1.0


async def test_what_a_list_knows_is_not_judged_and_not_remembered_as_judged() -> None:
    bench = Bench(stop=on_ours)
    sha256 = hashlib.sha256(URL.encode()).hexdigest()
    bench.eyes.listed.add(sha256)
    first = await bench.one()
    assert first.judgement is not None
    assert first.judgement.partial
    assert first.judgement.worst() == {"hash.ours": 1.0}
    again = await bench.one()
    assert again.judgement == first.judgement
    assert (again.cached, bench.remote.fetched[URL]) == (True, 1), "nor is it fetched again to see that it is known"
    bench.eyes.listed.clear()
    medium = await bench.one()
    assert medium.judgement is not None
    assert not medium.judgement.partial
    assert medium.judgement.worst() == {"clip.x": 0.5}
    assert (bench.remote.fetched[URL], sum(bench.eyes.judged.values())) == (2, 1)


async def test_what_was_judged_stays_so_when_a_list_comes_to_know_it() -> None:
    bench = Bench(stop=on_ours)
    await bench.one()
    bench.eyes.listed.add(hashlib.sha256(URL.encode()).hexdigest())
    medium = await bench.one()
    assert medium.judgement is not None
    assert medium.judgement.worst() == {"clip.x": 0.5, "hash.ours": 1.0}


async def test_without_a_stop_all_is_judged(bench: Bench) -> None:
    bench.eyes.listed.add(hashlib.sha256(URL.encode()).hexdigest())
    medium = await bench.one()
    assert medium.judgement is not None
    assert medium.judgement.worst() == {"clip.x": 0.5, "hash.ours": 1.0}


# -- the very bytes ----------------------------------------------------------------------------------------------------


async def test_bytes_at_hand_are_judged_and_remembered(bench: Bench) -> None:
    bench.eyes.listed.add(hashlib.sha256(b"one").hexdigest())
    first = await bench.judge.judge_bytes(ref(), b"one", timeout=5)
    again = await bench.judge.judge_bytes(ref(), b"one", timeout=5)
    assert first.judgement is not None
    assert first.judgement.frames[0].symbols == {"clip.x": 0.5, "hash.ours": 1.0}
    assert (first.judgement.sha256, first.cached, again.cached) == (hashlib.sha256(b"one").hexdigest(), False, True)
    assert bench.eyes.judged == {b"one": 1}
    assert not bench.remote.fetched


@pytest.mark.parametrize("timeout", [0.0, -1.0])
async def test_bytes_that_come_too_late_are_judged_for_who_asks_again(bench: Bench, timeout: float) -> None:
    lease = bench.remote.budget.take(3)
    bench.eyes.gate = asyncio.Event()
    late = await bench.judge.judge_bytes(ref(), b"one", timeout=timeout, lease=lease)
    assert (late.cause, late.message) == (Cause.TIMEOUT, "not judged within 0.0 s")
    lease.release()
    await net.until(lambda: bench.eyes.judged[b"one"] == 1)
    assert bench.remote.budget.used == 3  # they are in memory still
    bench.eyes.gate.set()
    await net.until(lambda: bench.remote.budget.used == 0)
    again = await bench.judge.judge_bytes(ref(), b"one", timeout=5)
    assert again.cached
    assert bench.eyes.judged == {b"one": 1}


async def test_who_goes_away_ends_no_judging(bench: Bench) -> None:
    lease = bench.remote.budget.take(3)
    bench.eyes.gate = asyncio.Event()
    asking = asyncio.create_task(bench.judge.judge_bytes(ref(), b"one", timeout=5, lease=lease))
    await net.until(lambda: bench.eyes.judged[b"one"] == 1)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    lease.release()
    assert bench.remote.budget.used == 3
    bench.eyes.gate.set()
    await net.until(lambda: bench.remote.budget.used == 0)
    assert (await bench.judge.judge_bytes(ref(), b"one", timeout=5)).cached


async def test_bytes_that_cannot_be_judged_give_their_cause_and_their_memory_back(bench: Bench) -> None:
    bench.eyes.fails = CannotJudgeError("undecodable", "broken")
    with bench.remote.budget.take(3) as lease:
        medium = await bench.judge.judge_bytes(ref(), b"one", timeout=5, lease=lease)
    assert (medium.cause, medium.message, medium.judgement) == (Cause.UNDECODABLE, "broken", None)
    await net.until(lambda: bench.remote.budget.used == 0)


async def test_a_bug_in_judging_bytes_is_no_cause_and_keeps_no_memory(bench: Bench) -> None:
    bench.eyes.fails = ZeroDivisionError()
    with bench.remote.budget.take(3) as lease, pytest.raises(ZeroDivisionError):
        await bench.judge.judge_bytes(ref(), b"one", timeout=5, lease=lease)
    await net.until(lambda: bench.remote.budget.used == 0)


async def test_what_is_fetched_to_pass_is_the_very_bytes_that_were_judged() -> None:
    bench = Bench()
    bench.remote.final[URL] = "https://cdn.example/a.png"
    medium, fetched = await bench.judge.fetch(ref(), timeout=5, share="peer")
    assert fetched is not None
    assert medium.judgement is not None
    assert hashlib.sha256(fetched.data).hexdigest() == medium.judgement.sha256
    assert (medium.final_url, medium.address) == ("https://cdn.example/a.png", "192.0.2.1")
    assert bench.remote.paid == [("peer", URL)]
    fetched.release()
    # What a URL gave before says nothing of what it gives now.
    bench.remote.files[URL] = b"another"
    medium, fetched = await bench.judge.fetch(ref(), timeout=5)
    assert fetched is not None
    assert medium.judgement is not None
    assert medium.judgement.sha256 == hashlib.sha256(b"another").hexdigest()
    fetched.release()
    await net.until(lambda: bench.remote.budget.used == 0)


async def test_what_cannot_be_fetched_has_no_bytes(bench: Bench) -> None:
    bench.remote.files[URL] = FetchError(Cause.FETCH_REFUSED, "no", URL, "10.0.0.1")
    medium, fetched = await bench.judge.fetch(ref(), timeout=5)
    assert (medium.cause, medium.address, fetched) == (Cause.FETCH_REFUSED, "10.0.0.1", None)


async def test_what_is_fetched_and_not_judged_in_time_is_the_callers_to_release(bench: Bench) -> None:
    bench.eyes.gate = asyncio.Event()
    medium, fetched = await bench.judge.fetch(ref(), timeout=0.05)
    assert (medium.cause, medium.address) == (Cause.TIMEOUT, "192.0.2.1")
    assert fetched is not None
    fetched.release()
    assert bench.remote.budget.used == len(URL)
    bench.eyes.gate.set()
    await net.until(lambda: bench.remote.budget.used == 0)


async def test_who_goes_away_while_it_is_judged_leaves_no_bytes_behind(bench: Bench) -> None:
    bench.eyes.gate = asyncio.Event()
    asking = asyncio.create_task(bench.judge.fetch(ref(), timeout=5))
    await net.until(lambda: sum(bench.eyes.judged.values()) == 1)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    bench.eyes.gate.set()
    await net.until(lambda: bench.remote.budget.used == 0)
