"""What the fetch door makes of the JSON that the server fetches: passed as it came, with media taken out, or refused."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from addons.doors.assessing import Scope
from addons.doors.reading import Readers
from addons.judging.gate import Gate
from addons.policy.words import Action

MAX_BYTES = 8 << 20
"""Of a document that is read; real ones (pages of an outbox) have up to some hundred kilobytes."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server is given for a document.

    ``status`` 200: the response as it came, its body replaced by ``body`` where that is not None (then Content-Length
    is another, and ETag, Last-Modified, Content-Encoding, Digest, Content-Digest and Repr-Digest are no longer true).
    404: dropped. 503: not decided yet. 502: not to be read. A 503 and 502 are to be stored nowhere
    (``Cache-Control: no-store``).

    ``id``: the decision's in the ledger, empty where none was written. ``afterwards``: what is still to be done, once
    the answer is given (``mode: observe``); the caller keeps and awaits the task. It raises nothing.
    """

    status: int = 200
    body: bytes | None = None
    id: str = ""
    action: Action = Action.PASS
    afterwards: Callable[[], Coroutine[Any, Any, None]] | None = None

    @property
    def passes(self) -> bool:
        """Whether the response goes on, perhaps with another body."""
        return self.status == 200


class Documents:
    """Shared by all connections of the fetch door."""

    def __init__(self, scope: Scope, gate: Gate, *, readers: Readers | None = None, max_bytes: int = MAX_BYTES) -> None:
        self.scope = scope
        self.gate = gate
        self.max_bytes = max_bytes
        self._readers = readers or Readers()

    async def look(
        self, url: str, body: bytes, *, media_type: str, timeout: float, peer: str | None = None, share: str = ""
    ) -> Answer:
        """What to answer with for the document that ``url`` gave: a whole 200 response to a GET, content encodings undone.

        ``media_type``: the response's Content-Type, as it came (its parameters do no harm). ``timeout``: seconds for all
        of it. ``peer``: the IP address of who asks; ``share``: whose share of the fetches this takes, as of
        :meth:`addons.judging.judge.Judge.judge`. What is no JSON, and JSON that is no ActivityPub, passes. Raises
        nothing.
        """
        return Answer()

    def close(self) -> None:
        """Begin to read nothing more."""
        self._readers.close()
