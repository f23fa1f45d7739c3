"""Everyone in whose name a delivery speaks: an array or a collection may hold activities of many actors."""

from dataclasses import dataclass

from addons.activitypub.keys import Keys
from addons.activitypub.parties import name_parties, reference, values
from addons.activitypub.references import Walk

_ITEMS = frozenset({"items", "ordereditems"})


@dataclass(frozen=True, slots=True)
class Speaker:
    """One actor (an IRI, None where none is named) and the types of what is said in their name, outermost first."""

    actor: str | None
    types: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Speakers:
    """The speakers of one delivery, each told once and never none; ``overflow``: there were more than were taken."""

    all: tuple[Speaker, ...]
    overflow: bool = False


def speakers(document: object, found: Walk, *, max_depth: int, most: int) -> Speakers:
    """Everyone who speaks in ``document``, an activity as :func:`parsing.parse` gives it or an array of them.

    ``found`` is its walk, which has named the one speaker of an ordinary delivery already.

    Each item of an array or collection speaks for itself, whatever it stands beside: a rule on one actor or type must
    not settle what another one sends. An activity with several actors (an array, a repeated key) speaks for each.
    At ``most`` all are there; past it the rest is not looked at.
    """
    told: dict[Speaker, None] = {}
    roots = list(values(document))
    for root in roots:  # grows while it is walked
        if not isinstance(root, dict):
            continue
        keys = Keys()
        keys.learn(root.get("@context"))
        actors: dict[str | None, None] = {}
        outside: dict[str, object] = {}
        for key, value in root.items():
            name = keys.name(key)
            if name in _ITEMS:
                roots.extend(values(value))
                continue
            outside[key] = value
            if name == "actor":
                actors.update((named, None) for each in values(value) if (named := reference(each, keys)))
        if root is document and len(outside) == len(root) and len(actors) <= 1:
            return Speakers((Speaker(found.actor, found.types),))
        parties = name_parties(outside, keys, max_depth)
        for actor in actors or {parties.actor: None}:
            told[Speaker(actor, parties.types)] = None
        if len(told) > most:
            return Speakers(tuple(told)[:most], overflow=True)
    return Speakers(tuple(told) or (Speaker(None, ()),))
