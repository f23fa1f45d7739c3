"""Values of a configuration that are each right and cannot stand together."""

from collections.abc import Iterator

from addons.policy.document import Document, Place
from addons.policy.listeners import clash, leads_to, listeners
from addons.policy.problems import Problem
from addons.policy.quantities import show_size
from addons.policy.sections import File
from addons.policy.values import ip, reaches_strangers


def at_odds(document: Document, settings: File) -> Iterator[Problem]:
    """A problem for each, in no order."""
    yield from _listening_twice(document, settings)
    yield from _forwarding_to_itself(document, settings)
    yield from _origin_nowhere(document, settings)
    yield from _open_relay(document, settings)
    yield from _judging_blindly(document, settings)
    yield from _no_room(document, settings)
    yield from _lists_of_one_name(document, settings)


def _problem(
    document: Document, place: Place, message: str, expected: str | None = None, hint: str | None = None
) -> Problem:
    node = document.find(place)
    line, column, node = document.nearest(place, key=node is not None and node.entries is not None)
    return document.problem(line, column, message.replace("{text}", node.quoted), expected, hint)


def _listening_twice(document: Document, settings: File) -> Iterator[Problem]:
    every = list(listeners(settings))
    for index, one in enumerate(every):
        other = next((other for other in every[:index] if clash(one.address, other.address)), None)
        if other is not None:
            message = f"{{text}} is where {other.name} listens already"
            yield _problem(document, one.place, message, "each listener an address or port of its own")


def _forwarding_to_itself(document: Document, settings: File) -> Iterator[Problem]:
    pictrs = settings.doors.pictrs
    behind: list[tuple[Place, str]] = [(("server", "upstream"), "the address of the server behind")]
    urls = [settings.server.upstream]
    if pictrs is not None:
        behind.append((("doors", "pictrs", "upstream"), "the address of pict-rs"))
        urls.append(pictrs.upstream)
    for (place, expected), url in zip(behind, urls, strict=True):
        if any(leads_to(url, one.address) for one in listeners(settings)):
            message = "{text} is where fediward itself listens: it would forward to itself"
            yield _problem(document, place, message, expected)


def _origin_nowhere(document: Document, settings: File) -> Iterator[Problem]:
    """Lets pict-rs fetch from where the origin is not."""
    pictrs = settings.doors.pictrs
    if pictrs is None:
        return
    place: Place = ("doors", "pictrs", "origin_url")
    host = ip(pictrs.origin_url.host)
    if host is not None and (host.is_unspecified or host.is_multicast):
        message = "{text} is nowhere that pict-rs could fetch from"
        yield _problem(document, place, message, "the origin's address as pict-rs reaches it")
        return
    others = (one for one in listeners(settings) if one.address != pictrs.origin)
    other = next((one for one in others if leads_to(pictrs.origin_url, one.address)), None)
    if other is not None:
        message = f"{{text}} is where {other.name} listens, and pict-rs has to fetch from the origin"
        yield _problem(document, place, message, f"the origin ({pictrs.origin}) as pict-rs reaches it")


def _open_relay(document: Document, settings: File) -> Iterator[Problem]:
    for index, network in enumerate(settings.doors.fetch.clients if settings.doors.fetch else ()):
        if reaches_strangers(network):
            message = "strangers in so wide a network could send their own requests through the fetch door"
            yield _problem(document, ("doors", "fetch", "clients", index), message, "the server's own address")


def _judging_blindly(document: Document, settings: File) -> Iterator[Problem]:
    """pict-rs does not tell its validator where an image came from."""
    doors = settings.doors
    if doors.validate_ is None or doors.pictrs is not None:
        return
    if settings.scan == "federation" and doors.validate_.judges == "scanned":
        message = "validate is not told where an image came from, and so cannot leave out uploads (scan: federation)"
        expected = "validate: {judges: everything}, or doors.pictrs beside it, or scan: everything"
        yield _problem(document, ("doors", "validate"), message, expected)


def _no_room(document: Document, settings: File) -> Iterator[Problem]:
    memory = settings.limits.memory
    for place, number in (
        (("fetch", "max_bytes"), settings.fetch.max_bytes),
        (("limits", "body"), settings.limits.body),
        (("doors", "upload", "max_bytes"), settings.doors.upload.max_bytes),
    ):
        if number > memory:
            explicit: Place = place if document.find(place) else ("limits", "memory")
            if place[0] == "doors" and explicit != place:
                continue  # by default uploads pass unbuffered, whatever there is room for
            message = f"{'.'.join(place)} ({show_size(number)}) is more than limits.memory ({show_size(memory)})"
            yield _problem(document, explicit, message, "room for at least one in memory")


def _lists_of_one_name(document: Document, settings: File) -> Iterator[Problem]:
    names: set[str] = set()
    own = len(settings.classifier.hashes) - len(settings.exchanges)
    for index, listed in enumerate(settings.classifier.hashes):
        if listed.name in names:
            at: Place = ("classifier", "hashes", index) if index < own else ("exchanges", index - own)
            message, expected = "two hash lists are named {text}", "each list a name of its own"
            yield _problem(document, (*at, "name"), message, expected)
        names.add(listed.name)
