"""One delivery at the inbox door, before anything of it was read."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from mitmproxy import http

from addons.doors.assessing import Delivery
from addons.doors.deciding import Case
from addons.doors.peers import Network, sender
from addons.ledger.entry import new_id


@dataclass(frozen=True, slots=True)
class Visit:
    """Who brings it, its body as it came, and since when (``began``: monotonic seconds); it has ``budget`` seconds."""

    raw: bytes
    encodings: Sequence[str]
    peer: str
    started: datetime
    began: float
    budget: float

    @classmethod
    def of(cls, flow: http.HTTPFlow, trusted_proxies: Sequence[Network], budget: float) -> "Visit":
        """The visit of a request that is there as a whole."""
        request = flow.request
        return cls(
            request.raw_content or b"",
            request.headers.get_all("content-encoding"),
            sender(flow.client_conn.peername[0], request.headers.items(multi=True), trusted_proxies),
            datetime.now(UTC),
            time.monotonic(),
            budget,
        )

    @property
    def left(self) -> float:
        """Seconds until it has to be decided."""
        return max(0.0, self.began + self.budget - time.monotonic())

    def case(self, delivery: Delivery) -> Case:
        """The same, read."""
        return Case(
            id=new_id(self.started),
            raw=self.raw,
            delivery=delivery,
            peer=self.peer,
            started=self.started,
            began=self.began,
            until=self.began + self.budget,
            encoded=bool(self.encodings),
        )
