import asyncio
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from addons.activitypub.references import Link, MediaRef
from addons.activitypub.speakers import Speaker
from addons.fetching.results import Fetched, FetchError
from addons.fetching.slots import Waiting
from addons.judging.judge import Judge
from addons.judging.lookahead import OBJECT_HEADERS, READ_INLINE, SECONDS, Ahead, LookAhead
from addons.judging.looking import Scope
from addons.policy.words import Cause
from tests import net
from tests.addons.judging.test_judge import Clock, Eyes, Remote

PAGE = "https://news.example/1"
IMAGE = "https://cdn.example/a.png"
NOTE = "https://other.example/notes/1"
PNG = b"\x89PNG\r\n\x1a\n"
HTML = "text/html"


class Web(Remote):
    """Gives the beginnings of pages and objects from a table; what is judged are the bytes of URLs, as with Remote."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: Counter[str] = Counter()
        self.pages: dict[str, tuple[bytes, str] | FetchError] = {}
        self.headers: dict[str, Mapping[str, str]] = {}
        self.page_gate: asyncio.Event | None = None

    async def get_beginning(
        self,
        url: str,
        most: int,
        *,
        headers: Mapping[str, str],
        timeout: float,
        waiting: Waiting | None = None,
        share: str = "",
    ) -> Fetched:
        self.begun[url] += 1
        self.headers[url] = headers
        self.paid.append((share, url))
        if self.page_gate:
            await self.page_gate.wait()
        found = self.pages.get(url, FetchError(Cause.FETCH_FAILED, "the host answered 404", url, shows=HTML))
        if isinstance(found, FetchError):
            raise found
        data, kind = found
        lease = self.budget.take(len(data[:most]))
        final = self.final.get(url, url)
        return Fetched(data[:most], final, "192.0.2.1", kind, 200, lease, len(data) <= most)


class Bench:
    """A look-ahead over a little web."""

    def __init__(self, **scope: Any) -> None:
        self.web, self.eyes, self.clock = Web(), Eyes(), Clock()
        judge = Judge(self.web, self.eyes, clock=self.clock)
        known: dict[str, Any] = {"links": True, "page_headers": {"User-Agent": "x"}}
        self.ahead = LookAhead(self.web, judge, Scope(**(known | scope)), clock=self.clock)

    def page(self, *images: str, url: str = PAGE) -> None:
        head = "".join(f'<meta property="og:image" content="{image}">' for image in images)
        self.web.pages[url] = (f"<!doctype html><html><head>{head}</head></html>".encode(), HTML)

    def object(self, document: object, url: str = NOTE) -> None:
        self.web.pages[url] = (json.dumps(document).encode(), "application/activity+json")

    async def judge(self, refs: Sequence[MediaRef] = (), *links: Link, timeout: float = 5) -> Ahead:
        ahead = await self.ahead.judge(refs, links, timeout=timeout, share="peer")
        assert (self.ahead.in_flight, self.web.budget.used) == (0, 0)
        return ahead

    async def named(self, *urls: str, timeout: float = 5) -> Ahead:
        ahead = await self.ahead.judge(
            [], objects=[Link(url, "/object") for url in urls], timeout=timeout, share="peer"
        )
        assert (self.ahead.in_flight, self.web.budget.used) == (0, 0)
        return ahead


def told(ahead: Ahead) -> list[tuple[str, str | None]]:
    """The media: URL, and the cause of what was not judged."""
    return [(medium.ref.url, medium.cause and str(medium.cause)) for medium in ahead.media]


def link(url: str = PAGE) -> Link:
    return Link(url, "/attachment/0/href")


def ref(url: str = PAGE, kind: str = "page", *, sensitive: bool = False) -> MediaRef:
    return MediaRef(url, kind, "/attachment/0/href", sensitive)  # type: ignore[arg-type]  # one of its words


def note(*images: str, **more: Any) -> dict[str, Any]:
    attached = [{"type": "Image", "url": image} for image in images]
    actor = "https://other.example/users/b"
    return {"type": "Note", "id": NOTE, "attributedTo": actor, "attachment": attached, **more}


# --- links ------------------------------------------------------------------------------------------------------------


async def test_a_pages_preview_image_is_judged_at_the_links_place() -> None:
    bench = Bench()
    bench.page(IMAGE, "/b.png")
    ahead = await bench.judge([], link())
    assert [medium.ref for medium in ahead.media] == [
        MediaRef(url, "page", "/attachment/0/href") for url in (IMAGE, "https://news.example/b.png")
    ]
    assert all(medium.judgement for medium in ahead.media)
    assert bench.web.headers[PAGE] == {"User-Agent": "x"}
    assert {share for share, _ in bench.web.paid} == {"peer"}


async def test_media_and_links_are_judged_side_by_side() -> None:
    bench = Bench()
    bench.page(IMAGE)
    bench.web.gate = bench.web.page_gate = asyncio.Event()
    judging = asyncio.ensure_future(bench.judge([ref("https://a/1", "image")], link()))
    await net.until(lambda: bool(bench.web.begun[PAGE] and bench.web.fetched["https://a/1"]))
    bench.web.gate.set()
    assert told(await judging) == [("https://a/1", None), (IMAGE, None)]


async def test_a_page_is_fetched_once_for_all_who_link_to_it() -> None:
    bench = Bench()
    bench.page(IMAGE)
    await asyncio.gather(*(bench.ahead.judge([], [link()], timeout=5) for _ in range(5)))
    bench.clock.now += SECONDS - 1
    await bench.judge([], link())
    assert (bench.web.begun[PAGE], bench.web.fetched[IMAGE]) == (1, 1)
    bench.clock.now += 2
    await bench.judge([], link())
    assert bench.web.begun[PAGE] == 2


async def test_an_attachment_that_says_no_type_is_fetched_as_a_page_alone_where_it_is_one() -> None:
    bench = Bench()
    bench.page(IMAGE)
    assert told(await bench.judge([ref(sensitive=True)], link())) == [(IMAGE, None)]
    assert bench.web.fetched[PAGE] == 0


@pytest.mark.parametrize(("owns", "sensitive"), [((True,), True), ((True, False), False), ((), False)])
async def test_a_preview_is_as_sensitive_as_all_that_links_to_it(owns: Sequence[bool], sensitive: bool) -> None:
    bench = Bench()
    bench.page(IMAGE)
    ahead = await bench.judge([ref(sensitive=each) for each in owns], link())
    assert [medium.ref.sensitive for medium in ahead.media] == [sensitive]


@pytest.mark.parametrize(("kind", "linked"), [("page", False), (None, True)])
async def test_a_link_to_a_picture_is_a_medium_itself(kind: str | None, linked: bool) -> None:
    bench = Bench()
    bench.web.pages[PAGE] = (PNG, "text/plain")
    (medium,) = (await bench.judge([ref()] if kind else [], link())).media
    assert medium.judgement
    assert (medium.ref.url, medium.ref.linked) == (PAGE, linked)


async def test_what_stands_elsewhere_as_a_picture_is_judged_there_too() -> None:
    bench = Bench()
    bench.page()
    assert told(await bench.judge([ref(kind="image"), ref()], link())) == [(PAGE, None)]


@pytest.mark.parametrize(
    ("data", "kind"),
    [(b"%PDF-1.7", "application/pdf"), (b'{"a": 1}', "application/json"), (b"words", "text/plain"), (b"ID3", "x/y")],
)
@pytest.mark.parametrize("known", [True, False])
async def test_other_files_are_no_media(data: bytes, kind: str, known: bool) -> None:
    bench = Bench()
    bench.web.pages[PAGE] = (data, kind)
    assert told(await bench.judge([ref()] if known else [], link())) == []
    assert bench.web.fetched[PAGE] == 0


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(
    ("cause", "shows"),
    [
        (Cause.FETCH_FAILED, HTML),
        (Cause.FETCH_FAILED, None),
        (Cause.FETCH_UNAUTHORIZED, HTML),
        (Cause.FETCH_REFUSED, None),
    ],
)
async def test_a_page_that_cannot_be_had_is_no_medium(cause: Cause, shows: str | None, known: bool) -> None:
    bench = Bench()
    bench.web.pages[PAGE] = FetchError(cause, "no", PAGE, shows=shows)
    assert told(await bench.judge([ref()] if known else [], link())) == []


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("cause", [Cause.TIMEOUT, Cause.BUSY])
async def test_a_page_of_which_nothing_is_known_is_a_cause(cause: Cause, known: bool) -> None:
    bench = Bench()
    bench.web.pages[PAGE] = FetchError(cause, "no", PAGE)
    assert told(await bench.judge([ref()] if known else [], link())) == [(PAGE, str(cause))]
    assert bench.web.fetched[PAGE] == 0


async def test_an_attachment_that_is_no_page_for_us_is_fetched_as_any_other() -> None:
    bench = Bench()
    bench.web.pages[PAGE] = FetchError(Cause.FETCH_FAILED, "another range", PAGE)
    assert told(await bench.judge([ref()], link())) == [(PAGE, None)]


@pytest.mark.parametrize(
    ("shows", "cause"), [(HTML, None), (None, None), ("", "fetch_failed"), ("image/*", "fetch_failed")]
)
async def test_a_preview_image_that_fails_is_none_where_no_picture_was_shown(
    shows: str | None, cause: str | None
) -> None:
    bench = Bench()
    bench.page(IMAGE)
    bench.web.files[IMAGE] = FetchError(Cause.FETCH_FAILED, "no", IMAGE, shows=shows)
    assert told(await bench.judge([], link())) == ([(IMAGE, cause)] if cause else [])


async def test_a_preview_image_that_takes_too_long_is_a_cause() -> None:
    bench = Bench()
    bench.page(IMAGE)
    bench.web.files[IMAGE] = FetchError(Cause.TIMEOUT, "slow", IMAGE)
    assert told(await bench.judge([], link())) == [(IMAGE, "timeout")]


async def test_a_page_that_takes_all_the_time() -> None:
    bench = Bench()
    bench.web.page_gate = asyncio.Event()
    ahead = await bench.ahead.judge([ref("https://a/1", "image")], [link()], timeout=0.05)
    assert told(ahead) == [("https://a/1", None), (PAGE, "timeout")]


async def test_our_own_preview_images_are_not_judged() -> None:
    bench = Bench(domains=frozenset({"own.example"}))
    bench.page("https://own.example/logo.png", IMAGE)
    assert told(await bench.judge([], link())) == [(IMAGE, None)]


async def test_only_the_beginning_of_a_large_page_is_read_and_not_on_the_event_loop() -> None:
    bench = Bench()
    early = f'<html><meta property="og:image" content="{IMAGE}">'.encode()
    late = b'<meta property="og:image" content="/late.png">'
    bench.web.pages[PAGE] = (early + b" " * (1 << 20) + late, HTML)
    assert len(early) + (1 << 20) > READ_INLINE
    assert told(await bench.judge([], link())) == [(IMAGE, None)]


# --- objects ----------------------------------------------------------------------------------------------------------


async def test_the_media_of_a_named_object_are_judged_and_it_speaks() -> None:
    bench = Bench()
    bench.object(note(IMAGE, inReplyTo="https://third.example/1"))
    ahead = await bench.named(NOTE)
    assert [(medium.ref.url, medium.ref.path) for medium in ahead.media] == [(IMAGE, "/object: /attachment/0/url")]
    (named,) = ahead.named
    assert named.speakers == (Speaker("https://other.example/users/b", ("Note",)),)
    assert not named.overflow
    assert bench.web.begun == {NOTE: 1}
    assert bench.web.headers[NOTE] == OBJECT_HEADERS


async def test_an_object_is_fetched_once() -> None:
    bench = Bench()
    bench.object(note(IMAGE))
    assert await bench.named(NOTE) is not await bench.named(NOTE)
    assert (bench.web.begun[NOTE], bench.web.fetched[IMAGE]) == (1, 1)


@pytest.mark.parametrize("links", [True, False])
async def test_the_links_of_an_object_are_looked_at_where_links_are(links: bool) -> None:
    bench = Bench(links=links)
    bench.object(note(type="Page", attachment=[{"type": "Link", "href": PAGE}]))
    bench.page(IMAGE)
    assert told(await bench.named(NOTE)) == [(IMAGE if links else PAGE, None)]


async def test_an_object_that_calls_itself_otherwise_is_asked_for_there_and_no_further() -> None:
    bench = Bench()
    alias, third, decoy = "https://alias.example/1", "https://third.example/1", "https://harmless.example/a.png"
    bench.object(note(decoy), alias)
    bench.object(note(IMAGE, id=third), NOTE)
    ahead = await bench.named(alias)
    assert told(ahead) == [(decoy, None), (IMAGE, None)]  # which of the two a server reads is not known
    assert bench.web.begun == {alias: 1, NOTE: 1}


async def test_an_object_counts_though_what_it_calls_itself_cannot_be_had() -> None:
    bench = Bench()
    gone = "https://other.example/gone"
    bench.object(note(IMAGE, id=gone), NOTE)
    bench.web.pages[gone] = FetchError(Cause.FETCH_FAILED, "no", gone)
    assert told(await bench.named(NOTE)) == [(IMAGE, None)]


async def test_an_object_that_calls_itself_ours_is_not_asked_for() -> None:
    bench = Bench(domains=frozenset({"own.example"}))
    bench.object(note(IMAGE, id="https://own.example/1"))
    assert told(await bench.named(NOTE)) == [(IMAGE, None)]
    assert bench.web.begun == {NOTE: 1}


@pytest.mark.parametrize(
    ("cause", "software", "told_as"),
    [
        (Cause.FETCH_FAILED, "mastodon", None),
        (Cause.FETCH_REFUSED, "mastodon", None),
        (Cause.FETCH_UNAUTHORIZED, "mastodon", "fetch_unauthorized"),
        (Cause.FETCH_UNAUTHORIZED, "lemmy", None),
        (Cause.TIMEOUT, "lemmy", "timeout"),
        (Cause.BUSY, "lemmy", "busy"),
    ],
)
async def test_an_object_that_cannot_be_had(cause: Cause, software: str, told_as: str | None) -> None:
    bench = Bench(software=software)
    bench.web.pages[NOTE] = FetchError(cause, "no", NOTE)
    ahead = await bench.named(NOTE)
    assert (told(ahead), ahead.named) == ([(NOTE, told_as)] if told_as else [], ())


@pytest.mark.parametrize("body", [b"", b"<html>", b"null", b'"https://a.example/"', b"[1]", b"{", b"\xff"])
async def test_what_is_no_object_is_none_for_the_server_either(body: bytes) -> None:
    bench = Bench()
    bench.web.pages[NOTE] = (body, HTML)
    assert await bench.named(NOTE) == Ahead([])


@pytest.mark.parametrize("more", [0, 1])
async def test_an_object_at_and_past_the_most_bytes(more: int) -> None:
    body = json.dumps(note(IMAGE)).encode()
    bench = Bench(body=len(body))
    bench.web.pages[NOTE] = (body + b" " * more, "")
    assert told(await bench.named(NOTE)) == [(NOTE, "too_large") if more else (IMAGE, None)]


@pytest.mark.parametrize(("media", "overflow"), [(2, False), (1, True)])
async def test_an_object_with_more_than_is_walked_says_so(media: int, overflow: bool) -> None:
    bench = Bench(media=media)
    bench.object(note("https://a/1.png", "https://a/2.png"))
    assert (await bench.named(NOTE)).named[0].overflow is overflow


@pytest.mark.parametrize(("media", "judged"), [(4, 4), (3, 2)])
async def test_the_media_of_all_objects_count_together(media: int, judged: int) -> None:
    bench = Bench(media=media)
    others = ["https://a.example/1", "https://b.example/1"]
    for url in others:
        bench.object(note(f"{url}.png", f"{url}-2.png", id=url), url)
    ahead = await bench.named(*others)
    assert sum(medium.judgement is not None for medium in ahead.media) == judged
    assert [medium.cause for medium in ahead.media if medium.cause] == [Cause.TOO_MANY] * (judged < 4)


async def test_an_object_that_takes_all_the_time() -> None:
    bench = Bench()
    bench.web.page_gate = asyncio.Event()
    ahead = await bench.ahead.judge([], objects=[Link(NOTE, "/object")], timeout=0.05)
    assert told(ahead) == [(NOTE, "timeout")]


async def test_without_links_and_objects_nothing_is_asked_but_the_judge() -> None:
    bench = Bench()
    assert told(await bench.judge([ref()])) == [(PAGE, None)]
    assert bench.web.begun == {}
    assert bench.ahead.version == "eyes-1"
