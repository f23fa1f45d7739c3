"""What of a string is a URL that a server would ask for, read as leniently as the laxest server reads it."""

import re
from urllib.parse import urljoin

# What WHATWG URL parsers (Rust's `url`, browsers, Node) drop before they look: https://url.spec.whatwg.org/#url-parsing
_DROPPED = re.compile(r"[\t\n\r]")
# Python's requests, Elixir and JavaScript trim all kinds of spaces too.
_EDGES = (
    "".join(map(chr, range(0x21)))
    + "\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff"
    + "".join(map(chr, range(0x2000, 0x200C)))
)
_HTTP = re.compile(r"(https?):[/\\]*(?=[^/\\])", re.IGNORECASE)
_AUTHORITY = re.compile(r"[^/?#]*+")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_PLAIN = re.compile(r"https?://[a-z0-9][!-\[\]-~]*+\Z", re.IGNORECASE)
_SPACE = re.compile(r"\s")


def fetchable(written: str, base: str | None) -> str | None:
    """The http, https or data URL that ``written`` stands for, or None.

    As written where it is a whole URL; resolved against ``base`` (the id of the object it stands in) only where
    relative; a protocol-relative one without a base is taken for https. Odd forms that lenient parsers mend
    (``https:\\\\host``, ``https:/host``, line breaks inside) are mended as they do; but not a backslash before an
    ``@``, which leads some to one host and some to another. Other schemes give None.
    """
    if _PLAIN.match(written):
        return written
    url = _DROPPED.sub("", written.strip(_EDGES))
    if not url:
        return None
    http = _HTTP.match(url)
    if http:
        return clean(url if url[http.end() - 3 : http.end()] == "://" and "\\" not in url else _mend(http, url))
    if url[:5].lower() == "data:":
        return clean(url)
    if _SCHEME.match(url) or url.startswith(("#", "?")) or _SPACE.search(url):
        return None
    if url[:2].replace("\\", "/") == "//":
        scheme = base.split(":", 1)[0] if base else "https"
        return clean(f"{scheme}://{url[2:]}") if len(url) > 2 else None
    if base is None:
        return None
    try:
        return clean(urljoin(base, url))
    except ValueError:
        return None


def is_iri(written: str) -> bool:
    """Whether the string is a whole http or https IRI."""
    return _HTTP.match(written) is not None


def clean(text: str) -> str:
    """``text`` without lone surrogates, which JSON can write but nothing can encode."""
    if text.isascii():
        return text
    return text.encode("utf-8", "replace").decode("utf-8")


def _mend(http: re.Match[str], url: str) -> str:
    authority = _AUTHORITY.match(url, http.end())
    if authority is not None and "@" in authority[0] and "\\" in authority[0]:
        return url
    return f"{http[1]}://{url[http.end() :].replace('\\', '/')}"
