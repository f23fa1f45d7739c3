"""mitmproxy in this process: a master with only the addons that a door needs, and a handler that asks them fast."""

import asyncio
import collections
import inspect
import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from mitmproxy import ctx, options
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.addons.tlsconfig import TlsConfig
from mitmproxy.connection import Connection
from mitmproxy.flow import Flow
from mitmproxy.master import Master
from mitmproxy.proxy import commands, events, layers, mode_servers, mode_specs
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import Layer
from mitmproxy.proxy.server import ConnectionIO
from mitmproxy.proxy.server_hooks import ClientDisconnectedHook
from mitmproxy.utils import asyncio_utils

logger = logging.getLogger(__name__)

type Hook = Callable[..., Awaitable[None] | None]

# What layers read from their options on every request. A plain namespace answers at once; mitmproxy's own options
# object looks each name up through __getattr__ and its list of options.
_OPTIONS = [
    "body_size_limit",
    "connection_strategy",
    "keep_host_header",
    "proxy_debug",
    "rawtcp",
    "store_streamed_bodies",
    "stream_large_bodies",
    "tcp_timeout",
    "validate_inbound_headers",
    "websocket",
]


class DoorMode(mode_specs.ReverseMode):
    """``door:http://upstream@host:port``: a reverse proxy whose connections are handled by :class:`DoorHandler`."""

    description = "door"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.transport_protocol = mode_specs.TCP  # an https upstream would make mitmproxy listen for QUIC as well


class DoorInstance(mode_servers.AsyncioServerInstance[DoorMode]):
    """The listener of one door."""

    def make_top_layer(self, context: Context) -> Layer:
        """Reverse proxy: the destination is fixed."""
        return layers.modes.ReverseProxy(context)

    async def handle_stream(self, reader: Any, writer: Any = None) -> None:
        """Serve one client connection to its end."""
        handler = DoorHandler(ctx.master, reader, writer, self.mode, hooks_of(ctx.master, self.mode))
        handler.layer = self.make_top_layer(handler.layer.context)
        with self.manager.register_connection(handler.client.id, handler):
            await handler.handle_client()


class _Hooks(dict[str, tuple[Hook, ...]]):
    """Hook name to the functions that addons have for it, found once: addons do not change while doors are open."""

    def __init__(self, addons: Sequence[object]) -> None:
        super().__init__()
        self._addons = addons

    def __missing__(self, name: str) -> tuple[Hook, ...]:
        found = tuple(hook for addon in self._addons if callable(hook := getattr(addon, name, None)))
        self[name] = found
        return found


def hooks_of(master: Master, mode: mode_specs.ProxyMode) -> _Hooks:
    """The hooks of the door that listens as ``mode``, of the master that this process runs."""
    assert isinstance(master, DoorMaster)
    return master.hooks[mode.full_spec]


@dataclass(frozen=True, slots=True)
class Door:
    """One listener and the addons that see what comes there, and nothing of other doors.

    ``mode``: as mitmproxy writes it: ``door:http://upstream@host:port``, ``fetch@host:port``. ``tls``: what answers
    mitmproxy's TLS hooks there, if not the master's.
    """

    mode: str
    addons: tuple[object, ...]
    tls: object | None = None


