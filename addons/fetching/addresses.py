"""Which IP addresses fediward may connect to: those that can only mean a host on the public internet."""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

type Address = IPv4Address | IPv6Address
type Network = IPv4Network | IPv6Network

# IANA's IPv4 special-purpose registry (RFC 6890 and its updates), written out because `is_global` differs between
# Python's patch releases, passes multicast and knows no cloud's magic addresses.
_NOT_PUBLIC_4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network, RFC 791
        "10.0.0.0/8",  # private, RFC 1918
        "100.64.0.0/10",  # carrier-grade NAT, RFC 6598 (and Alibaba's metadata, 100.100.100.200)
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's wire server: looks global, is the host's own
        "169.254.0.0/16",  # link-local, RFC 3927: the clouds' metadata is 169.254.169.254
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments, RFC 6890 (Oracle's metadata, 192.0.0.192)
        "192.0.2.0/24",  # documentation, RFC 5737
        "192.88.99.0/24",  # 6to4 relays, RFC 7526
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarking, RFC 2544
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and the broadcast address
    )
)
# Only 2000::/3 has ever been given out as global unicast (RFC 4291, IANA's registry): all else, with fec0::/10,
# fd00:ec2::254 and what is not invented yet, is refused by not being in it.
_GLOBAL_6 = IPv6Network("2000::/3")
_NOT_PUBLIC_6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments, RFC 2928: Teredo (looked into below), ORCHID, benchmarking
        "2001:db8::/32",  # documentation, RFC 3849
        "2002::/16",  # 6to4 (looked into below)
        "3fff::/20",  # documentation, RFC 9637
    )
)
# Prefixes whose last 32 bits are an IPv4 address, and a translator or old stack on the way may send there.
_LAST_32 = tuple(
    IPv6Network(text)
    for text in (
        "::/96",  # IPv4-compatible, RFC 4291 2.5.5.1
        "::ffff:0:0/96",  # IPv4-mapped, RFC 4291 2.5.5.2
        "::ffff:0:0:0/96",  # IPv4-translated, RFC 2765
        "64:ff9b::/96",  # NAT64, RFC 6052
        # NAT64, RFC 8215. Only this /96 of 64:ff9b:1::/48: in the rest an operator may put the IPv4 address elsewhere
        # (RFC 6052 2.2), so that what it means cannot be known from here, and it is refused.
        "64:ff9b:1::/96",
    )
)
_MAPPED = IPv6Network("::ffff:0:0/96")
# ISATAP's interface identifiers, RFC 5214 6.1, with the universal bit clear and set.
_ISATAP = (0x00005EFE, 0x02005EFE)


def _meanings(address: Address) -> Iterator[Address]:
    """Every address that a packet sent to this one may end at; all of them must be permitted."""
    if isinstance(address, IPv4Address):
        yield address
        return
    number = int(address)
    last = IPv4Address(number & 0xFFFFFFFF)
    if any(address in network for network in _LAST_32):
        yield last
        return
    if address.sixtofour is not None:
        yield address.sixtofour
    elif address.teredo is not None:
        yield from address.teredo
    else:
        yield address
    if (number >> 32) & 0xFFFFFFFF in _ISATAP:
        yield last


def _plainly_public(address: Address) -> bool:
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    return address in _GLOBAL_6 and not any(address in network for network in _NOT_PUBLIC_6)


def _plain(network: Network) -> Network:
    """An IPv4 network written in its mapped form (``::ffff:10.0.0.0/104``) as the IPv4 network it is."""
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        return ip_network((int(network.network_address) & 0xFFFFFFFF, network.prefixlen - 96))
    return network


class AddressPolicy:
    """Which addresses may be connected to: public ones, and those in ``allow``.

    An IPv6 address that carries an IPv4 address (mapped, compatible, translated, NAT64, 6to4, Teredo, ISATAP) is
    judged by what it carries, against ``allow`` too; Teredo by its server and its client.
    """

    def __init__(self, allow: Iterable[Network] = ()) -> None:
        self._allow = tuple(_plain(network) for network in allow)

    def permits(self, address: Address) -> bool:
        """Whether a connection to this very address may be made. One with a scope id (``fe80::1%eth0``) never."""
        if isinstance(address, IPv6Address) and address.scope_id is not None:
            return False
        if self._allowed(address):
            return True
        return all(self._allowed(meant) or _plainly_public(meant) for meant in _meanings(address))

    def _allowed(self, address: Address) -> bool:
        return any(address in network for network in self._allow)
