"""A request as signatures see it: method, target and headers as text, bounded."""

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from itertools import chain
from urllib.parse import urlsplit

from addons.activitypub.signatures.keys import SignatureError

MAX_HEADERS = 256
MAX_SIGNATURE_HEADER = 16 * 1024
"""Bytes of one header that we parse. Real signatures take under one KiB."""
MAX_COMPONENTS = 64
"""Headers and other components that one signature may cover."""

DEFAULT_PORTS = {"http": ":80", "https": ":443"}

_LINE_BREAK = re.compile(r"[\r\n\0]")

type Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Request:
    """A request, taken apart: ``path`` and ``query`` are as sent, ``query`` with its question mark or empty.

    ``authority`` is the URL's, or else the Host header's; ``fields`` are lower-cased names with every value, in order,
    white space around them taken off (RFC 9421 §2.1).
    """

    method: str
    scheme: str
    authority: str
    path: str
    query: str
    fields: dict[str, list[str]]
    body: bytes

    def field(self, name: str) -> str:
        """All values of a header, joined. SignatureError where the request has none."""
        values = self.fields.get(name)
        if values is None:
            raise SignatureError(f"the signature covers the header {name}, which the request does not have")
        return ", ".join(values)

    def bounded(self, name: str) -> str:
        """A header that is about to be parsed. SignatureError: absent, too long, or not ASCII."""
        value = self.field(name)
        if len(value) > MAX_SIGNATURE_HEADER:
            raise SignatureError(f"the header {name} is longer than {MAX_SIGNATURE_HEADER} bytes")
        if not value.isascii():
            raise SignatureError(f"the header {name} is not ASCII")
        return value


def read_request(method: str, target: str, headers: Headers, body: bytes, scheme: str) -> Request:
    """Take a request apart without normalising it.

    ``target`` is the request line's (``/inbox?x=1``), or a whole URL, whose scheme and authority then count.
    SignatureError: more than MAX_HEADERS headers, two Hosts, or a line break in a value, with which one signed text
    could mean two requests.
    """
    if len(headers) > MAX_HEADERS:
        raise SignatureError(f"the request has more than {MAX_HEADERS} headers")
    fields: dict[str, list[str]] = {}
    for name, value in headers:
        fields.setdefault(name.lower(), []).append(value.strip(" \t"))
    if len(fields.get("host", [])) > 1:
        raise SignatureError("the request has more than one Host header")
    if any(_LINE_BREAK.search(text) for text in (method, target, *chain.from_iterable(fields.values()))):
        raise SignatureError("the request has a line break inside a header or its target")
    authority = fields.get("host", [""])[0]
    before, slashes, rest = target.partition("://")
    if slashes and "/" not in before and "?" not in before:
        scheme = before.lower()
        authority, path = _split_authority(rest)
    else:
        path = target
    path, mark, query = path.partition("?")
    return Request(method.upper(), scheme, authority, path, mark + query, fields, body)


def _split_authority(rest: str) -> tuple[str, str]:
    end = min((at for at in map(rest.find, "/?") if at >= 0), default=len(rest))
    return rest[:end].rpartition("@")[2], rest[end:]


def complete_headers(
    url: str, headers: Headers, body: bytes, covered: Sequence[str], now: datetime
) -> list[tuple[str, str]]:
    """``headers`` with Host, Date, Content-Length, Digest and Content-Digest added where covered and missing."""
    there = {name.lower() for name, _ in headers}
    complete = list(headers)
    made: dict[str, tuple[str, Callable[[], str]]] = {
        "host": ("Host", lambda: urlsplit(url).netloc.rpartition("@")[2]),
        "date": ("Date", lambda: format_datetime(now.astimezone(UTC), usegmt=True)),
        "content-length": ("Content-Length", lambda: str(len(body))),
        "digest": ("Digest", lambda: f"SHA-256={_base64_hash('sha256', body)}"),
        "content-digest": ("Content-Digest", lambda: f"sha-256=:{_base64_hash('sha256', body)}:"),
    }
    for name in ("host", *covered):
        if name in made and name not in there:
            there.add(name)
            shown, make = made[name]
            complete.append((shown, make()))
    return complete


def check_time(what: str, moment: datetime, now: datetime, skew: timedelta) -> None:
    """SignatureError unless ``moment`` lies within ``skew`` of ``now``, both ends included."""
    if abs(now - moment) > skew:
        when = "in the future" if moment > now else "too long ago"
        raise SignatureError(f"{what} is {when}: {moment.isoformat()}, and it is {now.isoformat()}")


def read_date(request: Request) -> datetime:
    """The Date header. SignatureError: absent or no date."""
    value = request.field("date")
    try:
        moment = parsedate_to_datetime(value[:64])
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise SignatureError(f"the Date header is no date: {value[:64]!r}") from None


def read_unix_time(what: str, value: float) -> datetime:
    """Seconds since 1970 as a date. SignatureError: beyond what a date can be."""
    try:
        return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        raise SignatureError(f"{what} is no time: {value}") from None


def check_digest(request: Request) -> None:
    """SignatureError unless Digest (RFC 3230) has the body's SHA-256, and no other hash we know is wrong."""
    right: dict[str, str] = {}  # each is made once, however often it is named
    for part in request.bounded("digest").split(","):
        name, _, value = part.strip().partition("=")
        if (algorithm := _DIGESTS.get(name.lower())) is not None:
            if algorithm not in right:
                right[algorithm] = _base64_hash(algorithm, request.body)
            if not hmac.compare_digest(value, right[algorithm]):
                raise SignatureError(f"the Digest header's {name} is not that of the body")
    if not right:
        raise SignatureError("the Digest header has no SHA-256 or SHA-512")


def digest_matches(name: str, value: bytes, body: bytes) -> bool | None:
    """Is ``value`` the hash of ``body`` named ``name`` (``sha-256`` or ``sha-512``)? None: no name that we know."""
    algorithm = _DIGESTS.get(name)
    return None if algorithm is None else hmac.compare_digest(value, hashlib.new(algorithm, body).digest())


_DIGESTS = {"sha-256": "sha256", "sha-512": "sha512"}


def _base64_hash(algorithm: str, body: bytes) -> str:
    return base64.b64encode(hashlib.new(algorithm, body).digest()).decode()
