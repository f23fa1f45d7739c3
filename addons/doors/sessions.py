"""Who is logged in, as the ledger may know it: a keyed hash of the session's token."""

import hashlib
import hmac
import re
from collections.abc import Iterable

_BEARER = re.compile(r"bearer\s+(\S+)", re.IGNORECASE)
# Lemmy: jwt, auth; Mastodon: _session_id, _mastodon_session; Mbin: PHPSESSID; PieFed: session; Pixelfed:
# pixelfed_session; Pleroma: __Host-pleroma_key. What servers set to remember a device goes before what ends sooner.
_COOKIE = re.compile(
    r"(?:^|[_-])(?:jwt|auth|token|session(?:_id)?|phpsessid|sessid|sid|key|rememberme)$", re.IGNORECASE
)
FIELDS = frozenset({"i", "access_token", "auth"})
"""Fields of a body or query that hold one: Misskey's ``i``, OAuth's, Lemmy 0.18's."""
_LONGEST = 16 << 10


def token_of(headers: Iterable[tuple[str, str]]) -> str | None:
    """The token of a request's headers: its bearer's, else that of the first cookie that is named like a session's."""
    pairs = [(name.lower(), value) for name, value in headers]
    for name, value in pairs:
        if name == "authorization" and (match := _BEARER.match(value.strip())):
            return match[1]
    for name, value in pairs:
        if name != "cookie":
            continue
        for each in value.split(";"):
            key, _, token = each.strip().partition("=")
            if token and _COOKIE.search(key):
                return token
    return None


def hashed(key: bytes, token: str | None) -> str | None:
    """32 hex digits that stand for a token; without ``key`` nobody can tell for which."""
    if not token or len(token) > _LONGEST:
        return None
    return hmac.new(key, token.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()[:32]
