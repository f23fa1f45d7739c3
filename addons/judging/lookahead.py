"""Looks ahead at what a server will fetch next: the preview images of pages that a post links to, and named objects."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from addons.activitypub.pages import preview_images
from addons.activitypub.parsing import MalformedActivityError, parse
from addons.activitypub.references import Link, MediaRef
from addons.activitypub.speakers import Speaker, speakers
from addons.activitypub.urls import is_iri
from addons.activitypub.walk import walk
from addons.fetching.results import Fetched, FetchError
from addons.fetching.showing import shown_type
from addons.fetching.slots import Waiting
from addons.fetching.user_agents import PAGE_BYTES
from addons.judging.judge import WORK_SECONDS, Judge
from addons.judging.looking import Scope
from addons.judging.pictures import is_no_picture
from addons.judging.remembered import Remembered
from addons.policy.words import Cause, Medium
from classifier import media_type_of

SECONDS = 600.0
PAGES = 5_000
OBJECTS = 2_000
READ_INLINE = 8 << 10
"""Bytes of a page or object that are read on the event loop; more would stall other connections."""
SPEAKERS = 8
OBJECT_HEADERS = {
    # Mastodon sends all of it, Lemmy the first alone: no server tells them apart.
    "Accept": 'application/activity+json, application/ld+json; profile="https://www.w3.org/ns/activitystreams"',
}

_PICTURES = ("image/", "video/", "multipart/")
_LOST = frozenset({Cause.TIMEOUT, Cause.BUSY})
"""A server may wait longer, or ask later: nothing is known of what it will find."""


class Begins(Protocol):
    """The part of :class:`addons.fetching.client.Fetcher` that is needed here."""

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
        """Fetch at most so many bytes of a URL, or raise FetchError."""
        ...


@dataclass(frozen=True, slots=True)
class Named:
    """An object as its host gave it: who speaks in it, its media, the links of its posts.

    ``overflow``: there is more of something than is looked at. ``weight``: as :class:`remembered.Weighs` says it.
    """

    url: str
    speakers: tuple[Speaker, ...]
    media: tuple[MediaRef, ...]
    links: tuple[Link, ...]
    overflow: bool
    again: str | None = None
    """The IRI that it calls its own where that is another: servers then ask there."""

    def and_(self, other: "Named") -> "Named":
        """Both of them as one."""
        return Named(
            self.url,
            tuple(dict.fromkeys((*self.speakers, *other.speakers))),
            tuple(dict.fromkeys((*self.media, *other.media))),
            tuple(dict.fromkeys((*self.links, *other.links))),
            self.overflow or other.overflow,
        )

    @property
    def weight(self) -> int:
        """Characters it holds."""
        refs = sum(len(ref.url) + len(ref.path) for ref in self.media) + sum(len(x.url) for x in self.links)
        return refs + sum(len(one.actor or "") + sum(map(len, one.types)) for one in self.speakers)


@dataclass(frozen=True, slots=True)
class Ahead:
    """All media of a delivery, judged, with those found ahead; the objects that were had, each a speaker's own."""

    media: list[Medium]
    named: tuple[Named, ...] = ()


@dataclass(frozen=True, slots=True)
class _Page:
    """What a link leads to: the media type that is shown, and a page's preview images."""

    shows: str
    images: tuple[str, ...]

    @property
    def weight(self) -> int:
        return sum(map(len, self.images))


class _Room:
    """How many more media the objects of one delivery may bring."""

    def __init__(self, left: int) -> None:
        self._left = left

    def take(self, refs: Sequence[MediaRef]) -> bool:
        self._left -= len({ref.url for ref in refs})
        return self._left >= 0


