"""Where fediward itself listens, and whether an address is one of these."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from addons.policy.document import Place
from addons.policy.door_sections import Doors
from addons.policy.sections import Server
from addons.policy.status_sections import Status
from addons.policy.values import Address, Upstream, ip


@dataclass(frozen=True, slots=True)
class Listening:
    """One of our listeners: ``name`` as people know it, and where in the file it stands."""

    name: str
    address: Address
    place: Place


class Listens(Protocol):
    """A configuration, read or not yet complete."""

    @property
    def server(self) -> Server:
        """``server:``."""
        ...

    @property
    def doors(self) -> Doors:
        """``doors:``."""
        ...

    @property
    def status(self) -> Status | None:
        """``status:``."""
        ...


def listeners(settings: Listens) -> Iterator[Listening]:
    """All that the configuration names, the inbox door first."""
    doors = settings.doors
    yield Listening("the inbox door", settings.server.listen, ("server", "listen"))
    if doors.fetch is not None:
        yield Listening("the fetch door", doors.fetch.listen, ("doors", "fetch", "listen"))
    if doors.pictrs is not None:
        yield Listening("the pict-rs door", doors.pictrs.listen, ("doors", "pictrs", "listen"))
        yield Listening("the origin", doors.pictrs.origin, ("doors", "pictrs", "origin"))
    if doors.validate_ is not None:
        yield Listening("validation", doors.validate_.listen, ("doors", "validate", "listen"))
    if settings.status is not None:
        yield Listening("status", settings.status.listen, ("status", "listen"))


def clash(one: Address, other: Address) -> bool:
    """Whether not both can be listened on."""
    if one.port != other.port:
        return False
    return _same(one.host, other.host) or _covers(one.host, other.host) or _covers(other.host, one.host)


def leads_to(url: Upstream, listen: Address) -> bool:
    """Whether ``url``, asked from this very machine, would be answered by who listens on ``listen``."""
    if url.port != listen.port:
        return False
    return url.host == listen.host or (_here(url.host) and _here(listen.host))


def local(host: str) -> bool:
    """Whether it is this machine's loopback."""
    address = ip(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _here(host: str) -> bool:
    """Loopback's usual address, or any."""
    address = ip(host)
    return host == "localhost" or (address is not None and (address.is_unspecified or str(address) in _LOOPBACK))


def _same(one: str, other: str) -> bool:
    return one == other or {one, other} in ({"localhost", "127.0.0.1"}, {"localhost", "::1"})


def _covers(any_host: str, host: str) -> bool:
    """Whether the first is every address of a family, and the second one of them (a name may be)."""
    every, one = ip(any_host), ip(host)
    return every is not None and every.is_unspecified and (one is None or one.version == every.version)


_LOOPBACK = ("127.0.0.1", "::1")
