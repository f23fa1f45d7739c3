"""Host names in the one form that fediward compares: lower case, IDNA's ASCII, no port, no last dot."""

import ipaddress
import re
from collections.abc import Iterable
from functools import lru_cache

import idna

_ASCII = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*\Z"
)


@lru_cache(maxsize=4096)
def normal_host(text: str) -> str | None:
    """The host in its one form (``BÜCHER.example.`` is ``xn--bcher-kva.example``), or None where it is no host.

    IPv4 and IPv6 addresses (with or without brackets) are hosts too. Names by UTS 46, as browsers read them.
    """
    if len(text) > 255:
        return None
    host = text.removesuffix(".").lower()
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if ":" in bare:
        try:
            return str(ipaddress.IPv6Address(bare))
        except ValueError:
            return None
    if not host.isascii():
        try:
            host = idna.encode(host, uts46=True).decode("ascii")
        except idna.IDNAError:
            return None
    return host if _ASCII.match(host) else None


class HostSet:
    """Hosts and patterns ``*.example.org`` (every host below it at any depth, not itself); asking is a few look-ups."""

    __slots__ = ("_below", "_exact")

    def __init__(self, patterns: Iterable[str]) -> None:
        listed = list(patterns)
        self._exact = frozenset(p for p in listed if not p.startswith("*."))
        self._below = frozenset(p[2:] for p in listed if p.startswith("*."))

    def __contains__(self, host: object) -> bool:
        """Whether ``host`` is named, or lies below a pattern. Any spelling of it will do; None is in no set."""
        if not isinstance(host, str):
            return False
        name = normal_host(host)
        if name is None:
            return False
        if name in self._exact:
            return True
        if self._below:
            at = name.find(".")
            while at >= 0:
                if name[at + 1 :] in self._below:
                    return True
                at = name.find(".", at + 1)
        return False


def normal_pattern(text: str) -> str | None:
    """A host or ``*.`` and a host in its one form, or None."""
    if text.startswith("*."):
        below = normal_host(text[2:])
        return f"*.{below}" if below else None
    return normal_host(text)
