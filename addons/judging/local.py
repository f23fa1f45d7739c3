"""Whether a URL lies on our own domains, read so strictly that no other server can be meant."""

import re

# Only a URL that every parser reads alike counts as ours: no userinfo before the host, no backslash, no space, no other
# port, and no second URL inside it, which a redirect or image proxy of our own could be made to fetch.
_PLAIN = re.compile(r"https?://([a-z0-9.-]+)(?::(?:80|443))?(?:[/?#][^\s\\<>\"\x00-\x20\x7f]*)?", re.IGNORECASE)
_EMBEDDED = re.compile(r"(?::|%3a|%253a)(?:/|%2f|%252f){2}", re.IGNORECASE)


def is_local(url: str, domains: frozenset[str]) -> bool:
    """Whether ``url`` is media of our own: its host is one of ``server.domains`` (lower case), beyond doubt."""
    match = _PLAIN.fullmatch(url)
    if match is None or match[1].lower().rstrip(".") not in domains:
        return False
    return _EMBEDDED.search(url, match.end(1)) is None
