"""Risky choices about the doors: allowed, and told as warnings."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from addons.policy.conditions import AllOf, AnyOf, Condition, NotOf, OneOf
from addons.policy.document import Document, Place
from addons.policy.listeners import local
from addons.policy.problems import Problem
from addons.policy.rules import Rule
from addons.policy.sections import File
from addons.policy.stripping import strips, why_not
from addons.policy.values import Network, ip, reaches_strangers
from addons.policy.words import Action, Cause

_WAITS = {"lemmy": 10.0, "mastodon": 10.0, "gotosocial": 10.0, "mbin": 8.0, "pleroma": 15.0, "akkoma": 15.0}
"""Seconds that a server waits for what it fetches (reference §3, §5, §7)."""
_PICTRS_WAIT = 10.0
"""Seconds that Lemmy waits for pict-rs to download (reference §8); pict-rs is not done when it has the bytes."""
_VALIDATOR_WAIT = 8.0
"""Seconds in which a validator has to answer, as Lemmy waits for pict-rs meanwhile (reference §8)."""
_UPLOAD_WAIT = 30.0
"""Seconds that Lemmy waits for pict-rs to take an upload (reference §8)."""
_PRIVATE = (".internal", ".local", ".localhost", ".localdomain", ".lan", ".home.arpa", ".intranet", ".private", ".test")
"""How names end that mean something inside only."""


def door_risks(document: Document, settings: File, rules: Sequence[Rule]) -> Iterator[Problem]:
    """A warning for each, in no order."""
    yield from _strip_counts_as_drop(document, settings, rules)
    yield from _no_pictrs(document, settings)
    yield from _origin(document, settings)
    yield from _shut_out(document, settings)
    yield from _strangers(document, settings)
    yield from _impatient(document, settings)
    yield from _idle(document, settings)
    yield from _unseen(document, settings)


def warning(
    document: Document, place: Place, message: str, expected: str | None = None, hint: str | None = None
) -> Problem:
    """A warning at ``place``, or at the last thing on the way there."""
    line, column, _ = document.nearest(place, key=len(place) == 2 and place[0] == "doors")
    return replace(document.problem(line, column, message, expected, hint), warning=True)


def _strip_counts_as_drop(document: Document, settings: File, rules: Sequence[Rule]) -> Iterator[Problem]:
    if "inbox" in strips(settings):
        return
    places: list[Place] = []
    for index, rule in enumerate(rules):
        if rule.do is Action.STRIP and at_inbox(rule.when) is not False:
            places.append(("rules", index, "do"))
    places += [("on", cause.value) for cause in Cause if settings.on.action(cause) is Action.STRIP]
    why, instead = why_not(settings)
    for place in places:
        yield warning(document, place, f"at the inbox door strip counts as drop here: {why}", instead)


def at_inbox(condition: Condition) -> bool | None:
    """Whether it can hold at the inbox door; None: that hangs on more than the door."""
    match condition:
        case OneOf("door", doors):
            return "inbox" in doors
        case NotOf(inner):
            held = at_inbox(inner)
            return None if held is None else not held
        case AllOf(inside):
            found = {at_inbox(one) for one in inside}
            return False if False in found else None if None in found else True
        case AnyOf(inside):
            found = {at_inbox(one) for one in inside}
            return True if True in found else None if None in found else False
        case _:
            return None


def _no_pictrs(document: Document, settings: File) -> Iterator[Problem]:
    software, doors = settings.server.software, settings.doors
    if software in ("lemmy", "generic"):
        return
    for name, door in (("pictrs", doors.pictrs), ("validate", doors.validate_)):
        if door is not None:
            message = f"{software} has no pict-rs that this door could stand before: only Lemmy uses it"
            yield warning(document, ("doors", name), message, "doors.fetch, or the right server.software")


def _origin(document: Document, settings: File) -> Iterator[Problem]:
    """An origin that strangers reach, or pict-rs does not."""
    pictrs = settings.doors.pictrs
    if pictrs is None:
        return
    place, url = ("doors", "pictrs", "origin_url"), pictrs.origin_url
    if url.scheme == "https":
        message = (
            "the origin speaks plain http; pict-rs trusts public authorities only, so something must stand before it"
        )
        yield warning(document, place, message, "http://, in a network of their own")
    if _public(url.host):
        message = "by a public name or address strangers may reach the origin too"
        yield warning(document, place, message, "a name or address in a network of pict-rs's and fediward's own")
    elif local(url.host) and not local(pictrs.upstream.host):
        message = f"there pict-rs reaches itself: it runs elsewhere ({pictrs.upstream.host})"
        yield warning(document, place, message, "fediward's name or address as pict-rs knows it")
    elif local(pictrs.origin.host) and not local(url.host):
        message = f"pict-rs does not reach {pictrs.origin} from another machine or container"
        yield warning(document, ("doors", "pictrs", "origin"), message, "an address that origin_url leads to")


def _shut_out(document: Document, settings: File) -> Iterator[Problem]:
    """A door of which the one that needs it is no client: a container elsewhere, most often."""
    server, doors = settings.server, settings.doors
    if doors.fetch is not None and not _may(server.upstream.host, doors.fetch.clients):
        message = f"the server ({server.upstream.host}) is none of the clients, and could fetch nothing"
        yield warning(document, ("doors", "fetch", "clients"), message, "the network that the server is in")
    if doors.pictrs is not None and not _may(doors.pictrs.upstream.host, doors.pictrs.clients):
        message = f"pict-rs ({doors.pictrs.upstream.host}) is none of the origin's clients, and could fetch nothing"
        yield warning(document, ("doors", "pictrs", "clients"), message, "the network that pict-rs is in")


def _may(host: str, clients: Sequence[Network]) -> bool:
    """Whether ``host`` may be one of them; of a name nothing else is known than that it is not this machine."""
    if host == "localhost":
        return True
    address = ip(host)
    return any(address in network if address is not None else not network.is_loopback for network in clients)


def _public(host: str) -> bool:
    address = ip(host)
    if address is not None:
        return address.is_global
    return "." in host and not f".{host}".endswith(_PRIVATE)


def _strangers(document: Document, settings: File) -> Iterator[Problem]:
    doors = settings.doors
    for index, network in enumerate(doors.pictrs.clients if doors.pictrs else ()):
        if reaches_strangers(network):
            message = "strangers in so wide a network reach the origin, which pict-rs alone needs"
            yield warning(document, ("doors", "pictrs", "clients", index), message, "pict-rs's own address")
    if doors.validate_ is None or doors.validate_.secret is not None:
        return
    for index, network in enumerate(doors.validate_.clients):
        if reaches_strangers(network):
            message = "strangers in so wide a network could try out here which images are found"
            yield warning(
                document, ("doors", "validate", "clients", index), message, "pict-rs's own address, or secret: …"
            )


def _impatient(document: Document, settings: File) -> Iterator[Problem]:
    """Deadlines past which nobody waits for the answer."""
    software, doors = settings.server.software, settings.doors
    lemmy = software == "lemmy"
    for name, door, most, who in (
        ("fetch", doors.fetch, _WAITS.get(software), software),
        ("pictrs", doors.pictrs, _PICTRS_WAIT, "Lemmy"),
        ("validate", doors.validate_, _VALIDATOR_WAIT, "pict-rs"),
        ("upload", doors.upload, _UPLOAD_WAIT if lemmy else None, "Lemmy"),
    ):
        if door is not None and most is not None and door.deadline > most:
            message = f"{who} waits {most:g} s at most for an answer"
            yield warning(document, ("doors", name, "deadline"), message, f"less than {most:g}s")


def _idle(document: Document, settings: File) -> Iterator[Problem]:
    doors = settings.doors
    validate = doors.validate_
    if validate is not None and validate.judges == "scanned" and settings.scan == "federation":
        # Without the pict-rs door this would be an error.
        message = "validate judges nothing here: the pict-rs door judges what is federated, and nobody scans the rest"
        yield warning(document, ("doors", "validate"), message, "judges: everything, or no validate")
    if doors.fetch is not None and 443 not in doors.fetch.ports:
        message = "without port 443 the server can fetch nothing by https"
        yield warning(document, ("doors", "fetch", "ports"), message, "443 among them")


def _unseen(document: Document, settings: File) -> Iterator[Problem]:
    ahead = settings.look_ahead
    if ahead.links == "never" and settings.server.software == "lemmy":
        message = "where Lemmy cannot have a link's image it shows it from where it lies, so nobody judges it"
        yield warning(document, ("look_ahead", "links"), message, "auto")
    if ahead.objects == "never" and settings.doors.fetch is None:
        message = "without a fetch door nobody judges what an activity only names (a boost, for one)"
        yield warning(document, ("look_ahead", "objects"), message, "auto, or doors.fetch")
