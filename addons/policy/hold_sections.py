"""The sections of holding: what is kept back and for how long, whose deliveries count, and when a rule is stopped."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field

from addons.policy import values
from addons.policy.fields import HostPattern, listed
from classifier.settings import Settings


class Holds(Settings):
    """``holds:``: bounds on what is held, bytes of heads and bodies, and how many are worked on at a time.

    ``window``: seconds from a delivery's signature in which the server still takes it; None: that of its software.
    ``host_count`` and ``host_bytes``: of one share (a verified host, or one peer address).
    """

    window: Annotated[float, BeforeValidator(values.duration("2m", "7d"))] | None = None
    count: Annotated[int, BeforeValidator(values.whole(1, 10_000_000))] = 10_000
    bytes: Annotated[int, BeforeValidator(values.size("1MiB", "1024GiB"))] = 256 << 20
    host_count: Annotated[int, BeforeValidator(values.whole(1, 10_000_000))] = 1_000
    host_bytes: Annotated[int, BeforeValidator(values.size("1MiB", "1024GiB"))] = 32 << 20
    replays: Annotated[int, BeforeValidator(values.whole(1, 1000))] = 8
    judging: Annotated[int, BeforeValidator(values.whole(1, 1000))] = 8


type _Files = Annotated[tuple[Path, ...], BeforeValidator(listed), Field(max_length=100)]
type _Weight = Annotated[int, BeforeValidator(values.whole(1, 100))]


class Senders(Settings):
    """``senders:``: files of hosts and actors that are denied before any work, or allowed; and how hosts share.

    ``weights``: of a verified host (``*.example.org``: of each below it), where every other one has 1.
    """

    deny: _Files = ()
    allow: _Files = ()
    weights: Annotated[Mapping[HostPattern, _Weight], Field(max_length=1000)] = {}


class Brake(Settings):
    """``brake:``: how much a rule without ``hash.*`` may match before its matches are held: a model may go wrong.

    It trips past ``share`` (0 to 1) of at least ``media`` judged ``within`` that many seconds, from at least ``hosts``
    verified hosts, of each of which at most ``per_host`` matches count.
    """

    share: Annotated[float, BeforeValidator(values.number(0.01, 1))] = 0.2
    media: Annotated[int, BeforeValidator(values.whole(1, 1_000_000))] = 200
    within: Annotated[float, BeforeValidator(values.duration("1m", "7d"))] = 3600.0
    hosts: Annotated[int, BeforeValidator(values.whole(1, 10_000))] = 5
    per_host: Annotated[int, BeforeValidator(values.whole(1, 1_000_000))] = 10
