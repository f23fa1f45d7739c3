"""Stable URLs: a remote image's URL inside one of our own, with a MAC, so that pict-rs fetches it from the origin.

pict-rs keeps a proxied image under the exact URL string that it was asked for. So the stable URL of an image is the
same for ever: it depends on the image's URL, the origin's address and a key that lies in the ledger, and nothing else.
"""

import base64
import binascii
import hmac
import re
from hashlib import sha256
from urllib.parse import urlsplit

from addons.ledger.ledger import Ledger
from classifier import CannotStartError

LONGEST = 8192
"""Bytes of an image's URL. The stable URL of the longest has 11 kB: actix (pict-rs) takes heads of 128 KiB, h11 (the
origin) of 64 KiB. Lemmy keeps URLs of at most 2,000 characters."""
_MAC = 24
"""Bytes: 192 bits of HMAC-SHA256, 32 characters without padding."""
_PATH = re.compile(r"/o/([A-Za-z0-9_-]{32})/([A-Za-z0-9_-]{1,10923})\Z")
_DEFAULT_PORTS = {"http": 80, "https": 443}


class TooLongError(ValueError):
    """An image's URL has more than :data:`LONGEST` bytes: it has no stable URL, and is refused."""


class StableUrls:
    """Makes and reads the stable URLs of one installation. ``origin_url``: scheme, host and port as pict-rs sees us."""

    def __init__(self, key: bytes, origin_url: str) -> None:
        self._key = key
        self.origin_url = origin_url.rstrip("/")
        parts = urlsplit(self.origin_url)
        # url::Url (pict-rs) leaves the scheme's own port out, and so may who repeats what pict-rs said.
        short = self.origin_url.removesuffix(f":{_DEFAULT_PORTS.get(parts.scheme)}")
        self._origins = (self.origin_url, short)

    def of(self, url: str) -> str:
        """The stable URL of exactly this string. Raises TooLongError, and ValueError for a lone surrogate."""
        data = url.encode()
        if len(data) > LONGEST:
            raise TooLongError(f"a URL of {len(data):,} bytes is too long: at most {LONGEST:,}")
        return f"{self.origin_url}/o/{_text(self._mac(data))}/{_text(data)}"

    def original(self, path: str) -> str | None:
        """The image's URL that the origin is asked for by ``path``; None unless it is one of ours, byte for byte."""
        match = _PATH.match(path)
        if match is None:
            return None
        try:
            # Four characters for three bytes; what is short of four was left out as padding.
            data = base64.urlsafe_b64decode(match[2] + "=" * (-len(match[2]) % 4))
        except binascii.Error:
            return None
        # The last character has bits to spare, so that several spellings decode to the same bytes: only one is ours.
        if not hmac.compare_digest(base64.urlsafe_b64decode(match[1]), self._mac(data)) or _text(data) != match[2]:
            return None
        try:
            return data.decode()
        except UnicodeDecodeError:
            return None

    def owns(self, url: str) -> bool:
        """Whether ``url`` is a stable URL already, in whole."""
        return any(
            url.startswith(f"{origin}/o/") and self.original(url.removeprefix(origin)) is not None
            for origin in self._origins
        )

    def _mac(self, data: bytes) -> bytes:
        return hmac.digest(self._key, data, sha256)[:_MAC]


def origin_urls(ledger: Ledger, origin_url: str, *, force: bool = False) -> StableUrls:
    """The stable URLs of the installation that has this ledger, its key made when first asked for.

    Raises CannotStartError where ``origin_url`` is not the one that the first were made with, unless ``force``; and
    SQLAlchemy's errors.
    """
    asked = origin_url.encode()
    kept = ledger.secrets.first("origin_url", asked)
    if kept != asked:
        if not force:
            raise CannotStartError(
                f"doors.pictrs.origin_url was {kept.decode()} and is {origin_url} now. pict-rs keeps every proxied "
                "image under a URL that begins with it: under another one it knows none of them, fetches and stores "
                "them all anew, and cannot purge the old ones by URL. Put the old one back, or start once with "
                "`fediward run --new-origin-url` to go on with the new one"
            )
        ledger.secrets.change("origin_url", asked)
    return StableUrls(ledger.secrets.get("origin"), origin_url)


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
