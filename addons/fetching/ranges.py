"""A large file fetched by range: the first bytes, then those asked for, all of one and the same file, within bounds."""

import asyncio
import io
import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import httpx

from addons.fetching.budget import Lease
from addons.fetching.dialling import MeteredStream
from addons.fetching.results import FetchError
from addons.fetching.showing import MAX_TYPE
from addons.fetching.slots import Waiting
from addons.fetching.trail import Trail
from addons.fetching.transport import body_of
from addons.fetching.urls import Target
from addons.policy.words import Cause
from classifier import Parts

FIRST = 1 << 20
"""Bytes asked for first: the index stands here, where the file was made to be played while it is fetched."""
REQUESTS = 32
"""Requests for one file at most, the first among them."""
AT_ONCE = 4
"""Requests for one file at a time."""
MAX_TAG = 256
"""Characters of an ETag that is sent back."""

# RFC 9110 14.4. A total that is not said ("*") is of no use here.
_CONTENT_RANGE = re.compile(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15})")
_STRONG_TAG = re.compile(r'"[\x21\x23-\x7e]*"')
_SLACK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Piece:
    """Some bytes of a file, and what the host says about the whole."""

    offset: int
    data: bytes
    size: int
    tag: str
    changed: str
    target: Target
    address: str
    content_type: str

    def is_of_the_same(self, other: "Piece") -> bool:
        """Whether both are of one file, as far as the host says."""
        return (self.size, self.tag, self.changed) == (other.size, other.tag, other.changed)


class Reading:
    """One request for ``wanted`` (offset and length) of the file that ``first`` is of; None: this is the first one.

    What is read counts against the file's ``lease``, whatever comes of it.
    """

    def __init__(self, wanted: tuple[int, int], first: Piece | None, most: int, lease: Lease) -> None:
        self._offset, self._length = wanted
        self._first = first
        self._most = most
        self._lease = lease

    @property
    def headers(self) -> dict[str, str]:
        """What is sent beside the ordinary headers."""
        headers = {"Range": f"bytes={self._offset}-{self._offset + self._length - 1}"}
        if self._first and _STRONG_TAG.fullmatch(self._first.tag):
            headers["If-Range"] = self._first.tag
        return headers

    async def read(self, target: Target, response: httpx.Response, trail: Trail, stream: MeteredStream) -> Piece:
        """The piece, exactly as asked for. Raises FetchError."""
        size = self._size(response, trail)
        length = min(self._length, size - self._offset)
        stream.limit = stream.count + 2 * length + _SLACK
        body = io.BytesIO()
        async with aclosing(body_of(response)) as chunks:
            async for chunk in chunks:
                self._lease.grow(len(chunk))
                body.write(chunk)
                if body.tell() > length:
                    break
        if body.tell() != length:
            raise trail.end(Cause.FETCH_FAILED, f"not the {length} bytes that were asked for")
        piece = self._piece(target, response, trail, size, body.getvalue())
        if self._first and not piece.is_of_the_same(self._first):
            raise trail.end(Cause.FETCH_FAILED, "the file was changed between two parts of it")
        return piece

    def _size(self, response: httpx.Response, trail: Trail) -> int:
        """The whole file's, once the head promises what was asked for."""
        headers = response.headers
        if response.status_code != 206:
            if self._first:
                raise trail.end(Cause.FETCH_FAILED, f"the host answered {response.status_code} to a range")
            most = f"larger than the {self._most} bytes that are fetched"
            raise trail.end(Cause.TOO_LARGE, f"{most}, and the host does not serve parts of it")
        said = _CONTENT_RANGE.fullmatch(headers.get("content-range", ""))
        encoding = headers.get("content-encoding", "identity").strip().lower()
        if said is None or encoding not in ("", "identity"):
            raise trail.end(Cause.FETCH_FAILED, "the host answered with something else than one range")
        start, end, size = (int(number) for number in said.groups())
        if start != self._offset or end != min(start + self._length, size) - 1 or end < start:
            raise trail.end(Cause.FETCH_FAILED, "the host answered with another range than was asked for")
        return size

    def _piece(self, target: Target, response: httpx.Response, trail: Trail, size: int, data: bytes) -> Piece:
        said = response.headers
        tag, changed = said.get("etag", "")[:MAX_TAG], said.get("last-modified", "")[:MAX_TAG]
        kind = said.get("content-type", "")[:MAX_TYPE]
        return Piece(self._offset, data, size, tag, changed, target, str(trail.address), kind)


type GetPiece = Callable[[Target, tuple[int, int], Piece, Lease, Waiting, float], Awaitable[Piece]]


class InParts:
    """A file that is fetched as far as it is needed. Its bytes count against the memory budget until released."""

    def __init__(self, first: Piece, lease: Lease, get: GetPiece, most: int) -> None:
        self.parts = Parts.of(first.size, [(first.offset, first.data)])
        """What is known of it."""
        self.url = first.target.url
        self.address = first.address
        self.content_type = first.content_type
        self._first = first
        self._get = get
        self._most = most
        self._requests = 1
        self._lease = lease

    async def fetch(self, ranges: Sequence[tuple[int, int]], *, timeout: float) -> None:
        """Add these (offset and length) to ``parts``, those beyond its end left out, within ``timeout`` seconds.

        Raises:
            FetchError: too_large past ``REQUESTS`` requests or the bytes one fetch may take; fetch_failed where the
                host does not give what it promised, or another file; else as any fetch.
        """
        size = self.parts.size
        wanted = [
            (offset, min(length, size - offset)) for offset, length in ranges if 0 <= offset < size and length > 0
        ]
        total = self.parts.known + sum(length for _, length in wanted)
        if not wanted or total > self._most or self._requests + len(wanted) > REQUESTS:
            raise self._too_large(
                f"what is needed of its {size} bytes is more than {self._most}, or in too many places"
            )
        self._requests += len(wanted)
        at_once = asyncio.Semaphore(AT_ONCE)

        async def one(part: tuple[int, int]) -> Piece:
            async with at_once:
                return await self._get(self._first.target, part, self._first, self._lease, Waiting(), timeout)

        try:
            async with asyncio.timeout(timeout), asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(part)) for part in wanted]
        except* FetchError as errors:
            raise _first_of(errors) from errors
        except* TimeoutError as errors:
            raise FetchError(Cause.TIMEOUT, f"not fetched within {timeout:g} s", self.url, self.address) from errors
        known = [*self.parts.pieces, *((task.result().offset, task.result().data) for task in tasks)]
        self.parts = Parts.of(size, known)

    def too_large(self) -> FetchError:
        """Why it was not judged, where however much was fetched did not suffice."""
        return self._too_large(f"of its {self.parts.size} bytes {self.parts.known} were not enough to judge it")

    def release(self) -> None:
        """Give the bytes' share of the budget back; a second call does nothing."""
        self._lease.release()

    async def __aenter__(self) -> Self:
        """This file."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release."""
        self.release()

    def _too_large(self, message: str) -> FetchError:
        return FetchError(Cause.TOO_LARGE, message, self.url, self.address)


def _first_of(errors: BaseExceptionGroup[FetchError]) -> FetchError:
    first = errors.exceptions[0]
    return _first_of(first) if isinstance(first, BaseExceptionGroup) else first
