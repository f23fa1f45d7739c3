"""What the commands that stay share: being told to stop, and being told again."""

import asyncio
import contextlib
import signal
from collections.abc import Iterator


@contextlib.contextmanager
def told_to_stop() -> Iterator[tuple[asyncio.Future[None], asyncio.Future[None]]]:
    """Two futures: done at the first SIGINT or SIGTERM, and at the second."""
    loop = asyncio.get_running_loop()
    told = (loop.create_future(), loop.create_future())

    def heard() -> None:
        for future in told:
            if not future.done():
                future.set_result(None)
                return

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, heard)
    try:
        yield told
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
