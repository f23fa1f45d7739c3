"""One listener of ours: a Starlette application under uvicorn, in the doors' event loop, for some clients only."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator, Sequence
from ipaddress import IPv6Address, ip_address

import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from addons.policy.values import Address, Network

KEEP_ALIVE = 30
"""Seconds that a client's idle connection stays open."""
BACKLOG = 128
CONNECTIONS = 512
"""Connections and requests at a time; past that uvicorn answers 503."""


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the command's, not a listener's."""
        yield


class Listener:
    """Serves ``app`` to ``clients`` on ``address`` from :meth:`open` to :meth:`close`."""

    def __init__(self, app: ASGIApp, address: Address, clients: Sequence[Network]) -> None:
        config = uvicorn.Config(
            only(clients, app),
            http="h11",
            ws="none",
            lifespan="off",
            interface="asgi3",
            access_log=False,
            log_config=None,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=2,
            limit_concurrency=CONNECTIONS,
        )
        self._address = address
        self._server = _Server(config)
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> tuple[str, int]:
        """Listen; the address it has (port 0 is a free one). Raises OSError where it cannot be had."""
        host, port = self._address.host, self._address.port
        bound = _bind(host, port)
        self._task = asyncio.get_running_loop().create_task(self._server.serve(sockets=[bound]))
        while not self._server.started and not self._task.done():  # noqa: ASYNC110  # uvicorn has no event for it
            await asyncio.sleep(0.005)
        if self._task.done():
            await self._task
            raise OSError(f"cannot listen on {host}:{port}")
        name = bound.getsockname()
        return name[0], name[1]

    async def close(self) -> None:
        """Take no more connections, finish what is under way (2 seconds at most), and end."""
        if self._task is not None:
            self._server.should_exit = True
            await self._task
            self._task = None


def only(clients: Sequence[Network], app: ASGIApp) -> ASGIApp:
    """``app`` for these clients; everybody else gets 403 and no more."""

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not allowed(scope["client"], clients):
            await PlainTextResponse("not for you\n", 403)(scope, receive, send)
            return
        await app(scope, receive, send)

    return guarded


def allowed(client: tuple[str, int] | None, clients: Sequence[Network]) -> bool:
    """Whether this peer is one of ``clients``; an IPv4 address mapped into IPv6 counts as itself."""
    try:
        address = ip_address((client or ("", 0))[0])
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return any(address in network for network in clients)


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.listen(BACKLOG)
        bound.setblocking(False)
    except OSError as error:
        bound.close()
        raise OSError(f"cannot listen on {host}:{port}: {(error.strerror or str(error)).lower()}") from error
    return bound
