"""Reads the beginning of a body, for who needs no more of it: the head of a page, or a document that must be small."""

import asyncio
import io
from contextlib import aclosing

import httpx

from addons.fetching.budget import Lease
from addons.fetching.decoding import Decoder
from addons.fetching.dialling import MeteredStream
from addons.fetching.results import Fetched
from addons.fetching.showing import MAX_TYPE
from addons.fetching.trail import Trail
from addons.fetching.transport import body_of
from addons.fetching.urls import Target
from addons.policy.words import Cause

_SLACK = 64 * 1024
_EMPTY = frozenset({204, 205})


class Beginning:
    """One request for at most ``most`` bytes, Content-Encoding undone, that count against ``lease``."""

    def __init__(self, most: int, lease: Lease) -> None:
        self._most = most
        self._lease = lease

    async def read(self, target: Target, response: httpx.Response, trail: Trail, stream: MeteredStream) -> Fetched:
        """What came, ``whole`` or cut off; empty bodies too. Raises FetchError."""
        status = response.status_code
        if not 200 <= status < 300 or status in _EMPTY:
            raise trail.end(Cause.FETCH_FAILED, f"the host answered {status}")
        if status == 206 and not response.headers.get("content-range", "").lower().startswith("bytes 0-"):
            raise trail.end(Cause.FETCH_FAILED, "the host answered with another range than was asked for")
        stream.limit = stream.count + 2 * self._most + _SLACK
        decoder = Decoder(response.headers.get("content-encoding", ""))
        body = io.BytesIO()
        whole = status != 206
        async with aclosing(body_of(response)) as chunks:
            async for chunk in chunks:
                for piece in decoder.feed(chunk):
                    self._lease.grow(len(piece))
                    body.write(piece)
                    if body.tell() > self._most:
                        break
                    await asyncio.sleep(0)
                if body.tell() > self._most:
                    whole = False
                    break
        if whole:
            decoder.finish()
        kind = response.headers.get("content-type", "")[:MAX_TYPE]
        data = body.getvalue()[: self._most]
        return Fetched(data, target.url, str(trail.address), kind, status, self._lease, whole)
