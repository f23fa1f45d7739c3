"""Which remote images a request to pict-rs names, and its target with their URLs rewritten: pure functions on bytes.

pict-rs (0.5.25, src/lib.rs) takes a remote image's URL from the query only, under two names: ``url`` (image/download)
and ``proxy`` (image/original, blurhash, process, details and internal/*). So these two are read and rewritten wherever
they stand, in whatever request: no spelling of a path, and no route that a later version adds, gets by.

Names and values are decoded as pict-rs does (serde_urlencoded, form_urlencoded::parse): ``&`` alone separates, ``+`` is
a space, a ``%`` that encodes nothing stays as it is. Where that ends in bytes that are no text, pict-rs would put other
characters in their place: such a value is refused.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

from addons.judging.stable import LONGEST

NAMES = frozenset({b"url", b"proxy"})
MOST = 8
"""Images that one request may name: pict-rs refuses more than one of a name."""
_PAIRS = re.compile(
    rb"/image/(?:original|blurhash|(?:process|process_backgrounded)\.[a-z0-9]+|details/(?:original|process\.[a-z0-9]+))"
    rb"|/internal/(?:purge|delete|aliases|identifier)"
)


class UnreadableTargetError(ValueError):
    """The request names an image in a way that is not read for certain: refused; the message says why."""


@dataclass(frozen=True, slots=True)
class _Image:
    name: bytes
    url: str


@dataclass(frozen=True, slots=True)
class Target:
    """A request's target: ``path`` as written, and the parts of its query, of which some name images."""

    path: bytes
    parts: tuple[bytes | _Image, ...]

    @property
    def urls(self) -> list[str]:
        """The images' URLs, as pict-rs would read them."""
        return [part.url for part in self.parts if isinstance(part, _Image)]

    @property
    def pair(self) -> str | None:
        """The one URL under which pict-rs may have kept an image, where the request asks for such a one or ends it."""
        images = [part for part in self.parts if isinstance(part, _Image)]
        if len(images) != 1 or images[0].name != b"proxy" or not _PAIRS.fullmatch(self.path):
            return None
        return images[0].url

    def rewritten(self, change: Callable[[str], str]) -> bytes:
        """The target with ``change`` made to every image's URL; whatever else is in it stays as it was."""
        query = [
            part.name + b"=" + quote(change(part.url), safe=":/").encode() if isinstance(part, _Image) else part
            for part in self.parts
        ]
        return self.path + b"?" + b"&".join(query)


def read_target(target: bytes) -> Target | None:
    """The target of a request, or None where it names no image. Raises UnreadableTargetError."""
    path, _, query = target.partition(b"?")
    parts: list[bytes | _Image] = []
    count = 0
    for part in query.split(b"&"):
        name, _, value = part.partition(b"=")
        decoded = _decoded(name)
        if decoded not in NAMES:
            parts.append(part)
            continue
        count += 1
        if count > MOST:
            raise UnreadableTargetError(f"more than {MOST} images are named")
        parts.append(_Image(decoded, _url(_decoded(value))))
    if count and b"#" in target:
        # RFC 9112 section 3.2 has no fragments. pict-rs cuts them off, and would read another URL than is read here.
        raise UnreadableTargetError("the request's target has a fragment")
    return Target(path, tuple(parts)) if count else None


def _url(value: bytes) -> str:
    if not value:
        raise UnreadableTargetError("an image's URL is empty")
    if len(value) > LONGEST:
        raise UnreadableTargetError(f"an image's URL has more than {LONGEST} bytes")
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise UnreadableTargetError("an image's URL is not UTF-8") from None


def _decoded(text: bytes) -> bytes:
    return unquote_to_bytes(text.replace(b"+", b" "))
