"""A host on loopback that serves one file by range, honestly or not, for tests of fetching large videos in parts."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tests.addons.fetching.servers import Served, answer, serve

type Lie = Callable[[int, bytes, dict[str, str], str], tuple[bytes, dict[str, str], str]]
"""Of the number of the range request, the body, headers and status of an honest answer makes what is answered."""

_RANGE = re.compile(rb"\r\nRange: bytes=(\d+)-(\d+)\r\n", re.IGNORECASE)


def honest(_number: int, body: bytes, headers: dict[str, str], status: str) -> tuple[bytes, dict[str, str], str]:
    """No lie."""
    return body, headers, status


def honest_answer(file: bytes, head: bytes, kind: str) -> tuple[bytes, dict[str, str], str]:
    """Body, headers and status for a request with this head: the one range that it asks for, else all."""
    headers = {"Content-Type": kind, "ETag": '"one"', "Content-Length": str(len(file))}
    wanted = _RANGE.search(head)
    if not wanted:
        return file, headers, "200 OK"
    start, end = int(wanted[1]), min(int(wanted[2]), len(file) - 1)
    body = file[start : end + 1]
    headers |= {"Content-Range": f"bytes {start}-{end}/{len(file)}", "Content-Length": str(len(body))}
    return body, headers, "206 Partial Content"


@asynccontextmanager
async def host(file: bytes, lie: Lie | None = honest, kind: str = "video/mp4") -> AsyncIterator[Served]:
    """Serves ``file`` at every path until the block ends; ``lie`` None: ranges are not known here."""
    number = 0

    async def handle(head: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal number
        body, headers, status = honest_answer(file, head if lie else b"", kind)
        if lie and status.startswith("206"):
            number += 1
            body, headers, status = lie(number, body, headers, status)
        writer.write(answer(body, status, headers))
        await writer.drain()

    async with serve(handle) as served:
        yield served
