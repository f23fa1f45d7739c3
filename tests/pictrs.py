"""A real pict-rs 0.5.25 (``cargo install``) on a free port of this machine, its files in a folder of the test's.

Its records are in the PostgreSQL that all tests share.
"""

import asyncio
import contextlib
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests import postgres
from tests.processes import free_port

VERSION = "0.5.25"
START_SECONDS = 60.0
_CARGO = Path.home() / ".cargo" / "bin"
# What it needs, and how that is had on Debian. ImageMagick 6 will do, behind a shim.
_NEEDED = {
    "pict-rs": f"cargo install pict-rs --version {VERSION} --locked",
    "ffmpeg": "apt-get install ffmpeg",
    "ffprobe": "apt-get install ffmpeg",
    "exiftool": "apt-get install libimage-exiftool-perl",
}
# pict-rs calls ImageMagick 7's `magick convert …`; version 6 has a program for each.
_SHIM = """\
#!/bin/sh
program=convert
case "$1" in convert | identify) program=$1; shift ;; esac
exec "/usr/bin/$program-im6.q16" "$@"
"""


def _path() -> str:
    return f"{_CARGO}{os.pathsep}{os.environ.get('PATH', os.defpath)}"


def missing() -> str | None:
    """What is missing on this machine and how to get it; None where all is there."""
    lacking = {name: way for name, way in _NEEDED.items() if shutil.which(name, path=_path()) is None}
    if not shutil.which("magick") and not Path("/usr/bin/convert-im6.q16").exists():
        lacking["ImageMagick"] = "apt-get install imagemagick"
    if "pict-rs" not in lacking:
        said = subprocess.run(
            ["pict-rs", "--version"], env={"PATH": _path()}, capture_output=True, text=True, check=False
        )
        if said.stdout.split()[-1:] != [VERSION]:
            lacking[f"pict-rs {VERSION}"] = _NEEDED["pict-rs"] + " --force"
    if postgres.binaries() is None:
        lacking["PostgreSQL"] = "apt-get install postgresql"
    return "; ".join(f"{name} is missing ({way})" for name, way in lacking.items()) or None


@dataclass
class PictRs:
    """A pict-rs; ``port`` stays the same when it is started again."""

    port: int
    folder: Path
    database: str
    options: Sequence[str] = ()
    isolated: bool = False
    process: asyncio.subprocess.Process | None = field(default=None, init=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.folder / "pict-rs.log"

    async def start(self) -> None:
        """Start it on what is in its folder, and wait until it answers."""
        shim = self.folder / "bin"
        self.folder.mkdir(parents=True, exist_ok=True)
        if not shutil.which("magick"):
            shim.mkdir(parents=True, exist_ok=True)
            (shim / "magick").write_text(_SHIM)
            (shim / "magick").chmod(0o755)
        environment = {"PATH": f"{shim}{os.pathsep}{_path()}", "HOME": str(self.folder), "TMPDIR": str(self.folder)}
        if self.isolated:
            # It asks a proxy that is not there for all but 127.0.0.1 itself.
            environment |= {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
            environment |= {"no_proxy": "127.0.0.1"}
        words = self.log.open("ab")
        with words:
            self.process = await asyncio.create_subprocess_exec(
                *("pict-rs", "run", "--address", f"127.0.0.1:{self.port}"),
                *("--temporary-directory", str(self.folder / "tmp"), *self.options),
                *("filesystem", "--path", str(self.folder / "files"), "postgres", "--url", self.database),
                env=environment,
                stdout=words,
                stderr=words,
            )
        async with asyncio.timeout(START_SECONDS), httpx.AsyncClient(trust_env=False) as client:
            while True:
                with contextlib.suppress(httpx.TransportError):
                    await client.get(f"{self.url}/healthz")
                    return
                assert self.process.returncode is None, self.log.read_text()
                await asyncio.sleep(0.02)

    async def stop(self) -> None:
        """End it; what it has stored stays."""
        if self.process is not None and self.process.returncode is None:
            self.process.terminate()
            try:
                await asyncio.wait_for(self.process.wait(), 10)
            except TimeoutError:
                self.process.kill()
                await self.process.wait()


@contextlib.asynccontextmanager
async def pict_rs(
    folder: Path,
    *,
    validation: str | None = None,
    allow_local: bool = True,
    api_key: str | None = None,
    isolated: bool = False,
) -> AsyncIterator[PictRs]:
    """Run one, or skip the test and say what is missing.

    ``validation``: the URL of its external validation. ``allow_local``: whether it may connect to this machine, which
    is not its default. ``isolated``: it reaches 127.0.0.1 and nothing else.
    """
    if lacking := await asyncio.to_thread(missing):
        pytest.skip(f"needs a real pict-rs: {lacking}")
    options = ["--client-allow-local-connections"] if allow_local else []
    options += ["--media-external-validation", validation] if validation else []
    options += ["--api-key", api_key] if api_key else []
    server = await asyncio.to_thread(postgres.shared)
    assert server is not None
    with postgres.database(server) as database:
        kept = PictRs(free_port(), folder, database, options, isolated)
        try:
            await kept.start()
            yield kept
        finally:
            await kept.stop()
