"""What the fetch door takes from the configuration."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from addons.doors.peers import Network
from addons.policy.hosts import HostSet

CONNECTIONS = 1024
"""Connections of all clients together."""


@dataclass(frozen=True, slots=True)
class FetchDoorSettings:
    """What the fetch door takes from the configuration.

    ``deadline``: seconds for one answer. ``domains``: our own, whose media are judged only with ``judge_local``.
    ``max_bytes``: of one medium; ``document_bytes``: of JSON, of which real pages of an outbox have some hundred
    kilobytes. ``tunnel_hosts`` and ``tunnel_clients``: whose TLS passes unread.
    """

    clients: Sequence[Network]
    deadline: float = 8.0
    domains: frozenset[str] = frozenset()
    judge_local: bool = False
    max_bytes: int = 40 << 20
    document_bytes: int = 8 << 20
    tunnel_hosts: HostSet = field(default_factory=lambda: HostSet(()))
    tunnel_clients: Sequence[Network] = ()
    connections: int = CONNECTIONS
