"""A request's head and the end of its chunks, read strictly: what two parsers could read differently is refused."""

import json
import re
from http import HTTPStatus

import h11
from h11._readers import ChunkedReader
from h11._receivebuffer import ReceiveBuffer
from mitmproxy import http
from mitmproxy.net.http import http1

from addons.doors.messages import IndexedHeaders

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # RFC 9110 section 5.6.2
_REQUEST_LINE = re.compile(_TOKEN + rb" ([\x21-\x7e\x80-\xff]+) HTTP/[0-9]\.[0-9]")
_FIELD_LINE = re.compile(_TOKEN + rb":[\t\x20-\x7e\x80-\xff]*")
ERROR_TEXTS = {
    400: "the request is malformed",
    413: "the request body is too large",
    502: "the server could not be reached",
}


class MalformedHeadError(ValueError):
    """A request head that parsers read in different ways, or not at all: refused with ``status``."""

    status = 400


def read_head(lines: list[bytes], size: int) -> http.Request:
    """Parse a request head of ``size`` bytes, its lines without their ends, so that it goes out as it came in.

    The path of the request is the whole target as written, in absolute form too. Raises :class:`MalformedHeadError`.
    Source: RFC 9112 sections 2.2, 3, 3.2, 5, 6.1; RFC 9110 section 5.5.
    """
    if size != sum(map(len, lines)) + 2 * len(lines) + 2:
        raise MalformedHeadError("a line of the head does not end in CR LF")
    line = _REQUEST_LINE.fullmatch(lines[0])
    if line is None:
        raise MalformedHeadError("the request line is malformed")
    hosts = 0
    for field in lines[1:]:
        if not _FIELD_LINE.fullmatch(field):
            raise MalformedHeadError("a header is malformed, folded or holds a control character")
        name, _, value = field.partition(b":")
        name = name.lower()
        if name == b"host":
            hosts += 1
        elif name == b"transfer-encoding" and value.strip().lower() != b"chunked":
            raise MalformedHeadError("the only transfer encoding taken is chunked")
    if hosts > 1:
        raise MalformedHeadError("there is more than one Host header")
    try:
        request = http1.read_request_head(lines)
    except ValueError as error:
        raise MalformedHeadError("the request head is malformed") from error
    if request.http_version not in ("HTTP/1.1", "HTTP/1.0"):
        raise MalformedHeadError("only HTTP/1.1 and HTTP/1.0 are spoken here")
    if not hosts and request.http_version == "HTTP/1.1":
        raise MalformedHeadError("there is no Host header")
    request.data.headers = IndexedHeaders.of(request.headers)
    if request.data.authority:
        # mitmproxy would write the scheme and an empty path anew, and they may be signed.
        request.data.scheme, request.data.authority, request.data.path = b"", b"", line[1]
    return request


class StrictChunkedReader(ChunkedReader):
    """Reads a chunked request body that ends without trailers and with nothing but CR LF.

    Trailers could carry what was not looked at, and nobody in the fediverse sends them.
    """

    _end = b"\r\n"

    def __call__(self, buf: ReceiveBuffer) -> h11.Data | h11.EndOfMessage | None:
        """The next part, None: more bytes are needed. Raises ``h11.ProtocolError``."""
        if not self._reading_trailer:
            return super().__call__(buf)
        got = buf.maybe_extract_at_most(len(self._end))
        if got is None:
            return None
        if not self._end.startswith(got):
            raise h11.RemoteProtocolError("a chunked body must not end in trailers")
        self._end = self._end[len(got) :]
        return None if self._end else h11.EndOfMessage()


def error_response(status: int, message: str) -> bytes:
    """A whole response with a neutral JSON body; the connection ends with it."""
    body = json.dumps({"error": message}).encode()
    reason = HTTPStatus(status).phrase if status in HTTPStatus else "Error"
    head = (
        f"HTTP/1.1 {status} {reason}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