class DoorHandler(mode_servers.ProxyConnectionHandler):
    """One client connection. Hooks that need no waiting are called in place instead of in a task of their own."""

    flush_time = 30.0
    """Seconds that a closed connection may take to read what it was sent last."""

    def __init__(self, master: Master, reader: Any, writer: Any, mode: mode_specs.ProxyMode, hooks: _Hooks) -> None:
        plain: Any = SimpleNamespace(**{name: getattr(master.options, name) for name in _OPTIONS})
        super().__init__(master, reader, writer, plain, mode)  # type: ignore[no-untyped-call]  # mitmproxy's own
        self.hooks = hooks
        self._writer: asyncio.StreamWriter = writer
        self._over = False

    async def handle_hook(self, hook: commands.StartHook) -> None:
        """For the hooks that mitmproxy triggers outside of its layers: connections opened and closed."""
        if isinstance(hook, ClientDisconnectedHook):
            await self._flushed()
        for function in self.hooks[hook.name]:
            await self._call(function, hook)

    async def _flushed(self) -> None:
        """Wait until what was written to the client is gone: one who never reads would keep the socket for ever."""
        self._over = True
        try:
            async with asyncio.timeout(self.flush_time):
                await self._writer.wait_closed()
        except (TimeoutError, OSError):
            pass
        finally:
            self._writer.transport.abort()

    async def _call(self, function: Hook, hook: commands.StartHook) -> None:
        try:
            result = function(*hook.args())
            if inspect.isawaitable(result):
                with self.timeout_watchdog.disarm():
                    await result
        except Exception:
            self._failed(hook)

    def _failed(self, hook: commands.StartHook, level: int = logging.ERROR) -> None:
        """An addon's own bug must not let a delivery by: mitmproxy would log it and forward."""
        message = "the door failed in %s: the connection from %s ends"
        logger.log(level, message, hook.name, self.client.peername, exc_info=True)
        flows = [flow for flow in hook.args() if isinstance(flow, Flow)]
        for flow in flows:
            if flow.killable:
                flow.kill()
        if not flows:
            self._end()

    def _end(self) -> None:
        self.client.error = self.client.error or "the door failed"
        if (io := self.transports.get(self.client)) and io.handler:
            io.handler.cancel("the door failed")

    async def _finish_hook(self, hook: commands.StartHook, waiting: Awaitable[None], rest: tuple[Hook, ...]) -> None:
        try:
            with self.timeout_watchdog.disarm():
                await waiting
        except (Exception, asyncio.CancelledError) as error:  # what an addon waits for may be cancelled too
            task = asyncio.current_task()
            # Where the loop ends, and every connection with it, nothing is wrong.
            ending = isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0
            self._failed(hook, logging.DEBUG if ending else logging.ERROR)
        for function in rest:
            await self._call(function, hook)
        if hook.blocking:
            await self.server_event(events.HookCompleted(hook))

    async def server_event(self, event: events.Event) -> None:
        """Feed one event to the layers and carry out what they command (the same duties as mitmproxy's own)."""
        async with self._server_event_lock:
            self.timeout_watchdog.register_activity()
            pending: collections.deque[events.Event] = collections.deque((event,))
            # A head and the body behind it go out in one write: each costs a system call and wakes the peer.
            unsent: dict[Connection, list[bytes]] = {}
            try:
                while pending:
                    for command in self.layer.handle_event(pending.popleft()):
                        if isinstance(command, commands.SendData):
                            unsent.setdefault(command.connection, []).append(command.data)
                        elif isinstance(command, commands.StartHook):
                            if self._run_hook(command) and command.blocking:
                                pending.append(events.HookCompleted(command))
                        elif isinstance(command, commands.OpenConnection) and self._over:
                            pending.append(events.OpenConnectionCompleted(command, "the client is gone"))
                        elif not isinstance(command, commands.Log):
                            self._send(unsent)
                            self._carry_out(command)
                self._send(unsent)
            except Exception:
                # What state the layers are in is unknown: this connection ends here rather than going on unwatched.
                logger.exception("the connection from %s ends: its handling failed", self.client.peername)
                self._end()

    def _send(self, unsent: dict[Connection, list[bytes]]) -> None:
        for connection, pieces in unsent.items():
            io = self.transports.get(connection)
            if io is not None and io.writer is not None and not io.writer.is_closing():
                io.writer.write(b"".join(pieces))
        unsent.clear()

    def _run_hook(self, hook: commands.StartHook) -> bool:
        """Call the addons. False: one of them needs to wait, and the hook will be completed later."""
        functions = self.hooks[hook.name]
        for done, function in enumerate(functions, 1):
            try:
                result = function(*hook.args())
            except Exception:
                self._failed(hook)
                continue
            if result is not None and inspect.isawaitable(result):
                asyncio_utils.create_task(
                    self._finish_hook(hook, result, functions[done:]),
                    name=hook.name,
                    keep_ref=True,
                    client=self.client.peername,
                )
                return False
        return True

    def _carry_out(self, command: commands.Command) -> None:
        if isinstance(command, commands.OpenConnection):
            task = asyncio_utils.create_task(
                self.open_connection(command), name="server connection", keep_ref=True, client=self.client.peername
            )
            self.transports.setdefault(command.connection, ConnectionIO()).handler = task
        elif isinstance(command, commands.RequestWakeup):
            if self._over:
                return
            task = asyncio_utils.create_task(
                self.wakeup(command), name="wakeup", keep_ref=True, client=self.client.peername
            )
            self.wakeup_timer.add(task)
        elif isinstance(command, commands.ConnectionCommand) and command.connection not in self.transports:
            pass  # it is closed already
        elif isinstance(command, commands.CloseTcpConnection):
            self.close_connection(command.connection, command.half_close)
        elif isinstance(command, commands.CloseConnection):
            self.close_connection(command.connection, False)
        else:
            raise TypeError(f"unknown command {command!r}")


