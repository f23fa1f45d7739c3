"""Where a request to a forward proxy goes, read one way only: what two parsers could read differently is refused."""

import re

from mitmproxy import http

from addons.doors.destinations import bracketed
from addons.doors.heads import MalformedHeadError, read_head
from addons.fetching.urls import Target, UrlRefusedError, parse

_ABSOLUTE = re.compile(rb"(http)://([^/?#]*)(/[^#]*)?", re.IGNORECASE)
_WITH_PORT = re.compile(r"(\[[^\]]*\]|[^:\[\]]*):[0-9]{1,5}")
_OURS = frozenset({b"proxy-connection", b"proxy-authorization"})
"""Said to us, and of no concern to anybody behind."""


class ForbiddenError(MalformedHeadError):
    """The request may not go where it wants to."""

    status = 403


type Place = tuple[str, int]
"""A host, lower case and without brackets, and a port."""


class MisdirectedError(MalformedHeadError):
    """The request is for another host than the connection that it came on."""

    status = 421


def read_proxied(lines: list[bytes], size: int, *, inside: Place | None, tls: bool) -> http.Request:
    """A request head of ``size`` bytes as it goes on: in origin form, to the host that it names.

    ``inside``: where the CONNECT led that it came in, where it did; else it has to be in absolute form, or a CONNECT.
    Raises :class:`MalformedHeadError`. Source: RFC 9112 sections 3.2.2 and 3.2.3; a Host that is another than the
    target's is refused, where the RFC has it ignored.
    """
    request = read_head(lines, size)
    request.headers.fields = tuple(field for field in request.headers.fields if field[0].lower() not in _OURS)
    if request.method == "GET" and _has_body(request):
        raise MalformedHeadError("a GET with a body is not passed on")
    if inside is not None:
        _check_inside(request, inside, tls=tls)
    elif request.method == "CONNECT":
        _connect(request)
    else:
        _absolute(request)
    return request


def _has_body(request: http.Request) -> bool:
    return "transfer-encoding" in request.headers or request.headers.get("content-length", "0") != "0"


def _check_inside(request: http.Request, inside: Place, *, tls: bool) -> None:
    if request.method == "CONNECT":
        raise MalformedHeadError("no CONNECT inside of another one")
    if not request.data.path.startswith(b"/") and request.data.path != b"*":
        raise MalformedHeadError("inside of a CONNECT, a request's target is a path")
    named = _target("https" if tls else "http", request.headers.get("host") or bracketed(inside[0]))
    if (named.host, named.port) != inside:
        raise MisdirectedError("the Host is not the one that this connection leads to")


def _connect(request: http.Request) -> None:
    authority = request.data.path.decode("latin-1")
    if not _WITH_PORT.fullmatch(authority):
        raise MalformedHeadError("the target of a CONNECT is a host and a port")
    _lead(request, _target("https", authority))
    request.data.authority, request.data.path = request.data.path, b""


def _absolute(request: http.Request) -> None:
    match = _ABSOLUTE.fullmatch(request.data.path)
    if match is None:
        raise MalformedHeadError("this is a forward proxy: it takes http:// URLs, and CONNECT for https")
    authority = match[2].decode("latin-1")
    target = _target("http", authority)
    if (host := request.headers.get("host")) is None:
        request.headers.insert(0, "Host", authority)
    elif _target("http", host) != target:
        raise MalformedHeadError("the Host is not the one of the URL")
    _lead(request, target)
    request.data.path = match[3] or b"/"


def _lead(request: http.Request, target: Target) -> None:
    request.data.scheme = target.scheme.encode()
    request.data.host, request.data.port = target.host, target.port


def _target(scheme: str, authority: str) -> Target:
    try:
        return parse(f"{scheme}://{authority}/")
    except UrlRefusedError as error:
        raise MalformedHeadError(str(error)) from error


def url_of(request: http.Request) -> str:
    """The URL that is asked for, as an activity would name it: without the port that goes without saying."""
    port = "" if request.port == {"http": 80, "https": 443}[request.scheme] else f":{request.port}"
    return f"{request.scheme}://{bracketed(request.host)}{port}{request.path}"
