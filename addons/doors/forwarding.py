"""A forward proxy's listener: connections go only to addresses that were found and checked for this very connection."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mitmproxy import ctx
from mitmproxy.connection import Client, ConnectionState, Server
from mitmproxy.proxy import commands, events, layers, mode_servers, mode_specs, server_hooks
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import Layer
from mitmproxy.proxy.server import ConnectionIO

from addons.doors.proxy import DoorHandler, hooks_of
from addons.fetching.addresses import Address

MAX_DIALLED = 8
"""Addresses of one name that are tried, one after the other."""
ATTEMPT_SECONDS = 1.0
"""A dead first address must not eat the whole deadline; the last one may."""
TIMED_OUT = "the host did not answer in time"
"""What :attr:`Dial.error` says then."""


@dataclass
class Dial:
    """A connection to be opened. An addon's ``dial`` fills in ``addresses``, all of them checked, or ``error``.

    ``seconds``: for the connection and its TLS handshake together.
    """

    client: Client
    server: Server
    addresses: Sequence[Address] = field(default=())
    seconds: float = 10.0
    error: str = "no address was found"


@dataclass
class DialHook(commands.StartHook):
    """Where may this connection go?"""

    data: Dial


class FetchMode(mode_specs.ProxyMode):
    """``fetch@host:port``: a forward proxy whose connections are handled by :class:`FetchHandler`."""

    description = "fetch door"
    transport_protocol = mode_specs.TCP

    def __post_init__(self) -> None:
        if self.data:
            raise ValueError("mode takes no arguments")


class FetchInstance(mode_servers.AsyncioServerInstance[FetchMode]):
    """The listener of the fetch door."""

    def make_top_layer(self, context: Context) -> Layer:
        """Forward proxy: each request says where it goes."""
        return layers.modes.HttpProxy(context)

    async def handle_stream(self, reader: Any, writer: Any = None) -> None:
        """Serve one client connection to its end."""
        handler = FetchHandler(ctx.master, reader, writer, self.mode, hooks_of(ctx.master, self.mode))
        handler.layer = self.make_top_layer(handler.layer.context)
        with self.manager.register_connection(handler.client.id, handler):
            await handler.handle_client()


class FetchHandler(DoorHandler):
    """One client connection. Names are resolved, checked and dialled here: mitmproxy resolves after all hooks."""

    async def open_connection(self, command: commands.OpenConnection) -> None:
        """Open a connection to an address that was checked, and serve it to its end."""
        server = command.connection
        assert isinstance(server, Server)
        assert server.address is not None
        dial = Dial(self.client, server)
        end = asyncio.get_running_loop().time()
        try:
            await self.handle_hook(DialHook(dial))
            end = asyncio.get_running_loop().time() + dial.seconds
            opened = await self._opened(dial, server.address[1])
        except asyncio.CancelledError:
            server.error = "the client is gone"
            await self.server_event(events.OpenConnectionCompleted(command, server.error))
            raise
        if opened is None:
            server.error = dial.error
            # What waits in the layers gets its answer from this task, which then ends.
            self.transports.pop(server, None)
            await self.server_event(events.OpenConnectionCompleted(command, server.error))
            return
        reader, writer = opened
        server.state = ConnectionState.OPEN
        server.timestamp_start = server.timestamp_tcp_setup = time.time()
        server.peername, server.sockname = writer.get_extra_info("peername"), writer.get_extra_info("sockname")
        self.transports[server] = ConnectionIO(handler=asyncio.current_task(), reader=reader, writer=writer)
        late = asyncio.get_running_loop().call_at(end, self._no_handshake, server)
        hook = server_hooks.ServerConnectionHookData(client=self.client, server=server)
        try:
            await self.handle_hook(server_hooks.ServerConnectedHook(hook))
            await self.server_event(events.OpenConnectionCompleted(command, None))
            await self.handle_connection(server)
        finally:
            late.cancel()
            await self.handle_hook(server_hooks.ServerDisconnectedHook(hook))

    async def _opened(self, dial: Dial, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """Connect to the first address that answers; None, and ``dial.error`` says why, where none does."""
        hook = server_hooks.ServerConnectionHookData(client=self.client, server=dial.server)
        end = asyncio.get_running_loop().time() + dial.seconds
        tried = dial.addresses[:MAX_DIALLED]
        for number, address in enumerate(tried, 1):
            dial.server.address = (str(address), port)
            await self.handle_hook(server_hooks.ServerConnectHook(hook))
            if dial.server.error:
                dial.error = dial.server.error
                return None
            left = end - asyncio.get_running_loop().time()
            try:
                async with asyncio.timeout(left if number == len(tried) else min(left, ATTEMPT_SECONDS)):
                    return await asyncio.open_connection(str(address), port)
            except TimeoutError:
                dial.error = TIMED_OUT
            except OSError as error:
                dial.error = f"the connection failed: {error.strerror or error}"
        return None

    def _no_handshake(self, server: Server) -> None:
        """The time to connect is over: a server that never answers the TLS handshake would be waited for for ever."""
        if server.tls and not server.tls_established and server in self.transports:
            self.close_connection(server)
