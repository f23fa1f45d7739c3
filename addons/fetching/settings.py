"""What an admin and a door may set about fetching, checked when it is made."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from addons.fetching.addresses import Network
from addons.fetching.urls import Target, parse
from addons.senders.shares import Shares


@dataclass(frozen=True, slots=True)
class FetchSettings:
    """Bounds and manners of a :class:`addons.fetching.client.Fetcher`.

    ``allow``: networks beyond the public internet that may be connected to. ``max_bytes``: the most bytes of one body,
    as sent and decoded alike. ``user_agent``, ``accept`` and ``accept_encoding``: from
    :mod:`addons.fetching.user_agents`. ``per_host`` and ``total``: fetches at a time; ``queue``: how many more may wait
    for one host. ``shares``: how those who make us fetch share them. ``redirects``: how many are followed. ``routes``:
    host of ours to the base URL of its upstream (``{"example.org": "http://127.0.0.1:8536"}``): fetched from there with
    its own name in Host, and that address is not checked.

    Raises:
        ValueError: a bound is less than it can be, or a route is not a host and an http(s) base URL without a path.
    """

    user_agent: str
    allow: tuple[Network, ...] = ()
    ports: frozenset[int] = frozenset({80, 443})
    max_bytes: int = 40 * 1024 * 1024
    accept: str = "*/*"
    accept_encoding: str = "identity"
    per_host: int = 4
    total: int = 32
    queue: int = 64
    shares: Shares = field(default_factory=Shares)
    redirects: int = 5
    routes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the bounds."""
        for name, least in (("max_bytes", 1), ("per_host", 1), ("total", 1), ("queue", 0), ("redirects", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, not {getattr(self, name)}")
        self.upstreams()

    def upstreams(self) -> dict[str, Target]:
        """``routes``, both sides parsed: host as :class:`Target` writes it, to where it is connected."""
        routes = {parse(f"http://{host}/").host: parse(base) for host, base in self.routes.items()}
        for upstream in routes.values():
            if upstream.target != "/":
                raise ValueError(f"the upstream {upstream.url} must not have a path")
        return routes
