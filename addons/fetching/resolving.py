"""Host names to IP addresses, off the event loop, with a deadline and a bounded number of threads."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Protocol

from addons.fetching.addresses import Address

MAX_ANSWERS = 64
"""Addresses one name may have; a name with more is refused, since all of them must be checked."""


class ResolveError(Exception):
    """The name has no address, or none could be found out."""


class ResolverBusyError(Exception):
    """All threads were still waiting for other names when the time was up."""


class Resolver(Protocol):
    """What finds the addresses of a name."""

    async def resolve(self, host: str) -> Sequence[Address]:
        """All addresses of ``host`` (a lower-case ASCII name), in the order to try.

        Raises:
            ResolveError: there are none.
            ResolverBusyError: it could not begin in its time.
            TimeoutError: no answer in its time.
        """
        ...


def system_lookup(host: str) -> list[Address]:
    """``getaddrinfo`` for TCP: /etc/hosts and DNS, ordered as RFC 6724 says.

    Raises:
        OSError: no such name, or no answer.
    """
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return [ip_address(str(address[0])) for _family, _type, _proto, _name, address in found]


class SystemResolver:
    """Names by :func:`system_lookup`, each in a thread of its own: getaddrinfo can neither be cancelled nor hurried.

    A thread that hangs keeps its place (of ``threads``) until it ends, so that a flood of dead names makes
    :class:`ResolverBusyError`, not threads. Threads are daemons: none of them delays the end of the process.
    """

    def __init__(
        self, *, threads: int = 16, seconds: float = 5.0, lookup: Callable[[str], Sequence[Address]] = system_lookup
    ) -> None:
        self._free = asyncio.Semaphore(threads)
        self._seconds = seconds
        self._lookup = lookup

    async def resolve(self, host: str) -> Sequence[Address]:
        """See :class:`Resolver`. Waiting for a thread and for the answer together take at most ``seconds``."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._seconds
        try:
            async with asyncio.timeout_at(end):
                await self._free.acquire()
        except TimeoutError as error:
            raise ResolverBusyError("every resolver thread is busy with other names") from error
        answer: asyncio.Future[Sequence[Address]] = loop.create_future()

        def done(found: Sequence[Address] | None, error: Exception | None) -> None:
            self._free.release()
            if answer.done():
                return
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(found or ())

        def run() -> None:
            found: Sequence[Address] | None = None
            failure: Exception | None = None
            try:
                found = self._lookup(host)
            except Exception as error:  # whatever it is belongs to the waiter, not to this thread
                failure = error
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(done, found, failure)

        try:
            threading.Thread(target=run, name=f"resolve-{host[:40]}", daemon=True).start()
        except RuntimeError as error:
            self._free.release()
            raise ResolverBusyError("no thread could be started to resolve a name") from error
        try:
            async with asyncio.timeout_at(end):
                found = await answer
        except (OSError, ValueError) as error:
            if isinstance(error, TimeoutError):
                raise
            raise ResolveError(f"the name does not resolve: {error}") from error
        if not found:
            raise ResolveError("the name has no address")
        return found
