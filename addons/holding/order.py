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

IDS = 64
"""Ids of one delivery of each kind; what lies past them has no order. Real deliveries have two to five."""
LONGEST = 1700
"""Characters of an id, which the ledger keeps beside a host; a longer one has no order."""
DEPTH = 32
"""How far in ids are looked for; real deliveries have three."""

_REMOVING = frozenset({"Delete", "Undo"})
_ITEMS = ("items", "ordereditems")
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
    """
    finder = _Finder()
    for root in values(document):
        finder.enter(root, DEPTH)
    return Ids(tuple(finder.gives), tuple(finder.needs), tuple(finder.removes))


class _Finder:
    def __init__(self) -> None:
        # Dicts as ordered sets.
        self.gives: dict[str, None] = {}
        self.needs: dict[str, None] = {}
        self.removes: dict[str, None] = {}
        self._keys = Keys()

    def enter(self, value: object, depth: int) -> None:
        """Take up one activity or object, and what it brings."""
        if not isinstance(value, dict) or depth == 0:
            return
        held = self._held(value)
        types = frozenset(self._keys.types(held.get("type", ())))
        removing, bringing = not types.isdisjoint(_REMOVING), not types.isdisjoint(BRINGING)
        own = list(_strings(held.get("id", ())))
        _add(self.gives, own)
        if not removing and ("object" not in held or bringing):
            _add(self.needs, own)
        for each in held.get("inreplyto", ()):
            _add(self.needs, self._named(each))
        for name in _ITEMS:
            for each in held.get(name, ()):
                self.enter(each, depth - 1)
        for each in held.get("object", ()):
            if removing:
                _add(self.removes, self._named(each))
            elif bringing:
                named = list(self._named(each))
                _add(self.gives, named)
                _add(self.needs, () if self._removes(each) else named)
                self.enter(each, depth - 1)

    def _removes(self, value: object) -> bool:
        return isinstance(value, dict) and not _REMOVING.isdisjoint(self._keys.types(self._held(value).get("type", ())))

    def _named(self, value: object) -> Iterator[str]:
        """The id that a string is, or an object has."""
        yield from _strings(self._held(value).get("id", ()) if isinstance(value, dict) else (value,))

    def _held(self, value: dict[str, object]) -> dict[str, list[object]]:
        """The values under each name, whatever the keys' spelling, and of every repeated key."""
        if "@context" in value:
            self._keys.learn(value["@context"])
        held: dict[str, list[object]] = {}
        for key, each in value.items():
            if key != "@context":
                for name in self._keys.names(key):
                    held.setdefault(name, []).extend(values(each))
        return held


def _strings(found: Iterable[object]) -> Iterator[str]:
    return (clean(each) for each in found if isinstance(each, str) and 0 < len(each) <= LONGEST)


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
    if signer.state != "verified" or signer.host is None:
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
