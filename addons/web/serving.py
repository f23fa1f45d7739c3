"""One listener of ours: an ASGI application under uvicorn, in the doors' event loop, for some clients only."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator, Sequence
from ipaddress import IPv6Address, ip_address

import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from addons.policy.values import Address, Network
from addons.web.connections import Bounded, Bounds, protocol

logger = logging.getLogger(__name__)

KEEP_ALIVE = 30
"""Seconds that a client's idle connection stays open."""
BACKLOG = 128
FINISH = 2
"""Seconds that what is under way may take when the listener closes."""
_TOLD = 100
"""Strangers who are told of in the log, each once."""


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.told = asyncio.Event()

    async def main_loop(self) -> None:
        """Keep the Date header right until told to stop, without uvicorn's ten looks a second."""
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.told.wait(), 1)

    def stop(self) -> None:
        """Tell it."""
        self.should_exit = True
        self.told.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the command's, not a listener's."""
        yield


class Listener:
    """Serves ``app`` to ``clients`` on ``address`` from :meth:`open` to :meth:`close`."""

    def __init__(
        self, app: ASGIApp, address: Address, clients: Sequence[Network], bounds: Bounds | None = None
    ) -> None:
        bounds = bounds or Bounds()
        self._strangers: set[Bounded] = set()
        config = uvicorn.Config(
            only(clients, orderly(app), str(address)),
            http=protocol(bounds, lambda client: allowed(client, clients), self._strangers),
            ws="none",
            lifespan="off",
            interface="asgi3",
            access_log=False,
            log_config=None,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=FINISH,
            limit_concurrency=bounds.connections,
            h11_max_incomplete_event_size=bounds.head,
        )
        self._address = address
        self._server = _Server(config)
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> tuple[str, int]:
        """Listen; the address it has (port 0 is a free one). Raises OSError where it cannot be had."""
        bound = _bind(self._address)
        self._task = asyncio.get_running_loop().create_task(self._server.serve(sockets=[bound]))
        while not self._server.started and not self._task.done():  # noqa: ASYNC110  # uvicorn has no event for it
            await asyncio.sleep(0.005)
        if self._task.done():
            bound.close()
            await self._task
            raise OSError(f"cannot listen on {self._address}")
        name = bound.getsockname()
        return name[0], name[1]

    async def close(self) -> None:
        """Take no more connections, finish what is under way (2 seconds at most; then it is 503), and end."""
        if self._task is None:
            return
        self._server.stop()
        for stranger in tuple(self._strangers):
            stranger.transport.abort()
        await self._task
        self._task = None
        if ending := tuple(self._server.server_state.tasks):
            await asyncio.wait(ending, timeout=FINISH)
        for connection in tuple(self._server.server_state.connections):
            connection.transport.abort()


def only(clients: Sequence[Network], app: ASGIApp, where: str = "") -> ASGIApp:
    """``app`` for these clients; everybody else gets 403 and no more. ``where``: the listener, for the log."""
    told: set[str] = set()

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and allowed(scope["client"], clients):
            await app(scope, receive, send)
            return
        address = (scope["client"] or ("", 0))[0]
        if address not in told and len(told) < _TOLD:
            told.add(address)
            logger.warning("%s is refused at %s: it is not among the clients of that door", address or "?", where)
        headers = {"Connection": "close", "Cache-Control": "no-store"}
        await PlainTextResponse("not for you\n", 403, headers)(scope, receive, send)

    return guarded


def orderly(app: ASGIApp) -> ASGIApp:
    """``app``, but who is answered before all of his request was read is hung up on, so that he cannot go on for ever;
    and who waits when the listener closes gets 503."""

    async def ordered(scope: Scope, receive: Receive, send: Send) -> None:
        unread, started = _has_body(scope), False

        async def received() -> Message:
            nonlocal unread
            message = await receive()
            unread = unread and bool(message.get("more_body"))
            return message

        async def answered(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                if unread:
                    message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
            await send(message)

        try:
            await app(scope, received, answered)
        except asyncio.CancelledError:
            if not started:
                stopping = PlainTextResponse("stopping\n", 503, {"Cache-Control": "no-store"})
                await stopping(scope, received, answered)

    return ordered


def _has_body(scope: Scope) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0"))
        for name, value in scope["headers"]
    )


def allowed(client: tuple[str, int] | None, clients: Sequence[Network]) -> bool:
    """Whether this peer is one of ``clients``; an IPv4 address mapped into IPv6 counts as itself."""
    try:
        address = ip_address((client or ("", 0))[0])
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return any(address in network for network in clients)


def _bind(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((address.host, address.port))
        bound.listen(BACKLOG)
        bound.setblocking(False)
    except OSError as error:
        bound.close()
        raise OSError(f"cannot listen on {address}: {(error.strerror or str(error)).lower()}") from error
    return bound
