"""What the keys and types of one document mean, by their own names and by every meaning its contexts give them."""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from addons.activitypub.parsing import Repeated
from addons.activitypub.vocabulary import KNOWN

_SEPARATOR = re.compile(r"[#:/]")
_MOST_MEANINGS = 16
"""Of one term, tried for one key: contexts that give more are made to hide something."""
_MOST_TRIED = 20_000
"""Meanings in one document, where what was tried before is remembered."""
_LONGEST_TERM = 256
"""Of a term that a context defines and of what it stands for: many keys may share one, so it is tried often."""

# Keys come from outside: the cache is bounded, and so is what one entry can hold.
_CACHED_CHARS = 64


def local_name(term: str) -> str:
    """What remains of ``as:Image`` or ``https://www.w3.org/ns/activitystreams#Image``: its last part."""
    return _SEPARATOR.split(term)[-1]


def _short(key: str) -> str:
    lower = key.lower()
    if lower in KNOWN:
        return lower
    if lower in ("@id", "@type"):
        return lower[1:]
    local = local_name(lower)
    return local if local in KNOWN else lower


_short_cached = lru_cache(maxsize=2048)(_short)


class Keys:
    """Short lower-case names of the keys of one document.

    A prefix or a whole IRI before a known name does not hide it, nor does letter case (Go's decoder ignores it), nor
    a term that the document's own ``@context`` defines. A known name keeps its meaning whatever a context says, since
    most servers read no context; what the context makes of it is its second meaning. Contexts are taken for the whole
    document, wherever they stand. ``full``: there are more meanings than are tried, or too long ones.
    """

    def __init__(self) -> None:
        self.full = False
        self._meanings: dict[str, dict[str, None]] = {}
        self._names: dict[str, tuple[str, ...]] = {}
        self._types: dict[str, tuple[str, ...]] = {}
        self._tried = 0

    def learn(self, context: object) -> None:
        """Take up the terms that an inline ``@context`` defines (JSON-LD 1.1 section 4.1), contexts of terms too."""
        stack = [context]
        while stack:
            part = stack.pop()
            if isinstance(part, list | Repeated):
                stack.extend(reversed(_each(part)))
            elif isinstance(part, dict):
                for term, meaning in part.items():
                    for each in _each(meaning):
                        if isinstance(each, dict):
                            stack.extend(_each(each.get("@context")))
                            each = each.get("@id")
                        for target in _each(each):
                            if isinstance(target, str) and (term == "@vocab" or not term.startswith("@")):
                                self._add(term, target)

    def name(self, key: str) -> str:
        """The one short name of ``key`` that most servers would read; an unknown key comes back in lower case."""
        return self.names(key)[0]

    def names(self, key: str) -> tuple[str, ...]:
        """Every short name that ``key`` may have; never none."""
        own = _short_cached(key) if len(key) <= _CACHED_CHARS else _short(key)
        if not self._meanings or key.startswith("@"):
            return (own,)
        found = self._names.get(key)
        if found is None:
            others = dict.fromkeys(_short(each) for each in self._expand(key))
            known = [name for name in others if name in KNOWN or name.startswith("@")]
            found = tuple(dict.fromkeys((own, *known) if own in KNOWN or not known else known))
            self._names[key] = found
        return found

    def types(self, values: Iterable[object]) -> tuple[str, ...]:
        """Short type names (``Image`` for ``as:Image``), as written and as the contexts have it."""
        found: dict[str, None] = {}
        for value in values:
            if isinstance(value, str):
                found.update(dict.fromkeys(self._types_of(value)))
        return tuple(found)

    def _types_of(self, value: str) -> tuple[str, ...]:
        if not self._meanings:
            return (_type_name(value),)
        found = self._types.get(value)
        if found is None:
            found = self._types[value] = tuple(map(_type_name, (value, *self._expand(value))))
        return found

    def _add(self, term: str, target: str) -> None:
        meanings = self._meanings.setdefault(term, {})
        if target in meanings:
            return
        if len(meanings) == _MOST_MEANINGS or len(term) > _LONGEST_TERM or len(target) > _LONGEST_TERM:
            self.full = True
            return
        meanings[target] = None
        self._names.clear()
        self._types.clear()

    def _expand(self, key: str) -> list[str]:
        """What ``key`` stands for by the contexts, terms defined by other terms too."""
        queue = [key]
        if self.full:
            return []
        if ":" not in key:
            queue.extend(vocabulary + key for vocabulary in self._meanings.get("@vocab", ()))
        for each in queue:  # grows while it is walked
            for meaning in self._meanings_of(each):
                if meaning not in queue:
                    queue.append(meaning)
            if len(queue) > 1 + _MOST_MEANINGS:
                self.full = True
                break
        self._tried += len(queue) - 1
        self.full |= self._tried > _MOST_TRIED
        return queue[1:]

    def _meanings_of(self, term: str) -> Iterator[str]:
        yield from self._meanings.get(term, ())
        prefix, colon, suffix = term.partition(":")
        if colon:
            yield from (meaning + suffix for meaning in self._meanings.get(prefix, ()))


def _type_name(term: str) -> str:
    return term if term.isalpha() else local_name(term)


def _each(value: object) -> list[object]:
    if isinstance(value, Repeated):
        return list(value.values)
    return value if isinstance(value, list) else [value]
