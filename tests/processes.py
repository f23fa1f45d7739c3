"""Programs of ours as an admin runs them: in a process of their own, watched until they say what is waited for."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

BIN = Path(sys.executable).parent


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def lives(pid: int) -> bool:
    """Whether there is such a process, and not only what is left of it until somebody asks for its exit code."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


@dataclass
class Program:
    """A running program; ``said`` is all it wrote so far, to both of its outputs."""

    process: asyncio.subprocess.Process
    said: str = ""
    _heard: asyncio.Event = field(default_factory=asyncio.Event)

    async def listen(self) -> None:
        assert self.process.stdout is not None
        while data := await self.process.stdout.read(4096):
            self.said += data.decode(errors="replace")
            self._heard.set()
        self._heard.set()

    async def says(self, text: str, timeout: float = 30) -> None:
        """Wait until it has said ``text``."""
        try:
            async with asyncio.timeout(timeout):
                while text not in self.said:
                    assert self.process.returncode is None, self.said
                    self._heard.clear()
                    await self._heard.wait()
        except TimeoutError:
            raise AssertionError(f"it never said {text!r}, but:\n{self.said}") from None

    def tell(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    async def ended(self, timeout: float = 30) -> int:
        """Its exit code."""
        async with asyncio.timeout(timeout):
            return await self.process.wait()

    def children(self) -> list[int]:
        """The processes it has started."""
        text = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in text.split()]


@contextlib.asynccontextmanager
async def program(name: str, *arguments: str, env: Mapping[str, str] | None = None) -> AsyncIterator[Program]:
    """Run a program of the virtual environment until the block ends."""
    process = await asyncio.create_subprocess_exec(
        BIN / name,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "OMP_NUM_THREADS": "1", **(env or {})},
        start_new_session=True,
    )
    running = Program(process)
    listening = asyncio.ensure_future(running.listen())
    try:
        yield running
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        await listening
        print(running.said)  # pytest shows it where a test fails
