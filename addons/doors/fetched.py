"""A JSON document that the server fetched, as it is judged: what it is, who speaks in it, the media of each part."""

import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from addons.activitypub import vocabulary as vocab
from addons.activitypub.keys import Keys
from addons.activitypub.parsing import MalformedActivityError, parse
from addons.activitypub.parties import name_parties, values
from addons.activitypub.references import MediaRef, Walk
from addons.activitypub.strip import proves
from addons.activitypub.walk import join, walk
from addons.doors.assessing import host_of
from addons.judging.looking import Scope
from addons.policy.words import Cause, Context

type Kind = Literal["post", "actor", "collection"]

OF_COLLECTIONS = 16
"""Times the media of one post are looked at in a collection; real pages of outboxes have up to 50 posts."""
_ITEMS = frozenset({"items", "ordereditems"})
_PAGES = frozenset({"first"})
_OEMBED = frozenset({"photo", "video", "link", "rich"})


@dataclass(frozen=True, slots=True)
class Part:
    """What is judged by itself: a whole document, or an item of a collection (``at``: the keys that lead to the array
    and the item's index in it). ``walk`` and ``media`` are its own; of ``media`` those that have to be judged."""

    at: tuple[str | int, ...]
    value: object
    walk: Walk
    context: Context
    media: tuple[MediaRef, ...]
    causes: tuple[Cause, ...] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """A document as it was read. ``parts``: itself first, without its items, then these."""

    body: bytes
    root: object
    kind: Kind
    parts: tuple[Part, ...]
    bounds: Scope
    most: int
    """Media that are looked at."""


