"""Which objects an activity only names that its server fetches for what stands in them: ``Announce`` by IRI and such.

A walk's ``fetches`` are all IRIs that some server may ever ask for: actors, audiences, collections, parents. Here are
those alone whose content is what the activity brings.
"""

from collections.abc import Iterable

from addons.activitypub.keys import Keys
from addons.activitypub.parties import values
from addons.activitypub.references import Link, Walk

BRINGING = frozenset({"Announce", "Create", "Update", "Add", "Offer", "Accept", "Invite"})
"""Activities whose ``object`` is taken in. Likes, Follows, Undos, Deletes and Flags only point at theirs."""

_QUOTES = frozenset({"quote", "quoteurl", "quoteuri", "_misskey_quote"})
"""Mastodon, Misskey and Akkoma fetch the quoted post and show it inside the one that quotes it."""


def named_objects(document: object, found: Walk, *, max_depth: int) -> tuple[Link, ...]:
    """The IRIs of such objects in an activity (or an array or collection of them), in no more than one place each.

    ``document``: as :func:`parsing.parse` gives it; ``found``: its walk, among whose ``fetches`` they are.
    """
    if not found.fetches:
        return ()
    finder = _Finder(max_depth)
    for root in values(document):
        finder.enter(root, 0)
    places = {link.url: link for link in reversed(found.fetches)}
    return tuple(places[iri] for iri in finder.iris if iri in places)


class _Finder:
    def __init__(self, max_depth: int) -> None:
        self.iris: dict[str, None] = {}
        self._keys = Keys()
        self._max_depth = max_depth

    def enter(self, activity: object, depth: int) -> None:
        """Go inwards along ``object`` as long as it is brought; ``depth``: how far in this is."""
        if not isinstance(activity, dict) or depth > self._max_depth:
            return
        if "@context" in activity:
            self._keys.learn(activity["@context"])
        held: dict[str, list[object]] = {}
        for key, value in activity.items():
            if key != "@context":
                for name in self._keys.names(key):
                    held.setdefault(name, []).extend(values(value))
        types = set(self._keys.types(held.get("type", ())))
        for item in (*held.get("items", ()), *held.get("ordereditems", ())):
            self.enter(item, depth + 1)
        for name in _QUOTES & held.keys():
            self._name(held[name])
        for tag in held.get("tag", ()):
            self._tag(tag)
        if "Move" in types:
            self._name(held.get("target", ()))
        if not types.isdisjoint(BRINGING):
            self._name(held.get("object", ()))
            for each in held.get("object", ()):
                self.enter(each, depth + 1)

    def _tag(self, tag: object) -> None:
        """A link to an object, as Pleroma quotes by (FEP-e232)."""
        if not isinstance(tag, dict):
            return
        held = {name: value for key, value in tag.items() for name in self._keys.names(key)}
        said = " ".join(one for one in values(held.get("mediatype")) if isinstance(one, str)).lower()
        if "activity+json" in said or "ld+json" in said:
            self._name(values(held.get("href")))

    def _name(self, named: Iterable[object]) -> None:
        """Strings, and objects that say no more than their id; the walk leaves out what says more."""
        for each in named:
            if isinstance(each, str):
                self.iris[each] = None
            elif isinstance(each, dict):
                ids = (value for key, value in each.items() if "id" in self._keys.names(key))
                self.iris.update((one, None) for value in ids for one in values(value) if isinstance(one, str))
