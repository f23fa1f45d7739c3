"""The network under httpx: resolve a name once, check every address it has, connect to one of those very addresses."""

import asyncio
import errno
import ssl
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address
from itertools import chain, zip_longest
from typing import Any

import httpcore

from addons.fetching.addresses import Address, AddressPolicy
from addons.fetching.resolving import MAX_ANSWERS, Resolver

MAX_DIALLED = 8
"""Addresses of one name that are tried, one after the other."""
HEAD_BYTES = 256 * 1024
"""Bytes on the wire until the final response's headers are in: TLS handshake, 1xx responses, headers."""
_ATTEMPT_SECONDS = 1.0


class AddressRefusedError(Exception):
    """The name has an address that may not be connected to. ``whole``: it has no other ones."""

    def __init__(self, message: str, address: Address | None, *, whole: bool = False) -> None:
        super().__init__(message)
        self.address = address
        self.whole = whole


class UnreachableError(httpcore.ConnectError):
    """Nobody can get anything from this host just now: every address it has was tried and refuses, or is not there."""


class WireLimitError(Exception):
    """The other side sent more bytes than any honest answer of this size needs."""


class MeteredStream(httpcore.AsyncNetworkStream):
    """A connection that counts what it reads and stops at ``limit`` bytes, whatever they were meant to be."""

    def __init__(self, stream: httpcore.AsyncNetworkStream, limit: int) -> None:
        self._stream = stream
        self.limit = limit
        self.count = 0

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Up to ``max_bytes``; raises WireLimitError past the limit."""
        data = await self._stream.read(max_bytes, timeout)
        self.count += len(data)
        if self.count > self.limit:
            raise WireLimitError(f"the answer took more than {self.limit} bytes on the wire")
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of it."""
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        """The same connection with TLS, still metered (by what TLS carries) and still closed by this object."""
        self._stream = await self._stream.start_tls(ssl_context, server_hostname, timeout)
        return self

    def get_extra_info(self, info: str) -> Any:
        """What httpcore asks of a stream."""
        return self._stream.get_extra_info(info)


class Dialler(httpcore.AsyncNetworkBackend):
    """Makes one connection, to ``host`` or to the ``literal`` address, and remembers it.

    ``policy`` None is for the one upstream that the admin configured, whose address is not judged.
    """

    def __init__(self, resolver: Resolver, policy: AddressPolicy | None, literal: Address | None) -> None:
        self._resolver = resolver
        self._policy = policy
        self._literal = literal
        self._network = httpcore.AnyIOBackend()
        self._stream: MeteredStream | None = None
        self.address: Address | None = None
        """The address connected to, or being tried."""

    @property
    def stream(self) -> MeteredStream:
        """The connection; only once there is one."""
        assert self._stream is not None
        return self._stream

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address that answers, after all of them were checked.

        Raises:
            AddressRefusedError: one of them may not be connected to; a mixed answer is an attack, so none is tried.
            ResolveError, ResolverBusyError, TimeoutError: as the resolver.
            UnreachableError: every one refused, or is unreachable.
            httpcore.ConnectError, httpcore.ConnectTimeout: none answered, but one might have.
        """
        addresses: Sequence[Address] = [self._literal] if self._literal else await self._resolver.resolve(host)
        self._check(addresses)
        last: Exception = httpcore.ConnectError("the name has no address")
        unique = _interleaved(addresses)
        tried = unique[:MAX_DIALLED]
        gone = 0
        for index, address in enumerate(tried):
            self.address = address
            # A dead first address must not eat the whole deadline; the last one may.
            seconds = timeout if index == len(tried) - 1 else _ATTEMPT_SECONDS
            try:
                stream = await self._network.connect_tcp(str(address), port, seconds, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                last = error
                gone += _is_gone(address, error)
            else:
                self._stream = MeteredStream(stream, HEAD_BYTES)
                return self._stream
        if unique and gone == len(unique):
            raise UnreachableError(str(last)) from last
        raise last

    async def sleep(self, seconds: float) -> None:
        """Part of httpcore's interface."""
        await asyncio.sleep(seconds)

    async def aclose(self) -> None:
        """Close the connection, if there is one: httpcore forgets it when a TLS handshake is cancelled."""
        if self._stream is not None:
            await self._stream.aclose()

    def _check(self, addresses: Sequence[Address]) -> None:
        if self._policy is None:
            return
        if len(addresses) > MAX_ANSWERS:
            raise AddressRefusedError(f"the name has more than {MAX_ANSWERS} addresses", None)
        refused = [address for address in addresses if not self._policy.permits(address)]
        if refused:
            message = f"{refused[0]} is not an address on the public internet"
            raise AddressRefusedError(message, refused[0], whole=len(refused) == len(addresses))


def _is_gone(address: Address, error: BaseException | None) -> bool:
    """Whether a failed connection says that nobody else would get one either, now."""
    while error is not None and not (isinstance(error, OSError) and error.errno):
        error = error.__cause__ or error.__context__
    if error is None:
        return False
    # Where IPv6 leads nowhere, it may well be that only this machine or container has none.
    there = () if isinstance(address, IPv6Address) else (errno.EHOSTUNREACH, errno.ENETUNREACH)
    return error.errno in (errno.ECONNREFUSED, *there)


def _interleaved(addresses: Sequence[Address]) -> list[Address]:
    """One family after the other in turn, the preferred one first (RFC 8305 4), without repeats."""
    first = type(addresses[0]) if addresses else IPv6Address
    others = IPv4Address if first is IPv6Address else IPv6Address
    unique = list(dict.fromkeys(addresses))
    pairs = zip_longest([a for a in unique if isinstance(a, first)], [a for a in unique if isinstance(a, others)])
    return [address for address in chain.from_iterable(pairs) if address is not None]
