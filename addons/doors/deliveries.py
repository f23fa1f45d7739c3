"""What is a delivery, and what is in its body: pure functions on a request's head and bytes."""

import re
import unicodedata
import zlib
from collections.abc import Sequence
from urllib.parse import parse_qsl, unquote

import brotli
import zstandard

INBOXES = frozenset({"inbox", "site_inbox", "sharedinbox"})
CONTENT_TYPES = ("activity+json", "ld+json")
MAX_ENCODINGS = 3
MAX_DECODINGS = 8
ROUTES = frozenset({"rest_route", "pagename"})
MAX_MEMBERS = 16
"""Streams that one encoded body may be made of; each costs time, and honest senders send one."""
_PIECE = 64 << 10
# Fastify (Misskey) ends a path at a semicolon too, C at NUL.
_PATH_END = re.compile(r"[?#;\0]")
_NAME_END = re.compile(r"[;\0]")
_CHARSET = re.compile(r"""charset\s*(\*?)[0-9]*\*?\s*=\s*["']?([^\s;,"']*)""", re.IGNORECASE)
METHOD_HEADERS = frozenset({b"x-http-method-override", b"x-http-method", b"x-method-override"})
"""Rack, Symfony and Express take a request's method from these, and from ``_method`` in its query."""
PATH_HEADERS = frozenset({b"x-original-url", b"x-rewrite-url"})
"""IIS, and older Symfony and Zend, take its path from these."""


def is_delivery(method: str, path: str, content_types: Sequence[str]) -> bool:
    """Whether a request may deliver an activity: an ActivityPub content type, or a path that some server would read
    as an inbox. When in doubt it is one: what is not looked at here is looked at nowhere."""
    if method.upper() != "POST":
        return False
    types = [value.lower() for value in content_types]
    if any(name in value for value in types for name in CONTENT_TYPES):
        return True
    if names_inbox(path):
        return True
    if "?" not in path:
        return False
    # WordPress and Friendica without pretty URLs take the route from the query.
    asked = parse_qsl(path.partition("?")[2])
    return any(name in ROUTES and names_inbox(value) for name, value in asked)


def is_disguised(method: str, path: str, headers: Sequence[tuple[bytes, bytes]]) -> bool:
    """Whether a request that is no delivery by its first line is one to who believes its headers, or its query, more.

    Nobody honest says so, and no reading of it is the right one: such a request is to be refused.
    """
    said = [(name.lower(), value.decode("latin-1").strip()) for name, value in headers if name[:2].lower() == b"x-"]
    methods = [value for name, value in said if name in METHOD_HEADERS]
    paths = [value for name, value in said if name in PATH_HEADERS]
    posted = method.upper() == "POST"
    if posted and not paths:
        return False
    if not posted and "?" in path and names_inbox(path):
        methods += [value for name, value in parse_qsl(path.partition("?")[2]) if name.lower() == "_method"]
    if not posted and "POST" not in map(str.upper, methods):
        return False
    return not (posted and names_inbox(path)) and any(names_inbox(each) for each in (path, *paths))


def unknown_charset(content_types: Sequence[str]) -> str | None:
    """A charset other than UTF-8 that a delivery claims: some servers would read other text than we do (UTF-7)."""
    for value in content_types:
        for match in _CHARSET.finditer(value):
            # A value in RFC 8187's form names a charset of its own; no honest one has need of that.
            if match[1] or match[2].lower() not in ("", "utf-8", "utf8", "us-ascii", "ascii"):
                return match[2][:40]
    return None


def names_inbox(path: str) -> bool:
    """Whether the most lenient server would read a request target as an inbox's.

    Its last segment counts, lower-cased and percent-decoded until nothing changes, without query, dot segments,
    ``;params``, trailing slashes and format suffix. Servers differ on whether an encoded ``?`` or ``#`` ends the path,
    so both readings count. Friendica's inboxes are ``/inbox/NAME``.
    """
    path = path.partition("?")[0]
    for _ in range(MAX_DECODINGS):
        if (decoded := unquote(path, errors="replace")) == path:
            break
        path = decoded
    else:
        return True  # nobody encodes an honest path so often
    return _ends_in_inbox(path) or _ends_in_inbox(_PATH_END.split(path, maxsplit=1)[0])


def _ends_in_inbox(path: str) -> bool:
    segments: list[str] = []
    for segment in path.replace("\\", "/").split("/"):
        name = _NAME_END.split(segment, maxsplit=1)[0].strip()
        if name == "..":
            segments[-1:] = []
        elif stem := name.partition(".")[0].strip():  # else empty, a dot or a mere suffix
            segments.append(stem)
    return bool(segments) and (_folded(segments[-1]) in INBOXES or _folded("".join(segments[-2:-1])) == "inbox")


