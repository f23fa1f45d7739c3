"""``fediward`` as real processes of this machine: the door that runs, and the commands that read its ledger."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

COMMAND = Path(sys.executable).with_name("fediward")
START_SECONDS = 120.0
"""torch alone takes ten seconds to import where other work shares the processor."""
STOP_SECONDS = 20.0
# Each process would compile torch and the rest anew where the environment forbids to write bytecode or the venv cannot
# be written to: ten seconds instead of three.
BYTECODE = Path(__file__).resolve().parents[2] / ".pytest_cache" / "bytecode"


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on at this moment."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@dataclass(frozen=True, slots=True)
class Door:
    """A running ``fediward run``: the port it listens on, its process, its configuration and what it said."""

    port: int
    config: Path
    process: subprocess.Popen[bytes]
    log: Path

    async def ended(self, seconds: float = STOP_SECONDS) -> int:
        """The exit status; negative for a signal. subprocess.TimeoutExpired where it does not end in time."""
        return await asyncio.to_thread(self.process.wait, seconds)

    async def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end."""
        self.process.send_signal(number)
        return await self.ended()

    def children(self) -> list[int]:
        """The processes that it started and that are alive."""
        found: list[int] = []
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
        return found

    async def entries(self, *arguments: str) -> list[dict[str, object]]:
        """What ``fediward log --json`` prints, one object a line."""
        status, out = await fediward("log", "--json", "--limit", "1000", "-c", str(self.config), *arguments)
        assert status == 0, out
        return [json.loads(line) for line in out.splitlines()]


async def fediward(*arguments: str) -> tuple[int, str]:
    """Run a command to its end: exit status and standard output; what it says on standard error goes to ours."""
    process = await asyncio.create_subprocess_exec(
        str(COMMAND), *arguments, stdout=asyncio.subprocess.PIPE, env=_environment()
    )
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, out.decode()


@contextlib.asynccontextmanager
async def door(folder: Path, text: str, upstream: int) -> AsyncIterator[Door]:
    """Run a door in front of a port of this machine, with ``text`` as the rest of its configuration file."""
    config = folder / "config.yaml"
    for attempt in range(3):
        port = free_port()
        server = (
            f"server: {{upstream: 'http://127.0.0.1:{upstream}', listen: '127.0.0.1:{port}', domains: [example.org]}}"
        )
        config.write_text(f"{server}\n{text}")
        try:
            running = await start(config, port)
        except AddressTakenError:
            if attempt == 2:
                raise
            continue
        break
    try:
        yield running
    finally:
        await end(running)


class AddressTakenError(Exception):
    """Somebody else took the port between our look and the door's."""


async def start(config: Path, port: int) -> Door:
    """Start ``fediward run`` and wait until its door is open."""
    log = config.with_name(f"{config.stem}.log")
    running = Door(port, config, _run(config, log), log)
    try:
        async with asyncio.timeout(START_SECONDS):
            while f"inbox door open on 127.0.0.1:{port}" not in (said := log.read_text()):
                if running.process.poll() is not None:
                    if "in use" in said:
                        raise AddressTakenError(said)
                    raise RuntimeError(
                        f"fediward ended with {running.process.returncode} before its door was open:\n{said}"
                    )
                await asyncio.sleep(0.05)
    except BaseException:
        await end(running)
        raise
    return running


def _run(config: Path, log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as words:
        return subprocess.Popen(
            [str(COMMAND), "run", "-c", str(config)], stdout=words, stderr=words, env=_environment()
        )


def _environment() -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**inherited, "PYTHONPYCACHEPREFIX": str(BYTECODE)}


async def end(running: Door) -> None:
    """Make sure that it is gone."""
    if running.process.poll() is None:
        try:
            await running.stop()
        except subprocess.TimeoutExpired:
            await running.stop(signal.SIGKILL)
            raise
