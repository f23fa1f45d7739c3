"""Risky choices about what is held, who is denied and who is told: allowed, and told as warnings."""

from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from addons.policy.document import Document, Place
from addons.policy.door_risks import at_inbox, warning
from addons.policy.listeners import local
from addons.policy.problems import Problem
from addons.policy.quantities import show_size
from addons.policy.rules import Rule
from addons.policy.sections import File
from addons.policy.values import reaches_strangers
from addons.policy.words import Action, Cause

_NEVER_HELD = (Cause.LEDGER_ERROR, Cause.HOLD_FULL)


def hold_risks(document: Document, settings: File, rules: Sequence[Rule]) -> Iterator[Problem]:
    """A warning for each, in no order."""
    yield from _refused_for_now(document, settings, rules)
    yield from _let_by_unjudged(document, settings)
    yield from _never_held(document, settings)
    yield from _without_brake(document, settings)
    yield from _denies_nobody(document, rules)
    yield from _status(document, settings)
    yield from _overheard_alarms(document, settings)


def _refused_for_now(document: Document, settings: File, rules: Sequence[Rule]) -> Iterator[Problem]:
    places: list[Place] = [
        ("on", cause.value) for cause in Cause if cause not in _NEVER_HELD and settings.on.action(cause) is Action.DEFER
    ]
    places += [("rules", index, "do") for index, rule in enumerate(rules) if rule.do is Action.DEFER]
    for place in places:
        message = "defer loses what PeerTube and Pixelfed send, and makes a Lemmy server's whole queue to you wait"
        yield warning(document, place, message, "hold, which keeps it and judges it afterwards")


def _let_by_unjudged(document: Document, settings: File) -> Iterator[Problem]:
    for cause in Cause:
        reaction = (settings.on.action(cause), settings.on.thens()[cause])
        # What nobody can fetch no reader sees either: there record is the default.
        if reaction == (Action.HOLD, "record") and cause is not Cause.FETCH_FAILED:
            message = f"{cause.value}: then: record lets by what was not judged, once its window closes"
            yield warning(document, ("on", cause.value, "then"), message, "then: drop")


def _never_held(document: Document, settings: File) -> Iterator[Problem]:
    """Bounds that keep some deliveries from ever being held: each is the cause ``hold_full``."""
    holds, limits = settings.holds, settings.limits
    least = limits.body + limits.headers
    for key, number in (("host_bytes", holds.host_bytes), ("bytes", holds.bytes)):
        if number < least:
            explicit: Place = ("holds", key) if document.find(("holds", key)) else ("limits", "body")
            message = (
                f"holds.{key} ({show_size(number)}) has no room for one delivery of limits.body and limits.headers"
            )
            yield warning(document, explicit, message, f"at least {show_size(least)}")
    for one, every, share, whole in (
        ("host_count", "count", holds.host_count, holds.count),
        ("host_bytes", "bytes", holds.host_bytes, holds.bytes),
    ):
        if share >= whole:
            explicit = ("holds", one) if document.find(("holds", one)) else ("holds", every)
            message = f"holds.{one} is not below holds.{every}: one host's deliveries could fill it"
            yield warning(document, explicit, message, f"{one} well below {every}")


def _without_brake(document: Document, settings: File) -> Iterator[Problem]:
    if settings.brake is None:
        message = "without the brake a model gone wrong can drop all that comes in"
        yield warning(document, ("brake",), message, "brake: {}")


def _denies_nobody(document: Document, rules: Sequence[Rule]) -> Iterator[Problem]:
    for index, rule in enumerate(rules):
        if rule.deny is not None and at_inbox(rule.when) is False:
            message = "only who delivers is denied, and this rule is never asked at the inbox door"
            yield warning(document, ("rules", index, "deny"), message, "no deny, or door: inbox too")


def _status(document: Document, settings: File) -> Iterator[Problem]:
    for index, network in enumerate(settings.status.clients if settings.status else ()):
        if reaches_strangers(network):
            message = "strangers in so wide a network could read here what fediward does, and when it is down"
            yield warning(document, ("status", "clients", index), message, "the monitoring's own address")


def _overheard_alarms(document: Document, settings: File) -> Iterator[Problem]:
    for index, one in enumerate(settings.alarms.to):
        for key, url in (("webhook", one.webhook), ("ntfy", one.ntfy)):
            parts = urlsplit(url or "")
            if parts.scheme == "http" and not local(parts.hostname or ""):
                message = "alarms (and a token) go unencrypted"
                yield warning(document, ("alarms", "to", index, key), message, "https://")
        if one.email is not None and one.email.tls == "none" and not local(one.email.smtp.host):
            message = "alarms (and a password) go unencrypted to the mail server"
            yield warning(document, ("alarms", "to", index, "email", "tls"), message, "tls: starttls, or tls: tls")
