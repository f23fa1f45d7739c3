"""One connection to a NATS server, made again whenever it is lost; never in the clear where it should be encrypted."""

import asyncio
import contextlib
import logging
import os
import random
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import nats.errors
from nats.aio.client import Client, RawCredentials

from classifier.remote.messages import LEAST_PAYLOAD
from classifier.settings import WorkersSettings
from classifier.types import CannotStartError

_log = logging.getLogger(__name__)

CONNECTING = 5
"""Seconds for a connection, and for its TLS."""
CLOSING, FLUSHING = 1.0, 5.0
"""Seconds for the end of a connection, and before that for what is still to be sent."""
PING = 10
"""Seconds between pings; two without an answer, and the connection counts as lost."""
FIRST_WAIT, LONGEST_WAIT = 0.1, 10.0
"""Seconds before the second attempt to connect, and at most between two."""
_PORT = 4222


class LostError(Exception):
    """There is no connection, or it was lost; the message says why."""


class Link:
    """Belongs to one event loop. ``joined`` is awaited with each new connection, and must subscribe to what it wants.

    Several URLs are tried in turn. No message is kept for later: what cannot be sent raises LostError.
    """

    def __init__(
        self,
        settings: WorkersSettings,
        name: str,
        joined: Callable[[Client], Awaitable[None]],
        lost: Callable[[], None],
    ) -> None:
        """Raises CannotStartError where a key or certificate is not what it should be."""
        self._servers = [urlsplit(url) for url in settings.nats]
        self._encrypted = settings.tls is not None
        self._context = _context(settings)
        self._proof = _proof(settings)
        self._name = name
        self._joined = joined
        self._lost = lost
        self._task: asyncio.Task[None] | None = None
        self._flushing: set[asyncio.Future[None]] = set()
        self._client: Client | None = None
        self.why = "not connected yet"
        """Why there is no connection."""

    @property
    def up(self) -> bool:
        """Whether there is a connection."""
        return self._client is not None

    @property
    def payload(self) -> int:
        """Bytes that a message may have."""
        return self._client.max_payload if self._client is not None else LEAST_PAYLOAD

    @property
    def servers(self) -> str:
        """Where it connects to, without the secrets."""
        return ", ".join(_shown(server) for server in self._servers)

    def start(self) -> None:
        """Connect from now on. Needs the running event loop."""
        if self._task is None:
            self._task = asyncio.create_task(self._keep())

    async def publish(self, subject: str, data: bytes, reply: str = "") -> None:
        """Send; waits where the network is slower than we are. Raises LostError."""
        if self._client is None:
            raise LostError(self.why)
        try:
            await self._client.publish(subject, data, reply)
        except (nats.errors.Error, OSError) as error:
            raise LostError(_told(error)) from error
        _heed_cancellation()

    async def flush(self) -> None:
        """Wait until the server has all that was sent. Raises LostError."""
        if self._client is None:
            raise LostError(self.why)
        # Cancelled in the middle, nats-py would stop reading for good when the answer to its ping comes.
        flushing = asyncio.ensure_future(self._client.flush())
        self._flushing.add(flushing)
        flushing.add_done_callback(self._flushed)
        await asyncio.wait({flushing})
        if flushing.cancelled():  # by nats-py, as it closes
            raise LostError(self.why)
        try:
            flushing.result()
        except (nats.errors.Error, OSError) as error:
            raise LostError(_told(error)) from error

    def _flushed(self, flushing: asyncio.Future[None]) -> None:
        self._flushing.discard(flushing)
        if not flushing.cancelled():
            flushing.exception()  # whoever waited has it

    async def close(self) -> None:
        """Say what is left to say, and disconnect."""
        if self._task is not None:
            with contextlib.suppress(LostError, TimeoutError):
                async with asyncio.timeout(FLUSHING):
                    await self.flush()
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        attempt, said = 0, ""
        while True:
            server = self._servers[attempt % len(self._servers)]
            try:
                async with _connection(self._options(server), server, self._guarded(server)) as (client, ended):
                    if client.max_payload < LEAST_PAYLOAD:
                        raise LostError(f"its max_payload is {client.max_payload}; at least {LEAST_PAYLOAD} is needed")
                    self._client = client
                    try:
                        await self._joined(client)
                        _log.info("connected to %s", _shown(server))
                        since = loop.time()
                        self.why = await ended
                        if loop.time() - since > LONGEST_WAIT:
                            attempt, said = 0, ""
                    finally:
                        self._client = None
                        self._lost()
                _log.warning("the connection to %s is lost: %s", _shown(server), self.why)
            except (LostError, nats.errors.Error, OSError, TimeoutError, ValueError) as error:
                self.why = f"{_shown(server)}: {_told(error)}"
                if self.why != said:
                    _log.warning("cannot connect to %s; it is tried again and again", self.why)
                said = self.why
            # The servers of one list are tried at once after each other.
            rounds = attempt // len(self._servers)
            attempt += 1
            if attempt % len(self._servers) == 0 or len(self._servers) == 1:
                await asyncio.sleep(min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(rounds, 10)) * random.uniform(0.5, 1.5))

    def _guarded(self, server: SplitResult) -> bool:
        return self._encrypted or server.scheme == "tls"

    def _options(self, server: SplitResult) -> dict[str, Any]:
        options: dict[str, Any] = {"name": self._name, "tls": self._context, **self._proof}
        # Beside the URL, which nats-py shows in some of its messages.
        if server.password is not None:
            options |= {"user": unquote(server.username or ""), "password": unquote(server.password)}
        elif server.username:
            options["token"] = unquote(server.username)
        return options


