"""Whose share of fetches, judging and holds a delivery takes, and how large the shares are. Pure."""

from collections.abc import Mapping
from types import MappingProxyType

from addons.ledger.held import Signer
from addons.policy.hosts import normal_host

UNVERIFIED = "unverified:"
"""How the shares begin that together have the small pool of what nobody vouches for."""
_HOST = "host:"
_PEER = "peer:"
OWN = ""
"""The share of what the server itself asks for: no delivery's, and limited by none of these."""
OWN_WEIGHT = 10.0
"""Turns of :data:`OWN` to one of a host: its users wait for it, and it cannot keep the others out."""
FRACTION = 0.1
"""Of everything, what all unverified deliveries may have together (``limits.unverified``)."""


def share_of(signer: Signer, peer: str) -> str:
    """The share of a delivery: its host's where the signature verifies, else its peer's.

    ``peer``: :func:`addons.doors.peers.connection_key` of the sender's address. A host is believed only where its
    signature verifies: anybody can write another's name. Who cannot be verified for no fault of its own
    (``unverifiable``) has a full share, by address; who is unverified has one within the pool.
    """
    if signer.state == "verified" and signer.host:
        return f"{_HOST}{signer.host}"
    return f"{_PEER}{peer}" if signer.state == "unverifiable" else f"{UNVERIFIED}{peer}"


class Shares:
    """How large each share is. Nothing in it changes.

    ``weights``: host or pattern ``*.example.org`` to how many turns its share has to one of another (1 to 100); a host
    that is named counts before a pattern, the longest pattern before the others. ``unverified``: the fraction of
    everything that all unverified shares may have together.
    """

    def __init__(self, weights: Mapping[str, float] = MappingProxyType({}), unverified: float = FRACTION) -> None:
        """Hosts in their one form (:func:`addons.policy.hosts.normal_pattern`). Raises ValueError on what is no weight
        or fraction."""
        for host, weight in weights.items():
            if not 1 <= weight <= 100:
                raise ValueError(f"the weight of {host} must be 1 to 100, not {weight}")
        if not 0 < unverified <= 1:
            raise ValueError(f"the unverified share must be more than 0 and at most 1, not {unverified}")
        self._exact = {host: weight for host, weight in weights.items() if not host.startswith("*.")}
        self._below = {host[2:]: weight for host, weight in weights.items() if host.startswith("*.")}
        self._unverified = unverified

    def weight(self, share: str) -> float:
        """Turns of this share to one of a share without a weight."""
        if share == OWN:
            return OWN_WEIGHT
        if not (self._exact or self._below) or not share.startswith(_HOST):
            return 1.0
        host = normal_host(share.removeprefix(_HOST))
        if host is None:
            return 1.0
        if (weight := self._exact.get(host)) is not None:
            return weight
        while host:
            host = host.partition(".")[2]
            if (weight := self._below.get(host)) is not None:
                return weight
        return 1.0

    def pooled(self, share: str) -> bool:
        """Whether it is one of the unverified, that are limited together."""
        return share.startswith(UNVERIFIED)

    def pool(self, total: int) -> int:
        """Of ``total``, what the unverified may have together; at least 1."""
        return max(1, int(total * self._unverified + 1e-9))  # 0.29 * 100 is a little less than 29
