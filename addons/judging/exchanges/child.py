"""Runs one fetch in a process of its own, bounded in time and memory, and says how it went."""

import asyncio
import contextlib
import os
import signal
import sqlite3
import sys
from dataclasses import dataclass

import msgspec

from addons.judging.exchanges.fetch import Answer, Order
from addons.judging.exchanges.store import Store
from addons.policy.exchanges import Exchange
from classifier.hashlists import editing
from classifier.types import CannotStartError

SECONDS = 3600.0
"""How long a fetch may take. The first, of millions of hashes, may need several: each goes on where the last ended."""
MEMORY = 2 << 30
"""Bytes that a fetch may take."""


class FetchFailedError(Exception):
    """A fetch was not completed; the message says why. What came before that is kept."""


@dataclass(frozen=True, slots=True)
class State:
    """The last complete fetch (seconds since 1970), why fetching has failed since, and how many hashes its list has."""

    fetched_at: float | None
    trouble: str
    hashes: int


def state(exchange: Exchange) -> State:
    """What its files say. Blocks; raises FetchFailedError where they cannot be read."""
    try:
        with Store(exchange.state) as store:
            return State(store.fetched_at, store.trouble, store.listed)
    except sqlite3.Error as error:
        raise FetchFailedError(f"{exchange.state} cannot be read ({error}): move it away to fetch afresh") from error


def note(exchange: Exchange, trouble: str) -> None:
    """Write down why a fetch failed, as far as that can be written. Blocks."""
    with contextlib.suppress(sqlite3.Error), Store(exchange.state) as store:
        store.failed(trouble)


def prepare(exchange: Exchange) -> None:
    """Make its folder, for this user alone, and an empty list where none has been fetched yet.

    Raises CannotStartError.
    """
    try:
        exchange.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise CannotStartError(f"the folder {exchange.folder} cannot be made ({error.strerror})") from error
    if not exchange.list.file.exists():
        editing.write(exchange.list, ())


async def fetch(
    exchange: Exchange,
    *,
    seen: float | None = None,
    forced: bool = False,
    seconds: float = SECONDS,
    memory: int = MEMORY,
) -> Answer:
    """Fetch what is new into the exchange's list; ``seen``, ``forced`` as in :class:`~.fetch.Order`.

    Raises FetchFailedError. Cancelled, it ends the process.
    """
    order = Order(exchange.model_dump(mode="json", exclude={"every"}), seen, forced, seconds + 5, memory)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "addons.judging.exchanges.fetch"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        # threatexchange tells NCMEC local times as if they were UTC.
        env={**os.environ, "TZ": "UTC", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(seconds):
            said, _ = await process.communicate(msgspec.json.encode(order))
    except TimeoutError:
        raise FetchFailedError(f"not done within {seconds:.0f} s; what came until then is kept") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode:
        raise FetchFailedError(f"the process that fetches died ({_how(process.returncode)})")
    answer = msgspec.json.decode(said, type=Answer)
    if answer.failed:
        raise FetchFailedError(answer.failed)
    return answer


def _how(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
