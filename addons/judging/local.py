"""Whether a URL lies on our own domains, read so strictly that no other server can be meant."""

import re
from urllib.parse import unquote

MAX_DECODED = 4
"""How often percent-encoding is undone; what is encoded still is not taken for ours."""

# Only a URL that every parser reads alike counts as ours: no userinfo before the host, no backslash, no space, no other
# port, and no second URL inside it, which a redirect or image proxy of our own could be made to fetch.
_PLAIN = re.compile(r"https?://([a-z0-9.-]+)(?::(?:80|443))?([/?#][^\s\\<>\"\x00-\x20\x7f]*)?", re.IGNORECASE)
# URL parsers drop tabs and line breaks wherever they stand (WHATWG URL, 4.4), some drop more.
_DROPPED = re.compile(r"[\x00-\x20\x7f]+")
_URL = re.compile(r"(?:https?|data):|:[/\\]{2}", re.IGNORECASE)
_HOST = re.compile(r"[/\\]{2}")


def is_local(url: str, domains: frozenset[str]) -> bool:
    """Whether ``url`` is media of our own: its host is one of ``server.domains`` (lower case), beyond doubt."""
    match = _PLAIN.fullmatch(url)
    if match is None or match[1].lower().rstrip(".") not in domains:
        return False
    rest = _decoded(match[2] or "")
    if rest is None or "\\" in rest or _URL.search(rest):
        return False
    # A path may repeat its slashes; in a query they begin a URL without a scheme.
    return "?" not in rest or _HOST.search(rest) is None


def _decoded(text: str) -> str | None:
    """``text`` with its percent-encoding undone, or None where that does not come to an end."""
    for _ in range(MAX_DECODED):
        text = unquote(text)
    return _DROPPED.sub("", text) if unquote(text) == text else None