class UnknownError(Exception):
    """The document passes a bound before it is known what it is: the cause ``cause``."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(str(cause))
        self.cause = cause


def claims_json(media_type: str) -> bool:
    """Whether a Content-Type says that the body is ActivityPub, or other JSON, which lenient servers take for it.

    Of several, joined by commas, any counts.
    """
    names = [each.partition(";")[0].strip().lower() for each in media_type.split(",")]
    return any(name.endswith(("/json", "+json")) for name in names)


_BEGINS = re.compile(rb"(?:\xef\xbb\xbf)?\s*+[\[{]")
_TYPED = re.compile(rb'(?:context|type)"\s*+:|\\u', re.IGNORECASE)


def may_be_json(body: bytes) -> bool:
    """Whether the body begins as a JSON object or array does."""
    return _BEGINS.match(body) is not None


def read(body: bytes, url: str, scope: Scope, *, max_bytes: int, peer: str | None = None) -> Document | None:
    """Parse and walk what ``url`` gave; None where it is no ActivityPub.

    Raises MalformedActivityError, and UnknownError where a bound was passed that is told before parsing.
    """
    if len(body) > max_bytes:
        return _untyped(body, Cause.TOO_LARGE)
    try:
        parsed = parse(body, max_depth=scope.depth, max_nodes=scope.nodes, exact=True)
    except MalformedActivityError:
        if _is_json(body):
            return None  # a list of hosts, say
        raise
    if parsed.overflow:
        return _untyped(body, Cause.TOO_MANY)
    keys = Keys()
    roots = [one for one in values(parsed.document) if isinstance(one, dict)]
    for one in roots:
        keys.learn(one.get("@context"))
    if not any(_is_activitypub(one, keys) for one in roots):
        return None
    kind, arrays = _kind(parsed.document, keys)
    most = scope.media * OF_COLLECTIONS if kind == "collection" else scope.media
    found = walk(parsed.document, max_depth=scope.depth, max_nodes=scope.nodes, max_media=most)
    parts = _parts(parsed.document, found, arrays, keys, scope, Context("fetch", host_of(url), address=peer))
    return Document(body, parsed.document, kind, tuple(parts), scope, most)


def _untyped(body: bytes, cause: Cause) -> Document | None:
    """None for what is too much to be parsed and has no type or context anywhere. Raises UnknownError for the rest."""
    if _TYPED.search(body):
        raise UnknownError(cause)
    return None


def _is_json(body: bytes) -> bool:
    try:
        json.loads(body.decode("utf-8-sig"))
    except ValueError:
        return False
    return True


def _types(value: dict[str, object], keys: Keys) -> tuple[str, ...]:
    found = [one for key, each in value.items() if "type" in keys.names(key) for one in values(each)]
    return keys.types(found)


def _is_activitypub(value: dict[str, object], keys: Keys) -> bool:
    """Whether an object has a context or a type; those of oEmbed (https://oembed.com) are no ActivityStreams types."""
    if "@context" in value:
        return True
    types = _types(value, keys)
    return bool(types) and not ("version" in value and _OEMBED.issuperset(types))


def _kind(root: object, keys: Keys) -> tuple[Kind, list[tuple[str, ...]]]:
    """What the document is, and where in it are arrays of items."""
    if not isinstance(root, dict):
        return "post", []
    # Of several types the actor's counts: servers take such a document for one (reference §5: no 4xx for actors).
    if not vocab.ACTORS.isdisjoint(_types(root, keys)):
        return "actor", []
    arrays = list(_arrays(root, keys, ()))
    return ("collection" if arrays else "post"), arrays


def _arrays(holder: dict[str, object], keys: Keys, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for key, each in holder.items():
        name = keys.name(key)
        if name in _ITEMS and isinstance(each, list):
            yield *path, key
        elif name in _PAGES and isinstance(each, dict) and not path:
            yield from _arrays(each, keys, (key,))


def _parts(
    root: object, found: Walk, arrays: Sequence[tuple[str, ...]], keys: Keys, scope: Scope, context: Context
) -> Iterator[Part]:
    of_item: dict[tuple[str | int, ...], list[MediaRef]] = {}
    own: list[MediaRef] = []
    starts = {path: _pointer(path) + "/" for path in arrays}
    for ref in found.media:
        at = next((path for path, start in starts.items() if ref.path.startswith(start)), None)
        index = ref.path[len(starts[at]) :].partition("/")[0] if at else ""
        if at and index.isdigit():
            of_item.setdefault((*at, int(index)), []).append(ref)
        else:
            own.append(ref)
    yield _part((), _without(root, arrays), found, own, keys, scope, context, found.overflow is not None)
    for path in arrays:
        for place, item in enumerate(_at(root, path)):
            if isinstance(item, dict | list):
                yield _part((*path, place), item, found, of_item.get((*path, place), ()), keys, scope, context, False)


def _part(
    at: tuple[str | int, ...],
    value: object,
    found: Walk,
    refs: Sequence[MediaRef],
    keys: Keys,
    scope: Scope,
    context: Context,
    overflow: bool,
) -> Part:
    parties = name_parties(value, keys, scope.depth)
    crowded = bool(at) and len({ref.url for ref in refs}) > scope.media
    own = replace(
        found,
        media=tuple(refs),
        links=(),
        fetches=(),
        types=parties.types,
        activity_id=parties.activity_id,
        actor=parties.actor,
        object_id=parties.object_id,
        overflow="media" if crowded else found.overflow if overflow else None,
    )
    actor = parties.actor
    if not vocab.ACTORS.isdisjoint(parties.types[:1]):
        actor = parties.activity_id
    # Only a document from the actor's own host speaks for it.
    trusted = actor if actor and host_of(actor) == context.host else None
    return Part(
        at,
        value,
        own,
        replace(context, actor=trusted, types=parties.types, software=scope.software),
        scope.media_of(own),
        (Cause.TOO_MANY,) if own.overflow else (),
    )


def _at(root: object, path: Sequence[str]) -> list[object]:
    for key in path:
        assert isinstance(root, dict)  # as `_arrays` found it
        root = root[key]
    assert isinstance(root, list)
    return root


def _pointer(path: Sequence[str]) -> str:
    pointer = ""
    for key in path:
        pointer = join(pointer, key)
    return pointer


def _without(root: object, arrays: Sequence[tuple[str, ...]]) -> object:
    """The document without what stands in its arrays."""
    for path in arrays:
        root = _put(root, path, [])
    return root


def leaving_out(root: object, gone: Collection[tuple[str | int, ...]]) -> object:
    """The document without these items (``Part.at``), and without the proofs around them; all else as it was."""
    for path in dict.fromkeys(at[:-1] for at in gone):
        keys = [str(key) for key in path]
        left = [item for index, item in enumerate(_at(root, keys)) if (*path, index) not in gone]
        root = _put(root, keys, left)
    return root


def _put(holder: object, path: Sequence[str], value: object) -> object:
    if not path:
        return value
    assert isinstance(holder, dict)
    changed = holder | {path[0]: _put(holder[path[0]], path[1:], value)}
    return {key: each for key, each in changed.items() if not proves(key, each)}


def write(document: object) -> bytes:
    """The document as JSON, as short as it can be said."""
    try:
        return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:  # a lone surrogate
        return json.dumps(document, allow_nan=False, separators=(",", ":")).encode()
