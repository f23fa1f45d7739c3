"""From a URL as a stranger wrote it to the one host, port and target it can mean, or a refusal; never a guess."""

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from urllib.parse import urljoin

import httpx
import idna

from addons.fetching.addresses import Address

MAX_URL = 8192
"""Characters of an http(s) URL; common servers refuse longer request lines."""
_SHOWN = 200

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_AUTHORITY = re.compile(r"([^/?#]*)(.*)", re.DOTALL)
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*")
# WHATWG URL, "ends in a number": such a host is an IPv4 address or nothing, to every browser and many a library.
_NUMBER_AT_END = re.compile(r"(^|\.)([0-9]+|0x[0-9a-f]*)$")
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\\\u2028\u2029\ud800-\udfff]")
_BEFORE_AUTHORITY = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.-]*:)?[/\\]*")
_LOOSE_AUTHORITY = re.compile(r"[^/?#\\]*")
_DEFAULT_PORTS = {"http": 80, "https": 443}


class UrlRefusedError(ValueError):
    """This URL is not fetched; the message says why, without the URL."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where one request goes.

    ``host``: a lower-case ASCII name without trailing dot, or an IP address as :mod:`ipaddress` writes it; ``literal``
    is that address; ``target``: path and query, percent-encoded, as in the request line.
    """

    scheme: str
    host: str
    literal: Address | None
    port: int
    target: str

    @property
    def netloc(self) -> str:
        """The Host header: brackets around IPv6, the port only where it is not the scheme's."""
        host = f"[{self.host}]" if isinstance(self.literal, IPv6Address) else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The whole URL, written the one way."""
        return f"{self.scheme}://{self.netloc}{self.target}"


def parse(url: str) -> Target:
    """What an absolute http(s) URL means. Spaces around it are cut off, the fragment is dropped.

    What two parsers could read differently (user info, backslashes, control characters, percent signs in the host,
    IPv4 addresses in any spelling but the dotted one) is refused instead of read one way.

    Raises:
        UrlRefusedError: it is not such a URL, or longer than ``MAX_URL``.
    """
    url = url.strip(" ")
    if len(url) > MAX_URL:
        raise UrlRefusedError(f"the URL has {len(url)} characters; at most {MAX_URL} are taken")
    if _FORBIDDEN.search(url):
        raise UrlRefusedError("the URL holds a control character or a backslash, which parsers read differently")
    match = _SCHEME.match(url)
    scheme = match[1].lower() if match else ""
    if match is None or scheme not in _DEFAULT_PORTS:
        raise UrlRefusedError("only http and https URLs are fetched")
    if not url.startswith("//", match.end()):
        raise UrlRefusedError("the scheme is not followed by //")
    parts = _AUTHORITY.fullmatch(url, match.end() + 2)
    assert parts is not None  # the pattern takes anything
    authority, rest = parts[1], parts[2]
    if "@" in authority:
        raise UrlRefusedError("URLs with a user name or password are not fetched")
    host, port = _split_port(authority)
    name, literal = _host(host)
    return Target(scheme, name, literal, _DEFAULT_PORTS[scheme] if port is None else port, _target(rest))


def follow(base: Target, location: str) -> Target:
    """Where a ``Location`` leads from ``base`` (RFC 9110 10.2.2), checked like any other URL.

    Raises:
        UrlRefusedError: as :func:`parse`.
    """
    # urljoin quietly removes tabs and newlines, so look before it does.
    if _FORBIDDEN.search(location):
        raise UrlRefusedError("the redirect holds a control character or a backslash, which parsers read differently")
    location = location.strip(" ")
    # urljoin takes `http:///host` and `///host` for paths, browsers for hosts: leave only plain paths to it.
    if _SCHEME.match(location):
        return parse(location)
    if location.startswith("//"):
        return parse(f"{base.scheme}:{location}")
    try:
        return parse(urljoin(base.url, location))
    except ValueError as error:
        raise UrlRefusedError(str(error) or "the redirect is not a URL") from error


def shown(url: str) -> str:
    """The URL for messages and logs: without user info, printable, at most 200 characters."""
    if url[:5].lower() == "data:":
        url = url[:60] + ("…" if len(url) > 60 else "")
    before = _BEFORE_AUTHORITY.match(url)
    start = before.end() if before else 0
    authority = _LOOSE_AUTHORITY.match(url, start)
    at = authority[0].rfind("@") if authority else -1
    text = url[:start] + url[start + at + 1 :]
    text = "".join(character if character.isprintable() else f"\\x{ord(character):02x}" for character in text[:_SHOWN])
    return text if len(text) < _SHOWN else text[: _SHOWN - 1] + "…"


def _split_port(authority: str) -> tuple[str, int | None]:
    if authority.startswith("["):
        host, bracket, port = authority.partition("]")
        host += bracket
        if not bracket or (port and not port.startswith(":")):
            raise UrlRefusedError("the host is not a name or an address")
        port = port[1:]
    else:
        host, _, port = authority.partition(":")
    if not port:
        return host, None
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65536:
        raise UrlRefusedError("the port is not a number from 1 to 65535")
    return host, int(port)


def _host(host: str) -> tuple[str, Address | None]:
    if host.startswith("["):
        try:
            address = IPv6Address(host[1:-1])
        except AddressValueError as error:
            raise UrlRefusedError("the host is not an IPv6 address") from error
        if address.scope_id is not None:
            raise UrlRefusedError("the host is an IPv6 address with a zone")
        return str(address), address
    if "%" in host:
        raise UrlRefusedError("the host holds a percent sign, which parsers read differently")
    if not host.isascii():
        try:
            host = idna.encode(host, uts46=True).decode("ascii")
        except (idna.IDNAError, UnicodeError) as error:
            raise UrlRefusedError("the host is not a valid international name") from error
    name = host.lower().removesuffix(".")
    if not name:
        raise UrlRefusedError("the URL has no host")
    if _NUMBER_AT_END.search(name):
        try:
            return name, IPv4Address(name)
        except AddressValueError as error:
            raise UrlRefusedError("the host is an IPv4 address in an unusual spelling") from error
    if len(name) > 253 or not _NAME.fullmatch(name):
        raise UrlRefusedError("the host is not a host name")
    return name, None


def _target(rest: str) -> str:
    """Path and query, what may not stand in a request line percent-encoded, what is encoded already left so."""
    try:
        raw = httpx.URL("http://host" + (rest if rest.startswith("/") else "/" + rest)).raw_path
    except (httpx.InvalidURL, UnicodeError) as error:
        raise UrlRefusedError("the path of the URL cannot be sent") from error
    return raw.decode("ascii")
