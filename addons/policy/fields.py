"""Types that several sections of the configuration have fields of."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from addons.policy import values
from addons.policy.values import Address, Network, Upstream

LOOPBACK = (values.network("127.0.0.0/8"), values.network("::1/128"))
"""This very machine: who may use a listener beside the inbox, where nothing else is said."""


def default_if_empty(value: object) -> object:
    """A section whose every key is commented out is null in YAML, and means the defaults."""
    return {} if value is None else value


def listed(value: object) -> object:
    """One value where a list of them is meant."""
    return [value] if isinstance(value, str) else value


type Host = Annotated[str, BeforeValidator(values.host)]
type HostPattern = Annotated[str, BeforeValidator(values.host_pattern)]
type Cidr = Annotated[Network, BeforeValidator(values.network)]
type Cidrs = Annotated[tuple[Cidr, ...], BeforeValidator(listed), Field(max_length=1000)]
type ListenAddress = Annotated[Address, BeforeValidator(values.address)]
type UpstreamUrl = Annotated[Upstream, BeforeValidator(values.upstream)]
type Clients = Annotated[Cidrs, Field(min_length=1)]
type Port = Annotated[int, BeforeValidator(values.whole(1, 65535))]
