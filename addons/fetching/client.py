"""The safe HTTP client: fetches what strangers name, from public addresses only, within bounds of time and bytes."""

import asyncio
import functools
import io
import os
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager

import certifi
import httpcore
import httpx

from addons.fetching.addresses import AddressPolicy
from addons.fetching.beginnings import Beginning
from addons.fetching.budget import BudgetSpentError, Lease, MemoryBudget
from addons.fetching.data_urls import DataTooLargeError, DataUrlError, decode_data_url, is_data_url
from addons.fetching.decoding import Decoder, EncodingError
from addons.fetching.dialling import AddressRefusedError, Dialler, MeteredStream, UnreachableError, WireLimitError
from addons.fetching.ranges import FIRST, InParts, Piece, Reading
from addons.fetching.resolving import ResolveError, Resolver, ResolverBusyError, SystemResolver
from addons.fetching.results import Fetched, FetchError
from addons.fetching.settings import FetchSettings
from addons.fetching.showing import ERROR_BYTES, MAX_TYPE, error_shows
from addons.fetching.slots import NoSlotError, Slots, Waiting
from addons.fetching.trail import Trail
from addons.fetching.transport import OneConnection, body_of
from addons.fetching.urls import Target, UrlRefusedError, follow, parse, shown
from addons.policy.words import Cause

__all__ = ["FetchError", "FetchSettings", "Fetched", "Fetcher", "default_tls"]

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# No body, or not the whole of it, to a GET that asked for neither.
_NOT_WHOLE = frozenset({204, 205, 206})
_SLACK = 1024 * 1024


type Read[T] = Callable[[Target, httpx.Response, Trail, MeteredStream], Awaitable[T]]
"""Makes something of a good answer whose head has come; raises FetchError, or what :func:`_told` tells as one."""


