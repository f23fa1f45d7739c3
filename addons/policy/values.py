"""Values of the configuration that are more than text: addresses, URLs, networks, bounded numbers, sizes, durations.

Each parser raises a :class:`Refusal`, a pydantic error that carries what was expected. Its message never quotes the
value: ``{text}`` stands for it as written in the file, where it may be the name of an environment variable.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from pydantic_core import PydanticCustomError

from addons.policy import quantities
from addons.policy.hosts import normal_host, normal_pattern

type Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_INSIDE = tuple(
    ipaddress.ip_network(inside)
    for inside in (
        *("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"),
        *("fc00::/7", "fe80::/10"),
    )
)
"""Networks that nobody reaches from the internet."""

REFUSAL = "fediward"
_LISTEN = "host:port, such as 127.0.0.1:8540 or [::1]:8540"
_UPSTREAM = "scheme, host and port only, such as http://127.0.0.1:8536"
_BROKER = "nats://host:4222, or tls:// where it must be encrypted"
_ENDS = re.compile(r"(?P<host>\[[^\]]*\]|[^:\[\]]*):(?P<port>[0-9]{1,5})\Z")


def refusal(message: str, expected: str = "", *, candidates: Iterable[str] = (), hint: str = "") -> PydanticCustomError:
    """An error for a validator to raise; ``{text}`` in ``message`` becomes the value as written."""
    # Pydantic would take {text} for a key of its own context.
    context = {"message": message, "expected": expected, "candidates": tuple(candidates), "hint": hint}
    return PydanticCustomError(REFUSAL, "refused", context)


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen: ``host`` is an IP address or name without brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        """``host:port``, IPv6 in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Upstream:
    """The server behind: ``scheme://host:port`` and nothing more."""

    scheme: Literal["http", "https"]
    host: str
    port: int

    def __str__(self) -> str:
        """The URL, IPv6 in brackets, the port always said."""
        return f"{self.scheme}://{Address(self.host, self.port)}"


def address(value: object) -> Address:
    """``127.0.0.1:8540``, ``[::1]:8540``, ``localhost:8540``."""
    if isinstance(value, Address):
        return value
    match = _ENDS.match(value) if isinstance(value, str) else None
    host = normal_host(match["host"]) if match else None
    if match is None or host is None or not 0 < int(match["port"]) < 65536:
        raise refusal("{text} is not an address to listen on", _LISTEN)
    return Address(host, int(match["port"]))


def upstream(value: object) -> Upstream:
    """``http://127.0.0.1:8536``; a path, a query or credentials are refused."""
    if isinstance(value, Upstream):
        return value
    if not isinstance(value, str):
        raise refusal("{text} is not the URL of a server", _UPSTREAM)
    try:
        url = urlsplit(value)
        port = url.port
    except ValueError:
        raise refusal("{text} is not the URL of a server", _UPSTREAM) from None
    host = normal_host(url.hostname or "")
    if url.scheme not in ("http", "https") or host is None or port == 0 or re.search(r"[\x00-\x20\\]", value):
        hint = "write http:// before it" if "://" not in value else ""
        raise refusal("{text} is not the URL of a server", _UPSTREAM, hint=hint)
    if url.path not in ("", "/") or "?" in value or "#" in value or "@" in url.netloc:
        raise refusal("{text} has more than a scheme, a host and a port", _UPSTREAM)
    return Upstream("https" if url.scheme == "https" else "http", host, port or (443 if url.scheme == "https" else 80))


def broker(value: object) -> str:
    """``nats://host:4222`` or ``tls://…``; ``user:password@`` or ``token@`` may stand before the host."""
    if not isinstance(value, str):
        raise refusal("{text} is not the URL of a NATS server", _BROKER)
    try:
        url = urlsplit(value)
        port = url.port
    except ValueError:
        raise refusal("{text} is not the URL of a NATS server", _BROKER) from None
    if url.scheme not in ("nats", "tls") or normal_host(url.hostname or "") is None or port == 0:
        hint = "write nats:// before it" if "://" not in value else ""
        raise refusal("{text} is not the URL of a NATS server", _BROKER, hint=hint)
    if url.path not in ("", "/") or "?" in value or "#" in value or re.search(r"[\x00-\x20\\]", value):
        raise refusal("{text} has more than a scheme, who we are, a host and a port", _BROKER)
    return value


