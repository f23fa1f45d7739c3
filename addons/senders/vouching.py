"""Hosts whose keys cannot be had unsigned, and for which the server behind the door vouches by taking their deliveries.

It decides whose share a delivery takes, and nothing else.
"""

import time
from collections.abc import Callable

from cachetools import TTLCache

from addons.ledger.held import Signer
from addons.senders.shares import share_of

VERIFYING = frozenset({"lemmy", "mastodon", "gotosocial", "akkoma", "peertube"})
"""Software that has verified a signature before it answers 2xx (reference §1-2: on a bad one it answers 4xx). Not Mbin,
which answers 200 and verifies later, nor Misskey, which only reads the header first; nor PieFed, which answers 200 at
once to what it has had already or ignores, nor Pleroma, whose relay's inbox takes any Create."""
UNASKED = frozenset({"Delete", "Update"})
"""Of these no 2xx proves anything: Mastodon answers 202 at once to those of an actor that it does not know
(app/controllers/activitypub/inboxes_controller.rb), others likewise to a Delete."""
SECONDS = 3600.0
KEPT = 10_000
"""Pairs of an address and a host."""


class Vouched:
    """Which addresses lately brought, in the name of which host, what the server took. ``clock`` in seconds.

    An address counts with the host it was taken for only: who shares neither with it gains nothing by its name.
    """

    def __init__(self, software: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._verifies = software in VERIFYING
        self._taken: TTLCache[tuple[str, str], None] = TTLCache(KEPT, SECONDS, timer=clock)

    def took(self, signer: Signer, peer: str) -> None:
        """The server answered 2xx to a delivery of this signer from ``peer`` (its ``connection_key``)."""
        if self._verifies and signer.state == "unverifiable" and signer.host is not None:
            self._taken[peer, signer.host] = None

    def share_of(self, signer: Signer, peer: str) -> str:
        """As :func:`addons.senders.shares.share_of`, the host's where the server vouched for it."""
        if signer.state == "unverifiable" and signer.host is not None and (peer, signer.host) in self._taken:
            return share_of(Signer("verified", signer.host), peer)
        return share_of(signer, peer)