def _folded(name: str) -> str:
    return (name if name.isascii() else unicodedata.normalize("NFKC", name)).casefold()


class BodyTooLargeError(Exception):
    """The decoded body is larger than it may be."""


class BodyEncodingError(Exception):
    """The content encoding is unknown or the encoded bytes are broken."""


def decode_body(body: bytes, encodings: Sequence[str], limit: int) -> bytes:
    """Undo the content encodings of a body, never holding more than ``limit`` bytes of any result.

    ``encodings``: the values of all Content-Encoding headers, in order. Raises :class:`BodyTooLargeError`,
    :class:`BodyEncodingError`. Source: RFC 9110 section 8.4 (applied in the order listed, so undone in reverse).
    """
    names = [name.strip().lower() for value in encodings for name in value.split(",") if name.strip()]
    if len(names) > MAX_ENCODINGS:
        raise BodyEncodingError(f"more than {MAX_ENCODINGS} content encodings")
    for name in reversed(names):
        if name == "identity":
            continue
        try:
            if name in ("gzip", "x-gzip"):
                body = _inflate(body, limit, 16 + zlib.MAX_WBITS)
            elif name == "deflate":
                try:
                    body = _inflate(body, limit, zlib.MAX_WBITS)
                except zlib.error:  # some senders leave out the zlib wrapper (RFC 9110 section 8.4.1.2)
                    _refuse_json(body)
                    body = _inflate(body, limit, -zlib.MAX_WBITS)
            elif name == "br":
                _refuse_json(body)
                body = _unbrotli(body, limit)
            elif name == "zstd":
                body = _unzstd(body, limit)
            else:
                raise BodyEncodingError(f"content encoding {name[:40]!r} is not known here")
        except (zlib.error, brotli.error, zstandard.ZstdError, EOFError) as error:
            raise BodyEncodingError(f"the body is not valid {name}") from error
    if len(body) > limit:
        raise BodyTooLargeError
    return body


def _refuse_json(body: bytes) -> None:
    """Raw deflate and brotli have no magic number, so that a body can be JSON to a server that never undoes encodings
    and something else to one that does. Some parsers (Ruby's Oj) take comments before it."""
    if body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b"[", b"/*", b"//")):
        raise EOFError("the body begins like JSON")


def _inflate(body: bytes, limit: int, wbits: int) -> bytes:
    """Inflate every member: servers differ on whether they read past the first (RFC 1952 section 2.2)."""
    out = bytearray()
    rest = body
    members = 0
    while rest:
        members += 1
        if members > MAX_MEMBERS:
            raise BodyEncodingError(f"a body of more than {MAX_MEMBERS} compressed members")
        inflater = zlib.decompressobj(wbits)
        out += inflater.decompress(rest, limit + 1 - len(out))
        if len(out) > limit:
            raise BodyTooLargeError
        if not inflater.eof:
            raise EOFError("the stream ends early")
        rest = inflater.unused_data
    return bytes(out)


def _unbrotli(body: bytes, limit: int) -> bytes:
    decoder = brotli.Decompressor()
    out = bytearray(decoder.process(body, output_buffer_limit=_PIECE))
    while not decoder.is_finished():
        if len(out) > limit:
            raise BodyTooLargeError
        # It may say that it takes more data though much of what it has is not given out yet.
        if not (piece := decoder.process(b"", output_buffer_limit=_PIECE)):
            raise EOFError("the stream ends early")
        out += piece
    if len(out) > limit:
        raise BodyTooLargeError
    return bytes(out)


def _unzstd(body: bytes, limit: int) -> bytes:
    # 8 MiB is the window every decoder must support (RFC 8878 section 3.1.1.1.2); a larger one only costs memory.
    decoder = zstandard.ZstdDecompressor(max_window_size=8 << 20)
    with decoder.stream_reader(body, read_across_frames=True) as reader:
        if len(reader.read(limit + 1)) > limit:
            raise BodyTooLargeError
    # The reader above knows a bound, but not whether the last frame is complete; here it is the other way round.
    out = b""
    rest = body
    for _ in range(MAX_MEMBERS):
        frame = decoder.decompressobj()
        out += frame.decompress(rest)
        if not frame.eof:
            raise EOFError("the stream ends early")
        rest = frame.unused_data
        if not rest:
            return out
    raise BodyEncodingError(f"a body of more than {MAX_MEMBERS} compressed frames")