def default_tls() -> ssl.SSLContext:
    """Certificates checked for the name, by the system's authorities and by certifi's where the system has none."""
    return _believing(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@functools.cache
def _believing(file: str | None, folder: str | None) -> ssl.SSLContext:
    """One for the process: reading the authorities takes 40 ms. The key is what OpenSSL takes from the environment."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


@contextmanager
def _told(trail: Trail, timeout: float) -> Iterator[None]:
    """Tells whatever can go wrong as a FetchError."""
    try:
        yield
    except TimeoutError as error:
        if trail.waiting.for_slot:
            raise trail.end(Cause.BUSY, f"waited {timeout:g} s for other fetches to end") from error
        raise trail.end(Cause.TIMEOUT, f"not fetched within {timeout:g} s") from error
    except (NoSlotError, ResolverBusyError, BudgetSpentError) as error:
        raise trail.end(Cause.BUSY, str(error)) from error
    except (DataTooLargeError, WireLimitError) as error:
        raise trail.end(Cause.TOO_LARGE, str(error)) from error
    except UrlRefusedError as error:
        raise trail.end(Cause.FETCH_REFUSED, str(error)) from error
    except AddressRefusedError as error:
        trail.address = error.address
        shows = None if error.whole else ""
        raise trail.end(Cause.FETCH_REFUSED, f"{error}; fetch.allow can open it", shows) from error
    except httpcore.TimeoutException as error:
        raise trail.end(Cause.TIMEOUT, "the host did not answer") from error
    except ResolveError as error:
        raise trail.end(Cause.FETCH_FAILED, str(error), None) from error
    except (EncodingError, DataUrlError) as error:
        raise trail.end(Cause.FETCH_FAILED, str(error)) from error
    except UnreachableError as error:
        raise trail.end(Cause.FETCH_FAILED, _said(error), None) from error
    except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
        raise trail.end(Cause.FETCH_FAILED, _said(error)) from error


@contextmanager
def _given_back(lease: Lease) -> Iterator[None]:
    """Releases it unless all goes well: also where the fetch ends while its connection closes, all of it read."""
    try:
        yield
    except BaseException:
        lease.release()
        raise


def _nobody(seconds: float) -> None:
    """Nobody counts."""


class Fetcher:
    """Fetches URLs that strangers wrote.

    One for the whole process: it holds the slots. Redirects are followed by hand, each checked anew; from https to http
    too, since http URLs are fetched anyway, nothing secret is ever sent, and the servers' own clients do the same.
    """

    def __init__(
        self,
        settings: FetchSettings,
        budget: MemoryBudget,
        *,
        resolver: Resolver | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.settings = settings
        self._budget = budget
        self._resolver = resolver or SystemResolver()
        self._tls = tls or default_tls()
        self._policy = AddressPolicy(settings.allow)
        self._routes = settings.upstreams()
        self._slots = Slots(
            per_host=settings.per_host, total=settings.total, queue=settings.queue, shares=settings.shares
        )
        self.took: Callable[[float], None] = _nobody
        """Is told how many seconds each fetch took."""

    async def get(
        self, url: str, *, timeout: float, accept: str | None = None, waiting: Waiting | None = None, share: str = ""
    ) -> Fetched:
        """The body at ``url`` (http, https or data:), which holds its share of the memory budget until released.

        ``timeout``: seconds for all of it: waiting for a slot, names, connections, redirects, the body. ``accept``: the
        Accept header, if not the settings'. ``waiting`` tells a caller with deadlines of its own what is waited for.
        ``share``: whose share of the slots it takes (:func:`addons.senders.shares.share_of`), see
        :class:`addons.fetching.slots.Slots`.

        Raises:
            FetchError: with the cause and a message for a person.
        """
        trail = Trail(url, waiting=waiting or Waiting(), share=share)
        lease = self._budget.take(0)
        with self._timed(), _given_back(lease), _told(trail, timeout):
            if is_data_url(url):
                return self._from_data_url(url, lease)
            headers = {"Accept": accept or self.settings.accept, "Accept-Encoding": self.settings.accept_encoding}
            async with asyncio.timeout(timeout):
                return await self._follow(url, headers, trail, functools.partial(self._whole, lease))

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
        """As ``get``, but no more than ``most`` bytes, and never of a data: URL. ``headers``: beside or instead of the
        settings'.
        """
        trail = Trail(url, waiting=waiting or Waiting(), share=share)
        lease = self._budget.take(0)
        ordinary = {"Accept": self.settings.accept, "Accept-Encoding": self.settings.accept_encoding}
        with self._timed(), _given_back(lease), _told(trail, timeout):
            async with asyncio.timeout(timeout):
                return await self._follow(url, {**ordinary, **headers}, trail, Beginning(most, lease).read)

    async def get_parts(self, url: str, *, timeout: float, waiting: Waiting | None = None, share: str = "") -> InParts:
        """The first bytes at ``url``, to fetch others by range: for a file that ``get`` called too large.

        They hold their share of the memory budget until released. ``timeout`` and the others as of ``get``.

        Raises:
            FetchError: too_large where the host does not serve ranges; else as ``get``.
        """
        trail = Trail(url, waiting=waiting or Waiting(), share=share)
        lease = self._budget.take(0)
        reading = Reading((0, FIRST), None, self.settings.max_bytes, lease)
        with self._timed(), _given_back(lease), _told(trail, timeout):
            async with asyncio.timeout(timeout):
                piece = await self._follow(url, self._for_range(reading), trail, reading.read)
        return InParts(piece, lease, functools.partial(self._piece, share), self.settings.max_bytes)

    @contextmanager
    def _timed(self) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self.took(time.perf_counter() - began)

    async def _piece(
        self,
        share: str,
        target: Target,
        wanted: tuple[int, int],
        first: Piece,
        lease: Lease,
        waiting: Waiting,
        timeout: float,
    ) -> Piece:
        trail = Trail(target.url, waiting=waiting, share=share)
        reading = Reading(wanted, first, self.settings.max_bytes, lease)
        with _told(trail, timeout):
            async with asyncio.timeout(timeout):
                found = await self._hop(target, self._for_range(reading), trail, reading.read)
            if isinstance(found, Target):
                raise trail.end(Cause.FETCH_FAILED, "redirected between two parts of a file")
            return found

    def _for_range(self, reading: Reading) -> dict[str, str]:
        return {"Accept": self.settings.accept, "Accept-Encoding": "identity", **reading.headers}

    def _from_data_url(self, url: str, lease: Lease) -> Fetched:
        # Decoding takes at most twice the URL, so that much must be free before it begins.
        with self._budget.take(2 * min(len(url), 4 * self.settings.max_bytes)):
            found = decode_data_url(url, self.settings.max_bytes)
        lease.grow(len(found.data))
        return Fetched(found.data, shown(url), None, found.content_type, 200, lease)

    async def _follow[T](self, url: str, headers: Mapping[str, str], trail: Trail, read: Read[T]) -> T:
        target = parse(url)
        for _ in range(self.settings.redirects + 1):
            trail.url, trail.address = target.url, None
            if target.port not in self.settings.ports:
                raise UrlRefusedError(f"port {target.port} is not one that is fetched from")
            found = await self._hop(target, headers, trail, read)
            if not isinstance(found, Target):
                return found
            target = found
        raise trail.end(Cause.FETCH_FAILED, f"redirected more than {self.settings.redirects} times")

    async def _hop[T](self, target: Target, headers: Mapping[str, str], trail: Trail, read: Read[T]) -> T | Target:
        """One request: what ``read`` makes of a good answer, or where a redirect leads."""
        route = self._routes.get(target.host)
        to = route or target
        dialler = Dialler(self._resolver, self._policy if route is None else None, to.literal)
        async with self._slots.slot(target.host, trail.waiting, trail.share):
            connection = OneConnection(dialler, self._tls)
            try:
                try:
                    response = await connection.handle_async_request(self._request(target, route, headers))
                except WireLimitError as error:
                    raise trail.end(Cause.FETCH_FAILED, f"no answer, but {error}") from error
                trail.address = dialler.address
                if response.status_code in _REDIRECTS:
                    return _location(target, response, trail)
                if response.status_code >= 400:
                    dialler.stream.limit = dialler.stream.count + 4 * ERROR_BYTES
                    raise await self._error(response, trail)
                return await read(target, response, trail, dialler.stream)
            finally:
                trail.address = dialler.address
                await connection.aclose()

    def _request(self, target: Target, route: Target | None, more: Mapping[str, str]) -> httpx.Request:
        to = target if route is None else Target(route.scheme, route.host, route.literal, route.port, target.target)
        headers = {"Host": target.netloc, "User-Agent": self.settings.user_agent, **more}
        if route is not None:
            # As the admin's own reverse proxy says it: without it Rails redirects to https, which leads here again.
            headers["X-Forwarded-Proto"] = target.scheme
        return httpx.Request("GET", to.url, headers=headers)

    async def _error(self, response: httpx.Response, trail: Trail) -> FetchError:
        status = response.status_code
        cause = Cause.FETCH_UNAUTHORIZED if status in (401, 403) else Cause.FETCH_FAILED
        shows = await error_shows(response, self._budget)
        return trail.end(cause, f"the host answered {status}", shows, status=status)

    def _check_head(self, response: httpx.Response, trail: Trail) -> None:
        status = response.status_code
        if not 200 <= status < 300 or status in _NOT_WHOLE:
            raise trail.end(Cause.FETCH_FAILED, f"the host answered {status}")
        length = response.headers.get("content-length", "")
        if length.isdecimal() and int(length) > self.settings.max_bytes:
            message = f"{length} bytes; at most {self.settings.max_bytes} are fetched"
            raise trail.end(Cause.TOO_LARGE, message, length=int(length))

    async def _whole(
        self, lease: Lease, target: Target, response: httpx.Response, trail: Trail, stream: MeteredStream
    ) -> Fetched:
        self._check_head(response, trail)
        stream.limit = stream.count + 2 * self.settings.max_bytes + _SLACK
        most = self.settings.max_bytes
        decoder = Decoder(response.headers.get("content-encoding", ""))
        # getvalue() shares its buffer, where b"".join would need the bytes twice.
        body = io.BytesIO()
        raw = 0
        async with aclosing(body_of(response)) as chunks:
            async for chunk in chunks:
                raw += len(chunk)
                if raw > most:
                    raise trail.end(Cause.TOO_LARGE, f"more than {most} bytes")
                for piece in decoder.feed(chunk):
                    # Grown by what came, not by what Content-Length promises: that would spend the budget on words.
                    lease.grow(len(piece))
                    if lease.size > most:
                        raise trail.end(Cause.TOO_LARGE, f"more than {most} bytes when decoded")
                    body.write(piece)
                    await asyncio.sleep(0)
        decoder.finish()
        if not lease.size:
            raise trail.end(Cause.FETCH_FAILED, "the host answered with an empty body")
        kind = response.headers.get("content-type", "")[:MAX_TYPE]
        return Fetched(body.getvalue(), target.url, str(trail.address), kind, response.status_code, lease)


def _location(target: Target, response: httpx.Response, trail: Trail) -> Target:
    location = response.headers.get("location", "")
    if not location:
        raise trail.end(Cause.FETCH_FAILED, f"the host answered {response.status_code} without saying where to")
    try:
        return follow(target, location)
    except UrlRefusedError as error:
        raise UrlRefusedError(f"redirected to {shown(location)}: {error}") from error


def _said(error: Exception) -> str:
    """What an error of the network says, printable and short: hosts can put their own bytes into it."""
    text = "".join(character for character in str(error)[:300] if character.isprintable())
    return f"the connection failed: {text or type(error).__name__}"
