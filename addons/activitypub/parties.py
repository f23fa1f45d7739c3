"""Who an activity speaks of: its types from the outermost inwards, its id, its actor and the object in the middle."""

from collections.abc import Iterator
from dataclasses import dataclass

from addons.activitypub.keys import Keys
from addons.activitypub.parsing import Repeated
from addons.activitypub.urls import clean

_MAX_TYPES = 64
"""More types than that are no activity's; rules that ask for one have seen enough."""


@dataclass(frozen=True, slots=True)
class Parties:
    """The context of a walk; see :class:`addons.activitypub.references.Walk`."""

    types: tuple[str, ...] = ()
    activity_id: str | None = None
    actor: str | None = None
    object_id: str | None = None


def name_parties(document: object, keys: Keys, max_depth: int) -> Parties:
    """The parties of ``document``, or of the first activity of an array; types are those of all its activities.

    A collection's items count as activities. Of a repeated key the last value speaks, as with most parsers, but
    every type counts. Without an ``actor``, the one it is attributed to.
    """
    types: dict[str, None] = {}
    first: Parties | None = None
    queue = list(values(document))
    for root in queue:
        if not isinstance(root, dict):
            continue
        held = _pick(root, keys)
        found = _follow(held, keys, max_depth, types)
        first = first or found
        if len(types) >= _MAX_TYPES:
            break
        for name in ("items", "ordereditems"):
            queue.extend(values(held[name][-1]) if name in held else ())
    types_found = tuple(types)[:_MAX_TYPES]
    if first is None:
        return Parties(types_found)
    return Parties(types_found, first.activity_id, first.actor, first.object_id)


def _follow(held: dict[str, list[object]], keys: Keys, max_depth: int, types: dict[str, None]) -> Parties:
    """From the outermost object inwards along ``object``."""
    actor = _named(held, "actor", keys) or _named(held, "attributedto", keys)
    activity_id = object_id = _named(held, "id", keys)
    for _ in range(max_depth):
        types.update(dict.fromkeys(map(clean, keys.types(values(held.get("type"))))))
        object_id = _named(held, "id", keys) or object_id
        inner = next(values(held["object"][-1]), None) if "object" in held else None
        if isinstance(inner, str):
            object_id = clean(inner)
        if not isinstance(inner, dict):
            break
        held = _pick(inner, keys)
    return Parties((), activity_id, actor, object_id)


def values(value: object) -> Iterator[object]:
    """The values that ``value`` stands for: itself, the items of an array or ``@list``, each of a repeated key."""
    if isinstance(value, str):
        yield value
        return
    stack = [value]
    while stack:
        each = stack.pop()
        if isinstance(each, Repeated):
            stack.extend(reversed(each.values))
        elif isinstance(each, list):
            stack.extend(reversed(each))
        elif isinstance(each, dict) and len(each) == 1 and (key := next(iter(each))) in ("@value", "@list", "@set"):
            stack.append(each[key])
        elif each is not None:
            yield each


def reference(value: object, keys: Keys) -> str | None:
    """The IRI that a string, an object with an id, or the first of an array names."""
    for each in values(value):
        if isinstance(each, dict):
            each = next(values(_pick(each, keys).get("id")), None)
        if isinstance(each, str) and each:
            return clean(each)
    return None


_WANTED = frozenset({"actor", "attributedto", "id", "type", "object", "items", "ordereditems"})


def _pick(found: dict[str, object], keys: Keys) -> dict[str, list[object]]:
    """Every value under the names wanted here, in order, whatever the keys' spelling."""
    picked: dict[str, list[object]] = {}
    for key, value in found.items():
        name = keys.name(key)
        if name in _WANTED:
            picked.setdefault(name, []).extend(value.values if isinstance(value, Repeated) else (value,))
    return picked


def _named(held: dict[str, list[object]], name: str, keys: Keys) -> str | None:
    return reference(held[name][-1], keys) if name in held else None