class _Encrypted(Client):
    """nats-py takes the server's word for whether to encrypt: who sits between would say no, and hear the password."""

    def _connect_command(self) -> bytes:
        if not self._server_info.get("tls_required"):
            raise LostError("it does not speak TLS, and it should")
        return super()._connect_command()


@contextlib.asynccontextmanager
async def _connection(
    options: dict[str, Any], server: SplitResult, encrypted: bool
) -> AsyncGenerator[tuple[Client, asyncio.Future[str]]]:
    """A connection, and a future of why it ended. nats-py's own reconnecting is not used: it keeps messages for later,
    and ends for good on some errors."""
    client = _Encrypted() if encrypted else Client()
    ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    last = ""

    async def troubled(error: Exception) -> None:
        nonlocal last
        last = _told(error)
        if "permissions violation" in last.lower():
            _log.error("the NATS server does not allow it: %s", last)

    async def closed() -> None:
        if not ended.done():
            ended.set_result(_told(client.last_error) if client.last_error else last or "the server closed it")

    host = f"[{server.hostname}]" if ":" in (server.hostname or "") else server.hostname
    try:
        async with asyncio.timeout(3 * CONNECTING):
            try:
                await client.connect(
                    f"{'tls' if encrypted else 'nats'}://{host}:{server.port or _PORT}",
                    error_cb=troubled,
                    closed_cb=closed,
                    allow_reconnect=False,
                    max_reconnect_attempts=1,
                    reconnect_time_wait=0,
                    connect_timeout=CONNECTING,
                    ping_interval=PING,
                    **options,
                )
            except nats.errors.NoServersError:
                raise LostError(last or "nobody answers") from None
        yield client, ended
    finally:
        # After a TLS handshake that failed, nats-py waits for an end that asyncio never tells.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSING):
                await client.close()


def _heed_cancellation() -> None:
    """nats-py swallows one that comes while it waits for the network."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _context(settings: WorkersSettings) -> ssl.SSLContext:
    context = ssl.create_default_context()
    tls = settings.tls
    if tls is None:
        return context
    try:
        if tls.ca is not None:
            context = ssl.create_default_context(cafile=tls.ca)
        if tls.cert is not None:
            context.load_cert_chain(tls.cert, tls.key)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        files = ", ".join(str(file) for file in (tls.ca, tls.cert, tls.key) if file is not None)
        raise CannotStartError(
            f"classifier.workers.tls: {files} are not the PEM files they should be ({error})"
        ) from error
    return context


def _proof(settings: WorkersSettings) -> dict[str, Any]:
    """What nats-py is to be given, read and tried now: it would look for the end of a file that is none for ever."""
    file = settings.nkey or settings.creds
    if file is None:
        return {}
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise CannotStartError(f"classifier.workers: {file} cannot be read: {error}") from error
    if settings.creds is not None:
        if "BEGIN NATS USER JWT" not in text or "BEGIN USER NKEY SEED" not in text:
            raise CannotStartError(f"classifier.workers.creds: {file} is no NATS credentials file (.creds)")
        return {"user_credentials": RawCredentials(text)}
    import nkeys

    try:
        nkeys.from_seed(bytearray(text.strip().encode())).wipe()
    except Exception as error:  # it raises whatever its parts do
        raise CannotStartError(f"classifier.workers.nkey: {file} holds no seed of an NKey (S…)") from error
    return {"nkeys_seed_str": text.strip()}


def _shown(server: SplitResult) -> str:
    """The URL without its secret."""
    host = server.hostname or ""
    return f"{server.scheme}://{f'[{host}]' if ':' in host else host}:{server.port or _PORT}"


def _told(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "it does not answer"
    if isinstance(error, ConnectionError) and error.errno:
        return os.strerror(error.errno).lower()  # asyncio says only that the call failed
    return str(error).removeprefix("nats: ").strip() or type(error).__name__
