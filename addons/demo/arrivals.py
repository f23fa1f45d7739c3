"""Requests as they reached a server of the demo, and what is not as it was sent."""

from dataclasses import dataclass

import httpx
from starlette.requests import Request


@dataclass(slots=True)
class Arrival:
    """One request as it reached a server: ``headers`` lower-cased, ``body`` as on the wire; ``id`` a delivery's.

    ``pictures`` and ``videos`` are how many the server could then fetch; None while it is still fetching.
    """

    id: str
    target: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes
    pictures: int | None = None
    videos: int | None = None

    @classmethod
    async def of(cls, request: Request) -> "Arrival":
        """All of a request, without an id."""
        target: bytes = request.scope["raw_path"]
        if request.scope["query_string"]:
            target += b"?" + request.scope["query_string"]
        return cls("", target, list(request.headers.raw), await request.body())

    def changes(self, sent: httpx.Request) -> list[str]:
        """What is not as it was sent: path, headers (names, values and order), body."""
        headers = [(name.lower(), value) for name, value in sent.headers.raw]
        pairs = {
            "path": (self.target, sent.url.raw_path),
            "headers": (self.headers, headers),
            "body": (self.body, sent.content),
        }
        return [name for name, (got, wanted) in pairs.items() if got != wanted]
