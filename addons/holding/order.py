"""What waits behind what: the ids that a delivery gives, those it may not overtake, and those that it takes back.

Order is kept per object id among verified deliveries only. Who may stand in whose way is part of the key, so that the
database need only compare keys: a hold blocks others at an id where its signer's host is that id's own, or the other's
signer's too (a community announces what lies elsewhere). So nobody holds up a stranger's posts by naming them.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from addons.activitypub.keys import Keys
from addons.activitypub.named import BRINGING
from addons.activitypub.parties import values
from addons.activitypub.urls import clean
from addons.ledger.held import Signer
from addons.policy.hosts import normal_host

IDS = 16
"""Ids of one delivery of each kind; what lies past them has no order. Real deliveries have two to five. All of them of
all holds are in memory, and each is looked for where something is to be replayed."""
LONGEST = 1700
"""Characters of an id, which the ledger keeps beside a host; a longer one has no order."""
SEVERAL = " several"
"""Among what a hold gives where it is more than one activity: nobody's Delete of one of them may end all. (No id has a
space.)"""
DEPTH = 32
"""How far in ids are looked for; real deliveries have three."""

_REMOVING = frozenset({"Delete", "Undo"})
_ITEMS = ("items", "ordereditems")
_WANTED = frozenset({"id", "type", "object", "inreplyto", *_ITEMS})
_LONGEST_CACHED = 256


@dataclass(frozen=True, slots=True)
class Ids:
    """The ids of one delivery. ``gives``: its activities' and objects'; ``needs``: those of the objects that it brings,
    and of what they reply to; ``removes``: what its Deletes and Undos take back."""

    gives: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    removes: tuple[str, ...] = ()


def ids_of(document: object) -> Ids:
    """The ids in a document as :func:`addons.activitypub.parsing.parse` gives it, arrays and collections too.

    A Delete or Undo inside an Announce (as communities and relays send it) removes as well; one that is inside another
    (the Undo of a Delete) is only undone. A Like and the like need nothing: they may overtake.

    Keys count by their own names, whatever a context makes of them: this is asked of every delivery, and who hides an
    id has no order, which is his own loss.
    """
    finder = _Finder()
    roots = [root for root in values(document) if isinstance(root, dict)]
    for root in roots:
        finder.enter(_held(root), DEPTH)
    several = (SEVERAL,) if len(roots) > 1 or finder.items > 1 else ()
    return Ids((*finder.gives, *several), tuple(finder.needs), tuple(finder.removes))


type _Held = dict[str, list[object]]
_KEYS = Keys()


def _held(value: dict[str, object]) -> _Held:
    """The values under each name that counts here, whatever the keys' spelling, and of every repeated key."""
    held: _Held = {}
    for key, each in value.items():
        if (name := _KEYS.name(key)) in _WANTED:
            held.setdefault(name, []).extend(values(each))
    return held


def _types(held: _Held) -> frozenset[str]:
    return frozenset(_KEYS.types(held.get("type", ())))


class _Finder:
    def __init__(self) -> None:
        # Dicts as ordered sets.
        self.gives: dict[str, None] = {}
        self.needs: dict[str, None] = {}
        self.removes: dict[str, None] = {}
        self.items = 0

    def enter(self, held: _Held, depth: int) -> None:
        """Take up one activity or object, and what it brings."""
        if depth == 0:
            return
        types = _types(held)
        removing, bringing = not types.isdisjoint(_REMOVING), not types.isdisjoint(BRINGING)
        own = list(_strings(held.get("id", ())))
        _add(self.gives, own)
        if not removing and ("object" not in held or bringing):
            _add(self.needs, own)
        for each in held.get("inreplyto", ()):
            _add(self.needs, _strings(_held(each).get("id", ()) if isinstance(each, dict) else (each,)))
        for name in _ITEMS:
            for each in held.get(name, ()):
                if isinstance(each, dict):
                    self.items += 1
                    self.enter(_held(each), depth - 1)
        if removing or bringing:
            for each in held.get("object", ()):
                self._object(each, removing, depth)

    def _object(self, value: object, removing: bool, depth: int) -> None:
        """What is brought or removed: by its id alone, or with what it is."""
        inner = _held(value) if isinstance(value, dict) else None
        named = list(_strings((value,) if inner is None else inner.get("id", ())))
        if removing:
            _add(self.removes, named)
            return
        _add(self.gives, named)
        if inner is None:
            _add(self.needs, named)
            return
        if _types(inner).isdisjoint(_REMOVING):
            _add(self.needs, named)
        self.enter(inner, depth - 1)


def _strings(found: Iterable[object]) -> Iterator[str]:
    # No id has a space; with one it could be what _beside makes of another's id.
    return (clean(each) for each in found if isinstance(each, str) and 0 < len(each) <= LONGEST and " " not in each)


def _add(ids: dict[str, None], found: Iterable[str]) -> None:
    for each in found:
        if len(ids) < IDS or each in ids:
            ids[each] = None


# -- keys --------------------------------------------------------------------------------------------------------------


def gives_keys(gives: Sequence[str], signer: Signer) -> tuple[str, ...]:
    """By what a hold is found: each id, and where its signer is verified, the id beside the signer's host."""
    if signer.state != "verified" or signer.host is None:
        return tuple(gives)
    return (*gives, *(_beside(signer.host, one) for one in gives))


def needs_keys(needs: Sequence[str], signer: Signer) -> tuple[str, ...]:
    """What a delivery waits for: each id as its own host gave it, or as this signer's did. An unverified one waits for
    nothing."""
    if signer.state != "verified" or signer.host is None:
        return ()
    keys = (_beside(host, one) for one in needs for host in (host_of(one), signer.host) if host)
    return tuple(dict.fromkeys(keys))


def may_withdraw(signer: Signer, held: Signer, gives: Collection[str], removes: Collection[str]) -> bool:
    """Whether ``signer`` may take back a hold that ``held`` signed and that ``gives`` these ids (or keys), by a Delete
    or Undo of ``removes``: only verified, and only on the host of the hold's own verified signer, or of the id."""
    if signer.state != "verified" or signer.host is None or SEVERAL in gives:
        return False
    taken = [one for one in removes if one in gives]
    if held.state == "verified" and held.host == signer.host:
        return bool(taken)
    return any(host_of(one) == signer.host for one in taken)


def _beside(host: str, id: str) -> str:
    return f"{host} {id}"


def host_of(id: str) -> str | None:
    """The host of an id in its one form; None where it has none."""
    return _host_of(id) if len(id) <= _LONGEST_CACHED else _host_of.__wrapped__(id)


@lru_cache(maxsize=4096)
def _host_of(id: str) -> str | None:
    try:
        host = urlsplit(id).hostname
    except ValueError:
        return None
    return normal_host(host) if host else None
