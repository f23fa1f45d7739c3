"""What somebody who opens a URL is shown, as a media type: whether there can be a picture in what we could not use."""

import asyncio
from contextlib import aclosing

import httpcore
import httpx

from addons.fetching.budget import BudgetSpentError, MemoryBudget
from addons.fetching.decoding import Decoder, EncodingError
from addons.fetching.dialling import WireLimitError
from addons.fetching.transport import body_of
from classifier import media_type_of

ERROR_BYTES = 64 * 1024
"""Bytes of an error answer's body that are looked at, as sent and decoded alike."""
ERROR_SECONDS = 2.0
"""How long an error answer's body is waited for; most come together with the head."""
MAX_TYPE = 256
"""Characters of a Content-Type; what stands in a longer one is not known."""

# Known by how they begin, whatever follows.
_BY_BEGINNING = frozenset({"text/html", "application/json"})


def shown_type(content: str, header: str) -> str:
    """The media type that is shown: ``content`` (by content) unless the Content-Type ``header`` speaks of pictures.

    A browser draws what is sent as ``image/svg+xml`` though it begins like an HTML page, and the images of a
    ``multipart/x-mixed-replace`` one after the other. "" where the header is too long to be trusted.
    """
    if len(header) >= MAX_TYPE:
        return ""
    said = header.lower()
    # Anywhere: of several headers, the last one counts to browsers.
    return next((kind for kind in ("image/*", "multipart/*") if kind[:-1] in said), content)


async def error_shows(response: httpx.Response, budget: MemoryBudget) -> str | None:
    """What the body of an error answer shows, as :attr:`addons.fetching.results.FetchError.shows` says it.

    Never raises for what a host sends: then it is not known.
    """
    try:
        with budget.take(2 * ERROR_BYTES):
            async with asyncio.timeout(ERROR_SECONDS):
                body, whole = await _beginning(response)
            content = media_type_of(body)
    except (BudgetSpentError, EncodingError, WireLimitError, OSError):
        return ""
    except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException):
        return ""
    if not whole and content not in _BY_BEGINNING:
        return ""
    shown = shown_type(content, response.headers.get("content-type", ""))
    return None if not body and shown == content else shown


async def _beginning(response: httpx.Response) -> tuple[bytes, bool]:
    """The first ``ERROR_BYTES`` of a body, Content-Encoding undone, and whether that is all of it."""
    decoder = Decoder(response.headers.get("content-encoding", ""))
    body = bytearray()
    raw = 0
    async with aclosing(body_of(response)) as chunks:
        async for chunk in chunks:
            raw += len(chunk)
            for piece in decoder.feed(chunk):
                body += piece
                if len(body) > ERROR_BYTES:
                    return bytes(body[:ERROR_BYTES]), False
            if raw > ERROR_BYTES:
                return bytes(body), False
    decoder.finish()
    return bytes(body), True
