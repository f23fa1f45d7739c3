"""Where alarms arrive: a web server that answers what it is told to, a mail server, and a target of our own."""

import asyncio
import base64
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from addons.alarms.kinds import Alarm, AlarmKind
from addons.alarms.sending import NotSentError
from tests import net

AT = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


def alarm(kind: AlarmKind = AlarmKind.NO_WORKER, message: str = "nobody is there", **more: object) -> Alarm:
    return Alarm(kind, message, AT, "box", **more)  # type: ignore[arg-type]  # whichever field a test names


@dataclass
class Raised:
    """Takes the place of Alarms."""

    said: list[tuple[AlarmKind, str]] = field(default_factory=list)
    ended: list[tuple[AlarmKind, str]] = field(default_factory=list)

    def raise_(self, kind: AlarmKind, message: str) -> None:
        self.said.append((kind, message))

    def over(self, kind: AlarmKind, message: str) -> None:
        self.ended.append((kind, message))


class Keeps:
    """A target that keeps what it gets; ``fails``: what to raise first, one a try; ``gate``: waits until it opens."""

    def __init__(self, *fails: NotSentError | Exception) -> None:
        self.name = "the test's target"
        self.got: list[Alarm] = []
        self.tries = 0
        self.closed = False
        self.gate = asyncio.Event()
        self.gate.set()
        self._fails = list(fails)

    async def send(self, alarm: Alarm) -> None:
        self.tries += 1
        await self.gate.wait()
        if self._fails:
            raise self._fails.pop(0)
        self.got.append(alarm)

    async def close(self) -> None:
        self.closed = True


type Serves = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def serving(serve: Serves, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server on a free port; at the end nothing of it is left."""
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await serve(reader, writer)
        except (ConnectionError, ssl.SSLError, asyncio.CancelledError):
            pass  # the client is gone, or the test is over
        finally:
            tasks.discard(task)
            writer.transport.abort() if task.cancelling() else writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def hook(*answers: bytes, tls: ssl.SSLContext | None = None) -> AsyncIterator[tuple[int, list[net.Received]]]:
    """A web server: its port, and what came. Each request gets the next of ``answers``, the last one ever after."""
    got: list[net.Received] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (request := await net.read_request(reader)) is not None:
            got.append(request)
            writer.write(answers[min(len(got), len(answers)) - 1])
            await writer.drain()

    async with serving(serve, tls) as port:
        yield port, got


@dataclass
class Post:
    """A mail server and what it was told. ``says``: its answers to commands (all of one in lower case, its first word,
    or ``DATA END``) that are not the usual ones."""

    tls: ssl.SSLContext | None = None
    says: dict[str, str] = field(default_factory=dict)
    silent: frozenset[str] = frozenset()
    """Commands (``CONNECT`` too) that are answered by a line without end, a little at a time."""
    port: int = 0
    commands: list[str] = field(default_factory=list)
    mails: list[str] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    """Of each mail: whether it came through TLS."""
    logins: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.say(writer, "CONNECT", "220 here")
        while line := (await reader.readline()).decode().strip():
            self.commands.append(line)
            word = line.split()[0].upper()
            if word == "EHLO":
                offers = ["AUTH PLAIN"] + (["STARTTLS"] if self.tls and not writer.get_extra_info("ssl_object") else [])
                await self.say(writer, word, "\r\n".join(["250-here", *(f"250-{one}" for one in offers), "250 OK"]))
            elif word == "STARTTLS":
                await self.say(writer, word, "220 go on")
                if self.tls is not None and word not in self.says:
                    await writer.start_tls(self.tls)
            elif word == "AUTH":
                self.logins.append(base64.b64decode(line.split()[2]).decode())
                await self.say(writer, word, "235 yes")
            elif word == "DATA":
                await self.say(writer, word, "354 go on")
                data = (await reader.readuntil(b"\r\n.\r\n"))[:-5].decode()
                self.mails.append(data)
                self.encrypted.append(writer.get_extra_info("ssl_object") is not None)
                await self.say(writer, "DATA END", "250 taken")
            else:
                usual = "221 bye" if word == "QUIT" else "250 OK"
                await self.say(writer, word, self.says.get(line.lower(), usual))

    async def say(self, writer: asyncio.StreamWriter, word: str, usual: str) -> None:
        while word in self.silent:
            writer.write(b"2")
            await writer.drain()
            await asyncio.sleep(0.05)
        writer.write(f"{self.says.get(word, usual)}\r\n".encode())
        await writer.drain()


@contextlib.asynccontextmanager
async def post(
    tls: ssl.SSLContext | None = None,
    *,
    at_once: bool = False,
    says: dict[str, str] | None = None,
    silent: Sequence[str] = (),
) -> AsyncIterator[Post]:
    """A running mail server; ``at_once``: TLS from the first byte, otherwise it offers STARTTLS."""
    served = Post(None if at_once else tls, says or {}, frozenset(silent))
    async with serving(served.serve, tls if at_once else None) as served.port:
        yield served