def host(value: object) -> str:
    """A host of ours, in its one form."""
    name = normal_host(value) if isinstance(value, str) else None
    if name is None:
        raise refusal("{text} is not a host name", "a host without scheme, port or path, such as example.org")
    return name


def host_pattern(value: object) -> str:
    """A host, or ``*.`` and a host for all below it."""
    name = normal_pattern(value) if isinstance(value, str) else None
    if name is None:
        raise refusal("{text} is not a host", "a host such as example.org, or *.example.org")
    return name


def network(value: object) -> Network:
    """``10.0.0.0/8``; an address alone is a network of one."""
    if isinstance(value, ipaddress.IPv4Network | ipaddress.IPv6Network):
        return value
    hint = ""
    if isinstance(value, str):
        try:
            return _unmapped(ipaddress.ip_network(value))
        except ValueError:
            try:
                # The value itself may be secret only in theory, yet it is not repeated: only a file's own text is.
                ipaddress.ip_network(value, strict=False)
                hint = "the bits behind the prefix must be 0"
            except ValueError:
                pass
    raise refusal("{text} is not a network", "an address or network such as 10.0.0.0/8 or ::1/128", hint=hint)


def _unmapped(network: Network) -> Network:
    """The IPv4 network that ``::ffff:192.0.2.0/120`` is."""
    if network.version == 6 and network.prefixlen >= 96 and (inner := network.network_address.ipv4_mapped):
        return ipaddress.IPv4Network((inner, network.prefixlen - 96))
    return network


def ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The IP address, or None where it is none; ``::ffff:192.0.2.1``, as a socket of both kinds says it, is IPv4."""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if found.version == 6 else found


def reaches_strangers(network: Network) -> bool:
    """Whether it is so wide a part of the internet that strangers are in it."""
    if any(network.version == inside.version and network.subnet_of(inside) for inside in _INSIDE):  # type: ignore[arg-type]  # of one version
        return False
    return network.prefixlen < (16 if network.version == 4 else 32)


def whole(least: int, most: int) -> Callable[[object], int]:
    """A parser of whole numbers from ``least`` to ``most``."""
    expected = f"a whole number from {least:,} to {most:,}"

    def parse(value: object) -> int:
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,18}", value):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise refusal("{text} is not a whole number", expected)
        if not least <= value <= most:
            raise refusal(f"{{text}} is too {'small' if value < least else 'large'}", expected)
        return value

    return parse


def number(least: float, most: float) -> Callable[[object], float]:
    """A parser of numbers from ``least`` to ``most``."""
    expected = f"a number from {least:g} to {most:g}"

    def parse(value: object) -> float:
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}(?:\.[0-9]{1,9})?", value):
            value = float(value)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise refusal("{text} is not a number", expected)
        if not least <= value <= most:
            raise refusal(f"{{text}} is too {'small' if value < least else 'large'}", expected)
        return float(value)

    return parse


def size(least: str, most: str) -> Callable[[object], int]:
    """A parser of sizes in bytes from ``least`` to ``most``."""
    low, high = quantities.size(least), quantities.size(most)

    def parse(value: object) -> int:
        try:
            number = quantities.size(value if isinstance(value, int | str) else "")
        except quantities.QuantityError as error:
            raise refusal("{text} is not a size", quantities.SIZE_EXPECTED, hint=_meant(error)) from None
        if not low <= number <= high:
            raise refusal(f"{{text}} is too {'small' if number < low else 'large'}", f"from {least} to {most}")
        return number

    return parse


def duration(least: str, most: str) -> Callable[[object], float]:
    """A parser of durations in seconds from ``least`` to ``most``."""
    low, high = quantities.duration(least), quantities.duration(most)

    def parse(value: object) -> float:
        try:
            seconds = quantities.duration(value if isinstance(value, int | float | str) else "")
        except quantities.QuantityError as error:
            raise refusal("{text} is not a duration", quantities.DURATION_EXPECTED, hint=_meant(error)) from None
        if not low <= seconds <= high:
            raise refusal(f"{{text}} is too {'short' if seconds < low else 'long'}", f"from {least} to {most}")
        return seconds

    return parse


def _meant(error: quantities.QuantityError) -> str:
    return f'did you mean "{error.suggestion}"?' if error.suggestion else ""
