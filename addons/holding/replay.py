"""Sends a held request to the server again, byte for byte, and reads what it answers."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from urllib.parse import urlsplit

import certifi
import h11

from addons.ledger.clean import printable

HEAD_BYTES = 64 << 10
"""Bytes of an answer's head, all 1xx answers before it included."""
BODY_BYTES = 64 << 10
"""Bytes of an answer's body that are waited for; what is beyond them is not read."""
BODY_SECONDS = 5.0
"""Seconds that the body may take once the status is known: the status alone decides."""
EXCERPT = 500
"""Characters of the body that are kept for a person."""
CONNECT_SECONDS = 5.0
"""For the connection and its TLS handshake."""
CLOSE_SECONDS = 1.0
"""For saying goodbye."""
_PIECE = 16 << 10


class Verdict(StrEnum):
    """What an answer means for the hold."""

    DONE = "done"
    REFUSED = "refused"
    AGAIN = "again"


def verdict_of(status: int) -> Verdict:
    """2xx: done. 408, 429 and 5xx: try again. All else, redirects too (no server follows one with a POST): refused."""
    if 200 <= status < 300:
        return Verdict.DONE
    if status in (408, 429) or status >= 500:
        return Verdict.AGAIN
    return Verdict.REFUSED


class UnreachableError(Exception):
    """No answer was had. ``connected``: a connection was, so the server may have got the request all the same."""

    def __init__(self, message: str, *, connected: bool) -> None:
        super().__init__(message)
        self.connected = connected


@dataclass(frozen=True, slots=True)
class Reply:
    """The server's answer. ``retry_after``: seconds that it asks us to wait, if it does."""

    status: int
    reason: str = ""
    excerpt: str = ""
    retry_after: float | None = None

    def __str__(self) -> str:
        """For the ledger: status and what it said."""
        return " ".join(part for part in (str(self.status), self.reason, self.excerpt) if part)


class Replayer:
    """Sends requests to one server, each over a connection of its own. Redirects are not followed.

    Nothing is added to the request: the connection is closed once the answer is there.
    """

    def __init__(
        self, upstream: str, *, connect: float = CONNECT_SECONDS, authorities: ssl.SSLContext | None = None
    ) -> None:
        """``upstream``: ``http://host:port`` or ``https://…``, as ``server.upstream``.

        ``authorities``: who may vouch for an https one; by default those that the doors trust too.
        """
        parts = urlsplit(upstream)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{upstream!r} is no http or https URL of a server")
        self.upstream = upstream
        self._host = parts.hostname
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._connect = connect
        self._tls: ssl.SSLContext | None = None
        if parts.scheme == "https":
            self._tls = authorities or ssl.create_default_context(cafile=certifi.where())

    async def reachable(self) -> bool:
        """Whether the server takes a connection (TLS included) just now; nothing is sent."""
        try:
            async with asyncio.timeout(self._connect):
                _, writer = await self._open()
        except (OSError, TimeoutError):
            return False
        await _close(writer)
        return True

    async def send(self, head: bytes, body: bytes, timeout: float) -> Reply:
        """Send the request and read its answer: ``timeout`` seconds until its status is known, a few more for its body.

        Raises UnreachableError.
        """
        async with contextlib.AsyncExitStack() as stack:
            connected = False
            try:
                async with asyncio.timeout(timeout):
                    async with asyncio.timeout(self._connect):
                        reader, writer = await self._open()
                    stack.push_async_callback(_close, writer)
                    connected = True
                    # Beside the reading: a server may refuse a body half-way, and then reads no more of it.
                    await stack.enter_async_context(_sending(writer, head + body))
                    answer = _Answer(reader, head)
                    await answer.read_head()
            except TimeoutError:
                what = f"did not answer within {timeout:g} s" if connected else "took no connection in time"
                raise UnreachableError(f"the server at {self.upstream} {what}", connected=connected) from None
            except h11.RemoteProtocolError as error:
                what = f"gave no answer that can be understood: {error}"
                raise UnreachableError(f"the server at {self.upstream} {what}", connected=True) from None
            except OSError as error:
                what = "broke the connection off" if connected else "cannot be reached"
                raise UnreachableError(
                    f"the server at {self.upstream} {what}: {error.strerror or error}", connected=connected
                ) from None
            await answer.read_body()
            return answer.reply()

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        name = self._host if self._tls else None
        return await asyncio.open_connection(self._host, self._port, ssl=self._tls, server_hostname=name)


class _Answer:
    """The answer to the request with this ``head``, as it is read."""

    def __init__(self, reader: asyncio.StreamReader, head: bytes) -> None:
        self._reader = reader
        self._parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES)
        # The parser is told the method and nothing else: what was sent went past it.
        method = head.split(b" ", 1)[0]
        self._parser.send(h11.Request(method=method, target=b"/", headers=[("Host", "-"), ("Content-Length", "0")]))
        self._parser.send(h11.EndOfMessage())
        self._read = 0
        self._response: h11.Response | None = None
        self._text = b""

    async def read_head(self) -> None:
        """Up to the final status and its headers. Raises OSError, h11.RemoteProtocolError."""
        while self._response is None:
            event = self._parser.next_event()
            if isinstance(event, h11.Response):
                self._response = event
            elif event is h11.NEED_DATA:
                await self._more()
                if self._read > HEAD_BYTES:
                    raise h11.RemoteProtocolError(f"its head has more than {HEAD_BYTES} bytes")

    async def read_body(self) -> None:
        """As much as there is within bounds: the status is known, and it alone decides."""
        with contextlib.suppress(OSError, TimeoutError, h11.RemoteProtocolError):
            async with asyncio.timeout(BODY_SECONDS):
                while len(self._text) < BODY_BYTES:
                    event = self._parser.next_event()
                    if isinstance(event, h11.Data):
                        self._text += bytes(event.data)
                    elif event is h11.NEED_DATA:
                        await self._more()
                    else:
                        return

    def reply(self) -> Reply:
        """What was read, in short."""
        assert self._response is not None
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in self._response.headers}
        return Reply(
            self._response.status_code,
            _plain(self._response.reason),
            _plain(self._text),
            _seconds(headers.get("retry-after")),
        )

    async def _more(self) -> None:
        piece = await self._reader.read(_PIECE)
        if not piece and self._response is None and not self._read:
            raise ConnectionResetError("it closed the connection without an answer")
        self._read += len(piece)
        self._parser.receive_data(piece)


@contextlib.asynccontextmanager
async def _sending(writer: asyncio.StreamWriter, data: bytes) -> AsyncIterator[None]:
    """Send while the block runs. That it fails is no matter here: then there is no answer to read either."""
    writer.write(data)
    sending = asyncio.ensure_future(writer.drain())
    try:
        yield
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def _close(writer: asyncio.StreamWriter) -> None:
    if not writer.transport.get_write_buffer_size():  # else the server does not read the rest, and never will
        writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await writer.wait_closed()
    writer.transport.abort()


def _plain(text: bytes) -> str:
    """The beginning of a text in one line that can be printed."""
    return printable(" ".join(text[: 4 * EXCERPT].decode("utf-8", "replace").split()))[:EXCERPT]


def _seconds(retry_after: str | None) -> float | None:
    """Retry-After as seconds from now (RFC 9110 section 10.2.3: seconds, or a date); None where it says nothing."""
    if not retry_after:
        return None
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after[:9])
    try:
        at = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())
