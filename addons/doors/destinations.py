"""Where the server may be taken by the fetch door: public addresses, wanted ports, and never to a door of our own."""

import socket
from collections.abc import Sequence
from dataclasses import dataclass

from addons.fetching.addresses import Address, AddressPolicy
from addons.fetching.resolving import MAX_ANSWERS, Resolver
from addons.fetching.urls import UrlRefusedError, parse


class DestinationRefusedError(Exception):
    """Nobody is taken there; the message says why."""


@dataclass(frozen=True, slots=True)
class Destinations:
    """The checks that servers leave out where they are told to use a proxy.

    ``ports``: for plain http; ``tunnel_ports``: for CONNECT. ``own``: the ports that our doors listen on.
    """

    policy: AddressPolicy
    resolver: Resolver
    ports: frozenset[int] = frozenset({80, 443})
    tunnel_ports: frozenset[int] = frozenset({443})
    own: frozenset[int] = frozenset()

    def check_port(self, port: int, *, tunnel: bool) -> None:
        """Raises DestinationRefusedError where that port is not one to connect to."""
        if port not in (self.tunnel_ports if tunnel else self.ports):
            key = "doors.fetch.ports" if tunnel else "fetch.ports"
            raise DestinationRefusedError(f"port {port} is not one to connect to ({key})")

    async def find(self, host: str, port: int, *, door: int) -> Sequence[Address]:
        """Every address of ``host``, each of them one that may be connected to, in the order to try.

        ``door``: the port that the request came in on. One address that is refused refuses them all: a mixed answer
        is an attack.

        Raises:
            DestinationRefusedError: it may not be connected to.
            ResolveError, ResolverBusyError, TimeoutError: as the resolver.
        """
        try:
            target = parse(f"http://{bracketed(host)}:{port}/")
        except UrlRefusedError as error:
            raise DestinationRefusedError(str(error)) from error
        addresses = [target.literal] if target.literal else await self.resolver.resolve(target.host)
        if len(addresses) > MAX_ANSWERS:
            raise DestinationRefusedError(f"the name has more than {MAX_ANSWERS} addresses")
        for address in addresses:
            if not self.policy.permits(address):
                raise DestinationRefusedError(
                    f"{address} is not an address on the public internet; fetch.allow can open it"
                )
            if port in self.own | {door} and is_here(address):
                raise DestinationRefusedError("that is a door of fediward's own")
        return list(dict.fromkeys(addresses))


def bracketed(host: str) -> str:
    """A host as it stands in a URL: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def is_here(address: Address) -> bool:
    """Whether it is an address of this machine: then something can be bound to it."""
    if address.is_loopback or address.is_unspecified:
        return True
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True
