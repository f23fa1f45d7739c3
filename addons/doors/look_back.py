"""Finds the images that pict-rs kept under their own URLs before fediward was there."""

import logging
from hashlib import blake2b
from urllib.parse import quote

import httpx
from cachetools import LRUCache

from addons.fetching.urls import shown

logger = logging.getLogger(__name__)

SECONDS = 2.0
"""For one probe: pict-rs looks into its own database and store, nothing else."""
CONNECTIONS = 16
REMEMBERED = 100_000
"""URLs known not to be there, 16 bytes each: no request that passes fediward adds one."""
_FOUND = frozenset({200, 303})
"""303: pict-rs keeps its files in an object storage and says where."""
_ABSENT = frozenset({400, 404})
"""400: pict-rs cannot read it as a URL at all."""


class LookBack:
    """Asks pict-rs whether it keeps an image under its raw URL.

    It asks by HEAD on image/original, which looks the URL up and downloads nothing (pict-rs 0.5.25, src/lib.rs,
    ``serve_query_head``). What is not there is remembered. What is there is asked for anew each time: were it purged
    in the meantime, a raw URL that goes on to pict-rs would be downloaded unjudged, where pict-rs can reach it.
    """

    def __init__(self, upstream: str, *, remembered: int = REMEMBERED, seconds: float = SECONDS) -> None:
        self._upstream = upstream
        self._absent: LRUCache[bytes, None] = LRUCache(remembered)
        self._told = False
        self._client = httpx.AsyncClient(
            trust_env=False,
            timeout=seconds,
            limits=httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS),
        )

    def absent(self, url: str) -> bool:
        """Whether it is known that pict-rs keeps nothing under this URL."""
        return _key(url) in self._absent

    async def finds(self, url: str) -> bool:
        """Whether pict-rs keeps an image under exactly this URL; False also where it does not say."""
        if self.absent(url):
            return False
        try:
            answer = await self._client.head(f"{self._upstream}/image/original?proxy={quote(url, safe='')}")
        except httpx.HTTPError as error:
            self._tell(url, str(error) or type(error).__name__)
            return False
        if answer.status_code not in (*_FOUND, *_ABSENT):
            self._tell(url, f"status {answer.status_code}")
            return False
        self._told = False
        if answer.status_code in _ABSENT:
            self._absent[_key(url)] = None
        return answer.status_code in _FOUND

    def _tell(self, url: str, why: str) -> None:
        """Once, until it answers again: every request asks."""
        if not self._told:
            self._told = True
            logger.warning(
                "pict-rs at %s does not say whether it has %s from before (%s): until it does, all such images are "
                "fetched anew. See pict-rs's own log; `doors.pictrs.look_back: false` if it has none from before",
                *(self._upstream, shown(url), why),
            )

    async def close(self) -> None:
        """Close its connections."""
        await self._client.aclose()


def _key(url: str) -> bytes:
    return blake2b(url.encode(), digest_size=16).digest()