class _Opened:
    """An addon that knows when the listeners are open.

    mitmproxy warns where no addon is named ``nextlayer``; here each door chooses the layers of its connections.
    """

    name = "nextlayer"

    def __init__(self) -> None:
        self.event = asyncio.Event()

    def running(self) -> None:
        """mitmproxy calls this once all servers were started."""
        self.event.set()


class _UpstreamTls(TlsConfig):
    """TLS towards an https upstream. Only the fetch door ends a client's TLS, and it has an authority of its own."""

    request = None  # type: ignore[assignment]  # mitmproxy's looks for its list of revoked certificates in each request

    def configure(self, updated: object) -> None:
        """Nothing: mitmproxy would make an authority in the home folder, and read it at each start."""


class DoorMaster(Master):
    """A master with the proxy server, TLS towards an https upstream, and the doors' own addons: nothing else."""

    def __init__(self, doors: Sequence[Door], *, idle_time: float, tls: TlsConfig | None = None) -> None:
        super().__init__(options.Options())
        self.proxyserver = Proxyserver()
        self._opened = _Opened()
        tls = tls or _UpstreamTls()
        # Loaded like any addon of mitmproxy's, but a door's own hooks are only called for its own connections.
        addons = list(dict.fromkeys(addon for door in doors for addon in door.addons))
        self.addons.add(self.proxyserver, tls, *addons, self._opened)
        self.hooks = {
            door.mode: _Hooks([self.proxyserver, door.tls or tls, *door.addons, self._opened]) for door in doors
        }
        self.options.update(
            mode=[door.mode for door in doors],
            keep_host_header=True,
            connection_strategy="lazy",
            rawtcp=False,
            tcp_timeout=max(1, round(idle_time)),
            show_ignored_hosts=False,
        )

    def shutdown(self) -> None:
        """Close the doors; safe from any thread."""
        super().shutdown()  # type: ignore[no-untyped-call]  # mitmproxy's own

    async def stop_listening(self) -> None:
        """Take no new connections; those that are open go on."""
        for server in self.proxyserver.servers:
            if server.is_running:
                await server.stop()

    async def listening(self) -> list[tuple[str, int]]:
        """Wait until every listener is open; their addresses, in order. Raises OSError where one could not be had."""
        await self._opened.event.wait()
        for server in self.proxyserver.servers:
            if (failed := server.last_exception) is not None:
                reason = failed.__cause__ or failed
                if isinstance(reason, OSError) and (reason.errno or 0) > 0:
                    reason = OSError(os.strerror(reason.errno or 0).lower())
                where = f"{server.mode.custom_listen_host}:{server.mode.custom_listen_port}"
                raise OSError(f"cannot listen on {where}: {reason}") from failed
        by_mode = {server.mode.full_spec: server.listen_addrs[0] for server in self.proxyserver.servers}
        return [(by_mode[mode][0], by_mode[mode][1]) for mode in self.hooks]
