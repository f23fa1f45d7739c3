"""Who is sending: the peer of the connection, or, behind the admin's own proxies, whom they say."""

import ipaddress
from collections import Counter
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

type Address = IPv4Address | IPv6Address
type Network = IPv4Network | IPv6Network

# Longer chains are forged or broken; the entries that count stand at the end.
MAX_HOPS = 32


def is_trusted(address: Address, trusted: Sequence[Network]) -> bool:
    """Whether an address is one of the admin's own proxies; an IPv4-mapped one counts as its IPv4 address."""
    address = getattr(address, "ipv4_mapped", None) or address
    return any(address in network for network in trusted)


def parse_address(text: str) -> Address | None:
    """An address as peers and headers give it: with brackets, port, zone or quotes. None for anything else."""
    text = text.strip().strip('"').strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def sender(peer: str, headers: Iterable[tuple[str, str]], trusted: Sequence[Network]) -> str:
    """The address a request comes from.

    It is the peer's, or, where the peer is in ``server.trusted_proxies``, the last untrusted one of
    ``X-Forwarded-For``, else of ``Forwarded`` (RFC 7239). What stands left of that one is the sender's own word and
    never believed; an entry that is no address ends the search at the hop before it.
    """
    address = parse_address(peer)
    if address is None:
        return peer
    if not is_trusted(address, trusted):
        return str(address)
    for hop in _hops(list(headers)):
        claimed = parse_address(hop)
        if claimed is None:
            break
        address = claimed
        if not is_trusted(address, trusted):
            break
    return str(address)


def _hops(headers: list[tuple[str, str]]) -> list[str]:
    """The forwarding chain, nearest hop first."""
    forwarded_for = [value for name, value in headers if name.lower() == "x-forwarded-for"]
    if forwarded_for:
        hops = ",".join(forwarded_for).split(",")
    else:
        hops = []
        for element in ",".join(value for name, value in headers if name.lower() == "forwarded").split(","):
            for pair in element.split(";"):
                name, _, value = pair.partition("=")
                if name.strip().lower() == "for":
                    hops.append(value)
    return hops[::-1][:MAX_HOPS]


def connection_key(peer: str) -> str:
    """What connections are counted by: an IPv4 address, or an IPv6 /64, since one customer has a whole one."""
    address = parse_address(peer)
    if isinstance(address, IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address) if address else peer


class Connections:
    """How many connections each peer has: ``most``, but for the ``trusted`` proxies, which bring everybody's."""

    def __init__(self, most: int, trusted: Sequence[Network]) -> None:
        self._most = most
        self._trusted = trusted
        self._open: Counter[str] = Counter()

    def __len__(self) -> int:
        """How many peers have any."""
        return len(self._open)

    def opened(self, peer: str) -> bool:
        """One more; whether it may stay. It counts until it is :meth:`closed` in any case."""
        key = connection_key(peer)
        self._open[key] += 1
        address = parse_address(peer)
        return self._open[key] <= self._most or bool(address and is_trusted(address, self._trusted))

    def closed(self, peer: str) -> None:
        """One less."""
        key = connection_key(peer)
        self._open[key] -= 1
        if self._open[key] <= 0:
            del self._open[key]
