"""Choices in a configuration that are allowed and risky: told as warnings by ``fediward config check``."""

from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from addons.policy.document import Document
from addons.policy.door_risks import door_risks, warning
from addons.policy.hold_risks import hold_risks
from addons.policy.problems import Problem
from addons.policy.rules import ANY_HASH, Rule, asked_symbols
from addons.policy.sections import File
from addons.policy.words import Action, Cause

_SHORTEST_SENDER = 7.0
"""Seconds after which the least patient sender gives up (PeerTube, reference §3)."""


_INSIDE = tuple(ip_address(address) for address in ("127.0.0.1", "::1", "169.254.169.254"))


def risks(document: Document, settings: File, rules: Sequence[Rule]) -> list[Problem]:
    """A warning for each risky choice, in no order."""
    return [
        *_causes(document, settings),
        *_nothing_kept_out(document, settings, rules),
        *_open_doors(document, settings),
        *_let_by(document, settings),
        *_idle(document, settings, rules),
        *_overheard(document, settings),
        *door_risks(document, settings, rules),
        *hold_risks(document, settings, rules),
    ]


def _causes(document: Document, settings: File) -> Iterator[Problem]:
    for cause in Cause:
        if cause is Cause.LEDGER_ERROR:
            continue  # there the decision stands, and only the note of it is missing
        action = settings.on.action(cause)
        if action is Action.PASS:
            message = f"{cause.value}: pass lets by what was not judged, and writes nothing down"
            yield warning(document, ("on", cause.value), message)
        elif action is Action.RECORD:
            yield warning(document, ("on", cause.value), f"{cause.value}: record lets by what was not judged")


def _nothing_kept_out(document: Document, settings: File, rules: Sequence[Rule]) -> Iterator[Problem]:
    if not rules:
        yield warning(document, ("rules",), "there are no rules: every image passes")
    elif all(rule.do in (Action.PASS, Action.RECORD) for rule in rules):
        yield warning(document, ("rules",), "no rule keeps anything out: each passes or records")
    if settings.mode == "observe":
        message = "mode: observe keeps nothing out: deliveries are forwarded and judged afterwards"
        yield warning(document, ("mode",), message)


def _open_doors(document: Document, settings: File) -> Iterator[Problem]:
    if settings.budget > _SHORTEST_SENDER:
        message = "some senders wait 7 s for an answer and never try again"
        yield warning(document, ("budget",), message, "at most 7s")
    for index, network in enumerate(settings.server.trusted_proxies):
        if network.prefixlen < (8 if network.version == 4 else 32):
            place = ("server", "trusted_proxies", index)
            message = "so wide a network lets strangers forge the sender's address"
            yield warning(document, place, message, "the proxy's own address")
    for index, network in enumerate(settings.fetch.allow):
        if any(address in network for address in _INSIDE):
            message = "this lets URLs in strangers' activities reach this machine's own services"
            place = ("fetch", "allow", index)
            yield warning(document, place, message, "no loopback or link-local address outside of tests")
    if settings.server.software != "lemmy" and document.find(("server", "image_mode")):
        message = "image_mode means something with software: lemmy only"
        yield warning(document, ("server", "image_mode"), message)


def _let_by(document: Document, settings: File) -> Iterator[Problem]:
    """Allow lists on which a stranger can get a picture of his own."""
    for index, listed in enumerate(settings.classifier.hashes):
        if listed.allow and listed.bits:
            message = f"a stranger can make a picture that is {listed.bits} bits from an allowed one, and it passes"
            yield warning(document, ("classifier", "hashes", index, "distance"), message, "distance: 0")
        if listed.allow and listed.match in ("md5", "sha1"):
            message = f"two files with one {listed.match} can be made: one to be allowed, another to follow"
            yield warning(document, ("classifier", "hashes", index, "match"), message, "match: sha256")


def _idle(document: Document, settings: File, rules: Sequence[Rule]) -> Iterator[Problem]:
    """Detectors and lists that cost time and decide nothing."""
    asked = asked_symbols(rules)
    for detector, on in (("clip", settings.classifier.clip), ("nudity", settings.classifier.nudity)):
        if on is not None and not any(symbol.startswith(f"{detector}.") for symbol in asked):
            message = f"the detector {detector} is on and no rule asks for what it finds"
            yield warning(document, ("classifier", detector), message, f"{detector}: null, or a rule on {detector}.…")
    for index, listed in enumerate(settings.classifier.hashes):
        if not listed.allow and f"hash.{listed.name}" not in asked and ANY_HASH not in asked:
            place = ("classifier", "hashes", index)
            message = f'no rule asks for the hash list "{listed.name}"'
            yield warning(document, place, message, f"a rule on hash.{listed.name} or hash.*")


def _overheard(document: Document, settings: File) -> Iterator[Problem]:
    """Pictures and secrets that others on the way could read."""
    workers = settings.classifier.workers
    if workers is None or workers.tls is not None:
        return
    for url in workers.nats:
        parts = urlsplit(url)
        host = parts.hostname or ""
        if parts.scheme == "nats" and host != "localhost" and not _loopback(host):
            message = "pictures (and a password in the URL) go unencrypted to the NATS server"
            yield warning(document, ("classifier", "workers"), message, "tls://, or tls: {} beside nats:")


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
