"""The configuration of a drill: an admin's policy, in a little fediverse on this machine."""

from dataclasses import replace
from ipaddress import ip_network

from addons.drill.causes import MAX_BYTES, MEDIA
from addons.policy import values
from addons.policy.config import Config
from addons.policy.door_sections import Doors
from addons.policy.hold_sections import Senders
from addons.policy.sections import Reaction
from addons.policy.status_sections import Alarms
from addons.policy.values import Address
from addons.policy.words import Action, Cause

BUDGET = 1.0
"""Seconds, at most: nobody who drills wants to wait for longer."""
HOME = ip_network("127.0.0.0/8")


def setting(config: Config, cause: Cause, *, upstream: str, ports: tuple[int, ...], ledger: str | None) -> Config:
    """``config`` for a drill of ``cause``: its policy, bounds and holds, but for what is said here.

    The server is the stand-in at ``upstream``, everything fetched is on this machine, at ``ports``; no list denies the
    sender; nothing is judged for what it shows. ``ledger``: the URL of another one, with which nobody is told alarms;
    None: it is live, with the configuration's own, and observes.
    """
    classifier = config.classifier.model_copy(update={"clip": None, "nudity": None, "hashes": (), "workers": None})
    max_bytes = MAX_BYTES if cause is Cause.TOO_LARGE else config.fetch.max_bytes
    live = ledger is None
    config = replace(
        config,
        server=config.server.model_copy(
            update={"upstream": values.upstream(upstream), "listen": Address("127.0.0.1", 0)}
        ),
        doors=Doors(),
        scan="federation",
        mode="observe" if live else "enforce",
        budget=min(config.budget, BUDGET),
        fetch=config.fetch.model_copy(update={"allow": (HOME,), "ports": (80, 443, *ports), "max_bytes": max_bytes}),
        classifier=classifier,
        exchanges=(),
        brake=None,
        senders=Senders(),
        status=None,
    )
    if not live:
        config = replace(
            config, alarms=Alarms(), ledger=config.ledger.model_copy(update={"url": ledger, "keep": 3600.0})
        )
    if cause is Cause.TOO_MANY:
        config = replace(config, limits=config.limits.model_copy(update={"media": MEDIA}))
    if cause is Cause.HOLD_FULL:
        held = Reaction(do=Action.HOLD, then="drop")
        config = replace(
            config,
            holds=config.holds.model_copy(update={"count": 1}),
            on=config.on.model_copy(update={"timeout": held}),
        )
    return config
