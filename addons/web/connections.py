"""Connections of our own listeners: uvicorn's, with bounds where it has none."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from h11 import IDLE
from uvicorn.protocols.http.h11_impl import H11Protocol

type Client = tuple[str, int] | None


@dataclass(frozen=True, slots=True)
class Bounds:
    """What clients may take. Times in seconds.

    ``connections`` (and requests) at a time, past which uvicorn answers 503; ``strangers``: connections of others, who
    are only told that it is not for them; ``head``: bytes of a request's head; ``head_time``: for a head to come whole;
    ``read_time``: for a client to read what was sent to it (a piece of about 64 KiB).
    """

    connections: int = 512
    strangers: int = 32
    head: int = 64 << 10
    head_time: float = 10.0
    read_time: float = 30.0


def protocol(bounds: Bounds, known: Callable[[Client], bool], strangers: "set[Bounded]") -> type[asyncio.Protocol]:
    """uvicorn's protocol with these bounds; ``known`` says whether a peer is a client of the listener's, ``strangers``
    holds the connections of those who are not."""
    return type("_Bounded", (Bounded,), {"bounds": bounds, "known": staticmethod(known), "strangers": strangers})


class Bounded(H11Protocol):
    """One connection; a subclass made by :func:`protocol` has the listener's settings."""

    bounds: Bounds
    known: Callable[[Client], bool]
    strangers: "set[Bounded]"

    _head: asyncio.TimerHandle | None = None
    _reader: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Begin to wait for a request; strangers take nobody's place, and are few."""
        super().connection_made(transport)
        if not self.known(self.client):
            self.connections.discard(self)
            if len(self.strangers) >= self.bounds.strangers:
                transport.abort()
                return
            self.strangers.add(self)
        self._head = self.loop.call_later(self.bounds.head_time, transport.abort)

    def data_received(self, data: bytes) -> None:
        """A head must come whole in time, on a connection that is kept alive too."""
        super().data_received(data)
        if self.conn.their_state is not IDLE:
            self._stop_waiting_for_head()
        elif self._head is None:
            self._head = self.loop.call_later(self.bounds.head_time, self.transport.abort)

    def pause_writing(self) -> None:
        """The client reads more slowly than we send."""
        super().pause_writing()
        self._wait_for_reader()

    def resume_writing(self) -> None:
        """It has read on."""
        super().resume_writing()
        self._stop_waiting_for_reader()
        if self.transport.is_closing():
            self._wait_for_reader()

    def on_response_complete(self) -> None:
        """Before the connection ends, the last piece must be read too."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._wait_for_reader()

    def timeout_keep_alive_handler(self) -> None:
        """Nothing came for long."""
        super().timeout_keep_alive_handler()
        self._wait_for_reader()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._stop_waiting_for_head()
        self._stop_waiting_for_reader()
        self.strangers.discard(self)
        super().connection_lost(exc)

    def _stop_waiting_for_head(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _wait_for_reader(self) -> None:
        if self._reader is None and self.transport.get_write_buffer_size():
            self._reader = self.loop.call_later(self.bounds.read_time, self.transport.abort)

    def _stop_waiting_for_reader(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            self._reader = None
