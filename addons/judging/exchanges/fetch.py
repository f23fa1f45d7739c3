"""The process that fetches one exchange: an order on stdin, an answer on stdout, both JSON. It may be killed any time.

It is one of its own since python-threatexchange blocks and takes what memory it likes. Secrets come by stdin, so that
no list of processes shows them.
"""

import fcntl
import json
import logging
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from addons.judging.exchanges.store import Store, TooManyError
from addons.policy.exchanges import Exchange
from classifier.hashlists import editing
from classifier.types import CannotStartError

MAX_MESSAGE = 300
"""Characters of an error told."""


class Order(msgspec.Struct, frozen=True):
    """What to fetch: ``exchange`` as its settings' JSON.

    ``seen``: the last complete fetch that the caller knows of; where there was another since, nothing is done, unless
    it is ``forced``. ``seconds`` and ``memory`` (bytes) bound the process.
    """

    exchange: dict[str, object]
    seen: float | None
    forced: bool
    seconds: float
    memory: int


class Answer(msgspec.Struct, frozen=True):
    """How it went: ``fetched`` is False where another process fetches or just did. ``failed``: why, for a person."""

    fetched: bool = False
    failed: str = ""
    hashes: int = 0
    records: int = 0


def main() -> None:
    """Read the order, carry it out, write the answer. Ends with 0 whatever it says."""
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    exchange = Exchange.model_validate(order.exchange)
    _bound(order.seconds, order.memory)
    logging.disable()
    try:
        answer = fetch(exchange, order)
    except Exception as error:
        answer = Answer(failed=told(error, exchange))
    sys.stdout.buffer.write(msgspec.json.encode(answer))


def fetch(exchange: Exchange, order: Order) -> Answer:
    """Fetch what is new, and put the list in place. Raises whatever goes wrong; what came before that is kept."""
    with _alone(exchange.state) as alone:
        if not alone:
            return Answer()
        with Store(exchange.state) as store:
            if not order.forced and store.fetched_at != order.seen:
                return Answer()
            try:
                records = _take(exchange, store)
            finally:
                # What did come is in force at once, and where nothing did the old list stays as it is.
                if store.unwritten or not exchange.list.file.exists():
                    store.written(editing.write(exchange.list, store.entries(exchange.name)))
            return Answer(fetched=True, hashes=store.listed, records=records)


def _take(exchange: Exchange, store: Store) -> int:
    from addons.judging.exchanges.sources import source  # late: requests and faiss, a second and 80 MB

    opened = source(exchange)
    checkpoint = store.checkpoint
    if checkpoint is None or store.origin != _origin(exchange) or not opened.usable(checkpoint):
        store.afresh(_origin(exchange))
        checkpoint = None
    records = 0
    for delta in opened.deltas(checkpoint):
        store.take(delta.updates, delta.checkpoint)
        records += len(delta.updates)
    store.complete(time.time())
    return records


def _origin(exchange: Exchange) -> str:
    """What a checkpoint belongs to: with another database or other members, it means nothing."""
    file = str(exchange.file) if exchange.file else None
    about = (exchange.kind, exchange.environment, exchange.url, sorted(exchange.members), file, exchange.match)
    return json.dumps(about)


@contextmanager
def _alone(state: Path) -> Iterator[bool]:
    """Whether no other process fetches this exchange. The kernel lets go of the lock when the process ends."""
    lock = os.open(state.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(lock)


def _bound(seconds: float, memory: int) -> None:
    """An end also where nobody is left to kill it."""
    signal.setitimer(signal.ITIMER_REAL, seconds)
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def told(error: Exception, exchange: Exchange) -> str:
    """What went wrong and what to do, in a sentence without secrets."""
    if isinstance(error, ImportError):
        return f"{error}: install fediward[exchanges]"
    from requests import HTTPError, RequestException

    where = "the file" if exchange.kind == "file" else "the exchange"
    status = error.response.status_code if isinstance(error, HTTPError) and error.response is not None else None
    if status in (401, 403):
        keys = "user and password" if exchange.kind == "ncmec" else "subscription_key and function_key"
        text = f"{where} does not let us in ({status}): check its {keys}, and that your access holds"
    elif isinstance(error, RequestException):
        text = f"{where} did not answer as it should: {error}"
    elif isinstance(error, MemoryError):
        text = f"{where} sent more than fits in the memory that fetching may take"
    elif isinstance(error, TooManyError | CannotStartError):
        text = str(error)
    elif isinstance(error, AssertionError) and exchange.kind == "file":
        text = f"{error}"
    elif isinstance(error, OSError):
        text = f"{error.strerror}: {error.filename}"
    else:
        text = f"{where} sent what cannot be read: {type(error).__name__}: {error}"
    for secret in exchange.secrets:
        text = text.replace(secret, "…")
    text = "".join(letter if letter.isprintable() else " " for letter in text)
    return text if len(text) <= MAX_MESSAGE else text[: MAX_MESSAGE - 1] + "…"


if __name__ == "__main__":
    main()
