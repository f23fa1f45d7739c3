"""A multipart form (RFC 7578) read strictly: what two parsers could take apart in different ways is refused."""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

MAX_PARTS = 256
MAX_HEADERS = 16
MAX_HEADER_BYTES = 8 << 10
"""Bytes of one part's headers."""
_WINDOW = 1 << 20
"""Bytes searched at a time, so that a thread that searches a large body lets others run."""

# What browsers, HTTP libraries and apps make. Parsers differ on spaces, quotes, semicolons and percent signs in it.
_CONTENT_TYPE = re.compile(
    r"""multipart/form-data\s*;(?:\s*charset=(?:utf-8|"utf-8")\s*;)?\s*"""
    r"""boundary=(?:([A-Za-z0-9'+_.-]{1,70})|"([A-Za-z0-9'+_.-]{1,70})")\s*(?:;\s*charset=(?:utf-8|"utf-8"))?\s*;?""",
    re.IGNORECASE,
)
_HEADER = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*")
_PARAMETER = re.compile(r"""\s*;\s*([a-z*]+)=(?:"((?:[^"\\]|\\.)*)"|([!#$%&'*+.^_`|~0-9A-Za-z-]+))""", re.IGNORECASE)
_ENCODINGS = frozenset({b"7bit", b"8bit", b"binary"})
_CHARSET = re.compile(r"""charset\s*=\s*["']?([^\s;"']*)""", re.IGNORECASE)
_CHARSETS = frozenset({"", "utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1"})


class MalformedFormError(ValueError):
    """It is no form that every server would read alike; the message is for a person and quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part. ``filename``, ``content_type``: None where it has none; ``start``, ``end``: its place in the body."""

    name: str
    filename: str | None
    content_type: str | None
    start: int
    end: int

    @property
    def is_file(self) -> bool:
        """Whether some server takes it for a file: it has a file name, or a type other than text (Rack asks that)."""
        return self.filename is not None or not (self.content_type or "text/plain").lower().startswith("text/plain")


def is_multipart(content_types: Sequence[str]) -> bool:
    """Whether some server may read the body as a multipart one."""
    return any("multipart" in value.lower() for value in content_types)


def boundary_of(content_types: Sequence[str]) -> bytes:
    """The boundary that a request's Content-Type headers give. Raises MalformedFormError."""
    if len(content_types) != 1 or not (match := _CONTENT_TYPE.fullmatch(content_types[0].strip())):
        raise MalformedFormError("the Content-Type is not multipart/form-data with one plain boundary")
    return (match[1] or match[2]).encode()


def read_form(body: bytes, boundary: bytes) -> list[Part]:
    """The parts of a form, in order. Raises MalformedFormError.

    The boundary must stand nowhere but in the lines that part it, which must end in CR LF and nothing else: some
    parsers also take a line that ends otherwise, or only begins with it (PHP), for one. Nothing may stand before the
    first part or behind the last.
    """
    places = list(_places(body, b"--" + boundary))
    if not places:
        raise MalformedFormError("the form has no parts")
    if len(places) > MAX_PARTS + 1:
        raise MalformedFormError(f"the form has more than {MAX_PARTS} parts")
    size = len(boundary) + 2
    if body[: places[0]] not in (b"", b"\r\n"):
        raise MalformedFormError("something stands before the form's first part")
    parts = []
    for place, following in itertools.pairwise(places):
        if body[place + size : place + size + 2] != b"\r\n":
            raise MalformedFormError("the line that begins a part is malformed")
        if body[following - 2 : following] != b"\r\n" or following - 2 < place + size + 2:
            raise MalformedFormError("a part does not end with its line")
        parts.append(_part(body, place + size + 2, following - 2))
    if body[places[-1] + size : places[-1] + size + 2] != b"--":
        raise MalformedFormError("the form's end is missing")
    if body[places[-1] + size + 2 :] not in (b"", b"\r\n"):
        raise MalformedFormError("something stands behind the form's end")
    return parts


def _places(body: bytes, needle: bytes) -> Iterator[int]:
    """Where ``needle`` stands, overlapping too; one more than is allowed at most."""
    found, at = 0, 0
    while at < len(body) and found <= MAX_PARTS + 1:
        place = body.find(needle, at, at + _WINDOW + len(needle) - 1)
        if place < 0:
            at += _WINDOW
            continue
        yield place
        found, at = found + 1, place + 1


def _part(body: bytes, start: int, end: int) -> Part:
    if body[start : start + 2] == b"\r\n":
        raise MalformedFormError("a part has no headers")
    close = body.find(b"\r\n\r\n", start, min(end, start + MAX_HEADER_BYTES) + 4)
    if close < 0 or close + 4 > end:
        raise MalformedFormError(f"a part's headers have no end, or are longer than {MAX_HEADER_BYTES} bytes")
    headers = _headers(body[start:close])
    encoding = headers.get(b"content-transfer-encoding", b"binary").lower()
    if encoding not in _ENCODINGS:
        raise MalformedFormError("a part has a Content-Transfer-Encoding, which some servers undo and some do not")
    content_type = _text(headers[b"content-type"]) if b"content-type" in headers else None
    if content_type is not None:
        if is_multipart([content_type]) or content_type.lower().startswith("message/"):
            raise MalformedFormError("a part holds further parts")
        if any(charset.lower() not in _CHARSETS for charset in _CHARSET.findall(content_type)):
            raise MalformedFormError("a part's text is not UTF-8")
    name, filename = _disposition(headers.get(b"content-disposition"))
    return Part(name, filename, content_type, close + 4, end)


def _headers(block: bytes) -> dict[bytes, bytes]:
    lines = block.split(b"\r\n")
    if len(lines) > MAX_HEADERS:
        raise MalformedFormError(f"a part has more than {MAX_HEADERS} headers")
    headers: dict[bytes, bytes] = {}
    for line in lines:
        match = _HEADER.fullmatch(line)
        if match is None:
            raise MalformedFormError("a part's header is malformed, folded or holds a control character")
        name = match[1].lower()
        if name in headers:
            raise MalformedFormError("a part has a header twice")
        headers[name] = match[2]
    return headers


def _disposition(value: bytes | None) -> tuple[str, str | None]:
    """Name and file name of a Content-Disposition."""
    if value is None:
        raise MalformedFormError("a part has no Content-Disposition")
    text = _text(value)
    if text[:9].lower() != "form-data":
        raise MalformedFormError("a part's Content-Disposition is not form-data")
    found: dict[str, str] = {}
    at = 9
    while at < len(text):
        match = _PARAMETER.match(text, at)
        if match is None:
            if text[at:].strip(" \t;"):
                raise MalformedFormError("a part's Content-Disposition is malformed")
            break
        key = match[1].lower()
        if key in found or key not in ("name", "filename", "filename*"):
            raise MalformedFormError("a part's Content-Disposition says something twice, or something unknown")
        found[key] = match[2] if match[2] is not None else match[3]
        at = match.end()
    if "name" not in found:
        raise MalformedFormError("a part has no name")
    # Parsers that know no backslash in quotes may see a file name where there is none for us.
    hidden = "" if "filename" in text.lower() else None
    return found["name"], found.get("filename", found.get("filename*", hidden))


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