class LookAhead:
    """Shared by all deliveries of one process; belongs to one event loop. ``clock`` in seconds."""

    def __init__(
        self,
        fetcher: Begins,
        judge: Judge,
        scope: Scope,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetcher = fetcher
        self._judge = judge
        self._scope = scope
        self._clock = clock
        self._pages = Remembered(self._find_page, seconds=SECONDS, entries=PAGES, clock=clock)
        self._objects = Remembered(self._find_object, seconds=SECONDS, entries=OBJECTS, clock=clock)

    @property
    def version(self) -> str:
        """Which detectors judge."""
        return self._judge.version

    @property
    def in_flight(self) -> int:
        """How many pages and objects are being fetched."""
        return self._pages.in_flight + self._objects.in_flight

    async def judge(
        self,
        refs: Sequence[MediaRef],
        links: Sequence[Link] = (),
        objects: Sequence[Link] = (),
        *,
        timeout: float,
        share: str = "",
    ) -> Ahead:
        """Judge media as :meth:`Judge.judge` does, and side by side with them what links and objects lead to.

        All of it within ``timeout`` seconds. A link that is among ``refs`` too (an attachment that says no type) is
        fetched as a page first, and as a medium only where it is none. An object's own references are not followed.
        """
        if not links and not objects:
            return Ahead(await self._judge.judge(refs, timeout=timeout, share=share))
        until = self._clock() + timeout
        async with asyncio.TaskGroup() as group:
            media = group.create_task(self._media(refs, links, until, share))
            room = _Room(self._scope.media)
            named = [group.create_task(self._object(link, room, until, share)) for link in objects]
        found, given = media.result(), [task.result() for task in named]
        return Ahead(
            [*found, *(medium for more, _ in given for medium in more)],
            tuple(one for _, one in given if one is not None),
        )

    # -- links ---------------------------------------------------------------------------------------------------------

    async def _media(self, refs: Sequence[MediaRef], links: Sequence[Link], until: float, share: str) -> list[Medium]:
        linked = {link.url: link for link in links}
        pages: dict[str, list[MediaRef]] = {}
        plain = []
        for ref in refs:
            if ref.kind == "page" and ref.url in linked:
                pages.setdefault(ref.url, []).append(ref)
            else:
                plain.append(ref)
        async with asyncio.TaskGroup() as group:
            judging = group.create_task(self._judge.judge(plain, timeout=until - self._clock(), share=share))
            looking = [
                group.create_task(self._link(link, pages.get(url, []), until, share)) for url, link in linked.items()
            ]
        return [*judging.result(), *(medium for task in looking for medium in task.result())]

    async def _link(self, link: Link, owns: Sequence[MediaRef], until: float, share: str) -> list[Medium]:
        """The media behind one link: ``owns`` (references to it as a medium), where it is one, or a page's images."""
        try:
            page = await self._pages.get(link.url, timeout=until - self._clock(), share=share)
        except FetchError as error:
            if error.cause in _LOST:
                return [_failed(ref, error) for ref in owns or (_ref(link),)]
            refs = [ref for ref in owns if not is_no_picture(ref, error.cause, error.shows)]
            return await self._judge.judge(refs, timeout=until - self._clock(), share=share)
        refs = [ref for ref in owns if not is_no_picture(ref, Cause.UNSUPPORTED, page.shows)]
        if not owns and page.shows.startswith(_PICTURES):
            refs = [replace(_ref(link), linked=True)]
        sensitive = bool(owns) and all(ref.sensitive for ref in owns)
        others = (url for url in page.images if not self._scope.is_ours(url))
        refs += (MediaRef(url, "page", link.path, sensitive) for url in others)
        return await self._judge.judge(refs, timeout=until - self._clock(), share=share)

    async def _find_page(self, url: str, waiting: Waiting, share: str) -> _Page:
        fetched = await self._fetcher.get_beginning(
            url,
            PAGE_BYTES,
            headers=self._scope.page_headers,
            timeout=WORK_SECONDS,
            waiting=waiting,
            share=share,
        )
        async with fetched:
            return await _aside(len(fetched.data), lambda: _read_page(fetched))

    # -- objects -------------------------------------------------------------------------------------------------------

    async def _object(self, link: Link, room: _Room, until: float, share: str) -> tuple[list[Medium], Named | None]:
        try:
            found = await self._objects.get(link.url, timeout=until - self._clock(), share=share)
        except FetchError as error:
            return self._not_had(link, error), None
        if found.again is not None and not self._scope.is_ours(found.again):
            # Both count: which of them a server reads is not known.
            with contextlib.suppress(FetchError):
                found = found.and_(await self._objects.get(found.again, timeout=until - self._clock(), share=share))
        if not room.take(found.media):
            message = f"{link.url[:200]}: with it there are more than {self._scope.media} media (limits.media)"
            return [Medium(_ref(link), cause=Cause.TOO_MANY, message=message)], found
        media = await self._media(found.media, found.links, until, share)
        # Where it stood in the object, behind where that stands in the delivery.
        told = (replace(one, ref=replace(one.ref, path=f"{link.path}: {one.ref.path}")) for one in media)
        return list(told), found

    def _not_had(self, link: Link, error: FetchError) -> list[Medium]:
        """Nothing, where the server cannot have the object either."""
        refused = error.cause is Cause.FETCH_UNAUTHORIZED and self._scope.signed
        if error.cause not in _LOST and error.cause is not Cause.TOO_LARGE and not refused:
            return []
        return [_failed(_ref(link), error)]

    async def _find_object(self, url: str, waiting: Waiting, share: str) -> Named:
        most = self._scope.body
        fetched = await self._fetcher.get_beginning(
            url, most, headers=OBJECT_HEADERS, timeout=WORK_SECONDS, waiting=waiting, share=share
        )
        async with fetched:
            if not fetched.whole:
                message = f"an object of more than {most} bytes (limits.body)"
                raise FetchError(Cause.TOO_LARGE, message, fetched.url, fetched.address)
            try:
                return await _aside(len(fetched.data), lambda: self._read_object(url, fetched))
            except MalformedActivityError as error:
                message = f"what was named as an object is none: {error}"
                raise FetchError(Cause.FETCH_FAILED, message, fetched.url, fetched.address) from error

    def _read_object(self, url: str, fetched: Fetched) -> Named:
        bounds = self._scope
        parsed = parse(fetched.data, max_depth=bounds.depth, max_nodes=bounds.nodes)
        found = walk(parsed.document, max_depth=bounds.depth, max_nodes=bounds.nodes, max_media=bounds.media)
        told = speakers(parsed.document, found, max_depth=bounds.depth, most=SPEAKERS)
        links, more = bounds.links_of(found)
        own = found.activity_id
        return Named(
            url,
            told.all,
            bounds.media_of(found),
            links,
            found.overflow is not None or told.overflow or more,
            own if own and is_iri(own) and own not in (url, fetched.url) else None,
        )


async def _aside[T](size: int, work: Callable[[], T]) -> T:
    return work() if size <= READ_INLINE else await asyncio.to_thread(work)


def _read_page(fetched: Fetched) -> _Page:
    shows = shown_type(media_type_of(fetched.data), fetched.content_type)
    if not shows.startswith("text/"):
        return _Page(shows, ())
    return _Page(shows, preview_images(fetched.data, fetched.content_type, fetched.url))


def _failed(ref: MediaRef, error: FetchError) -> Medium:
    return Medium(ref, cause=error.cause, message=str(error), address=error.address)


def _ref(link: Link) -> MediaRef:
    return MediaRef(link.url, "page", link.path)
