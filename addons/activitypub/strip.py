"""Takes media out of a document that was fetched, so that no server can read their URLs there any more.

Only what is fetched can be changed: a delivery's body is signed. What a document says of media is read by
:mod:`addons.activitypub.walk`, which tells where each URL stands and has the last word on whether it is gone.
"""

import math
import sys
from collections.abc import Collection
from functools import lru_cache
from urllib.parse import unquote

from addons.activitypub import vocabulary as vocab
from addons.activitypub.erasing import Offends, erase
from addons.activitypub.keys import Keys, local_name
from addons.activitypub.parsing import Repeated
from addons.activitypub.parties import reference, values
from addons.activitypub.references import Walk
from addons.activitypub.urls import clean, fetchable, is_iri
from addons.activitypub.walk import join, walk
from addons.fetching.urls import UrlRefusedError, parse


class CannotStripError(ValueError):
    """The media cannot be taken out and leave a document; the message says why."""


_GONE = object()
"""Stands for a value that goes, with its key or its place in the array."""
_ROUNDS = 3
_URL_KEYS = frozenset({"url", "href", "id"})
_SINGLE = vocab.MEDIA_KEYS - {"attachment", "attachments"} | {"url", "href"}
"""Keys that are left out where an array under them became empty; others keep the empty array."""
_FILES = frozenset({"Image", "Document", "Audio", "Link"})
_PROOFS = frozenset({"signature", "proof"})
_PROVES = frozenset({"signaturevalue", "proofvalue", "jws"})


def strip(
    document: object,
    urls: Collection[str],
    *,
    max_depth: int = 64,
    max_nodes: int = 20_000,
    max_media: int = 1_000,
) -> object:
    """``document`` without the media at ``urls``, which are as the walk of it gives them; it itself is not changed.

    ``document`` is as :func:`parsing.parse` gives it, within the bounds, which are those of :func:`walk`. What comes
    back is plain JSON: of a repeated key the last value that stays, no infinite numbers (that some parsers take).

    An object that describes media goes with its URL (an attachment, an icon, a Link, a whole emoji), and with what is
    inside it (the thumbnail of an attachment); an activity with its object. Texts lose the URL and the mark around it.
    Who stands for the same file by another spelling of the URL, or merely links to it, loses it too. An object that
    was changed loses its signature and proof, and so do those around it: they would be broken.

    Raises CannotStripError: nothing would be left, or a URL would.
    """
    wanted = frozenset(map(_plain, urls))
    for attempt in range(_ROUNDS):
        found = walk(document, max_depth=max_depth, max_nodes=max_nodes, max_media=max_media)
        if found.overflow:
            raise CannotStripError(f"the document has more {found.overflow} than is looked at")
        places = _Places(found, wanted)
        if not places:
            return _Stripper(places, wanted, roughly=False).run(document) if attempt == 0 else document
        document = _Stripper(places, wanted, roughly=attempt > 0).run(document)
        if document is _GONE:
            raise CannotStripError("the document is nothing but the media, so that nothing would be left of it")
    if _Places(walk(document, max_depth=max_depth, max_nodes=max_nodes, max_media=max_media), wanted):
        raise CannotStripError("a URL stands where it cannot be taken out")
    return document


def bare_actor(document: object) -> object:
    """An actor's document with no more than servers need to know it by: who it is, where its inbox and its key are.

    For one whose media cannot be taken out, or not all be seen. Raises CannotStripError: there are media even in that.
    """
    if not isinstance(document, dict):
        raise CannotStripError("it is no actor's document")
    keys = Keys()
    keys.learn(document.get("@context"))
    kept = {key: each for key, each in document.items() if key == "@context" or keys.name(key) in _OF_ACTORS}
    bare = _Stripper(_Places(Walk((), (), (), (), None, None, None), ()), (), roughly=False).run(kept)
    found = walk(bare, max_depth=_BARE_DEPTH, max_nodes=_BARE_NODES, max_media=1)
    if found.media or found.overflow:
        raise CannotStripError("media stand where only an actor's addresses and keys should")
    return bare


_BARE_DEPTH, _BARE_NODES = 16, 1_000
_OF_ACTORS = frozenset({
    "id", "type", "preferredusername", "inbox", "outbox", "followers", "following", "featured", "endpoints",
    "publickey", "assertionmethod", "published", "updated", "movedto", "alsoknownas", "attributedto", "moderators",
    "manuallyapprovesfollowers", "discoverable", "indexable", "memorial", "suspended", "sensitive",
    "postingrestrictedtomods",
})  # fmt: skip


class _Places:
    """The JSON Pointers where offending URLs stand: ``values`` that are such a URL, ``texts`` that hold one."""

    def __init__(self, found: Walk, wanted: Collection[str]) -> None:
        media = [ref for ref in found.media if _plain(ref.url) in wanted]
        links = [link for link in found.links if _plain(link.url) in wanted]
        self.values = {ref.path for ref in media if ref.kind != "inline"} | {one.path for one in links if not one.text}
        self.texts = {ref.path for ref in media if ref.kind == "inline"} | {one.path for one in links if one.text}

    def __bool__(self) -> bool:
        return bool(self.values or self.texts)


class _Stripper:
    """Rebuilds a document; as deep as the document, which was walked, so its depth is bounded."""

    def __init__(self, places: _Places, wanted: Collection[str], *, roughly: bool) -> None:
        self._places = places
        self._wanted = wanted
        self._roughly = roughly
        self._keys = Keys()

    def run(self, document: object) -> object:
        return self._value(document, "", frozenset(), None)[0]

    def _value(self, value: object, path: str, names: frozenset[str], base: str | None) -> tuple[object, bool]:
        """What stays of a value under a key that has ``names``, and whether it was changed."""
        if isinstance(value, str):
            return self._string(value, clean(path), names, base)
        if isinstance(value, dict):
            return self._object(value, path, names, base)
        if isinstance(value, list):
            return self._array(value, path, names, base)
        if isinstance(value, Repeated):
            each = [self._value(one, path, names, base) for one in value.values]
            left = [one for one, _ in each if one is not _GONE]
            return left[-1] if left else _GONE, any(changed for _, changed in each)
        return _number(value), False

    def _string(self, value: str, path: str, names: frozenset[str], base: str | None) -> tuple[object, bool]:
        # Of a repeated key only the values that are such a URL; all of them where that did not do.
        if path in self._places.values and (self._roughly or self._offends(base)(value)):
            return _GONE, True
        if path not in self._places.texts:
            return value, False
        return "" if self._roughly else erase(value, self._offends(base)), True

    def _offends(self, base: str | None) -> Offends:
        def offends(written: str) -> bool:
            url = fetchable(written, base)
            return url is not None and _plain(url) in self._wanted

        return offends

    def _array(self, value: list[object], path: str, names: frozenset[str], base: str | None) -> tuple[object, bool]:
        each = [self._value(one, join(path, str(index)), names, base) for index, one in enumerate(value)]
        left = [one for one, _ in each if one is not _GONE]
        gone = not left and bool(value) and not names.isdisjoint(_SINGLE)
        return _GONE if gone or (not left and value and not path) else left, any(changed for _, changed in each)

    def _object(
        self, value: dict[str, object], path: str, names: frozenset[str], base: str | None
    ) -> tuple[object, bool]:
        if "@context" in value:
            self._keys.learn(value["@context"])
        meanings = {key: frozenset(self._keys.names(key)) for key in value if key != "@context"}
        base = self._base(value, base)
        left: dict[str, object] = {}
        lost: set[str] = set()
        changed = False
        for key, each in value.items():
            if key == "@context":
                left[key] = plain_json(each)
                continue
            # JSON-LD's containers are as if they were not there.
            inner = names if key.startswith("@") and meanings[key].isdisjoint(("id", "type")) else meanings[key]
            stays, differs = self._value(each, join(path, key), inner, base)
            changed |= differs
            if stays is _GONE:
                lost |= meanings[key]
            else:
                left[key] = stays
        if lost and self._is_nothing_without(lost, left, meanings, names):
            return _GONE, True
        if changed:
            left = {key: each for key, each in left.items() if not proves(key, each)}
        return left, changed

    def _base(self, value: dict[str, object], base: str | None) -> str | None:
        """As the walk has it: the id of the object, or of the one around it."""
        for key, each in value.items():
            if key != "@context" and self._keys.name(key) == "id":
                found = reference(each, self._keys)
                base = found if found and is_iri(found) else base
        return base

    def _is_nothing_without(
        self,
        lost: Collection[str],
        left: dict[str, object],
        meanings: dict[str, frozenset[str]],
        names: frozenset[str],
    ) -> bool:
        """Whether an object under a key with ``names``, that lost the keys ``lost``, has to go whole."""
        kept: set[str] = set()
        types: set[str] = set()
        for key in left:
            if key != "@context":
                kept |= meanings[key]
                if "type" in meanings[key]:
                    types.update(self._keys.types(values(left[key])))
        if not kept or "object" in lost or "id" in lost:
            return True
        if "tag" in names:
            return not _SINGLE.isdisjoint(lost)
        if _URL_KEYS.isdisjoint(lost) or not kept.isdisjoint(("url", "href")):
            return False
        return not names.isdisjoint(_SINGLE | vocab.MEDIA_KEYS) or (bool(types) and types <= _FILES)


def proves(key: str, value: object) -> bool:
    """Whether a key holds a signature (LD signatures) or an integrity proof (FEP-8b32) of the object it stands in."""
    name = local_name(key.lower())
    each = [one for one in values(value) if isinstance(one, dict)]
    return bool(each) and (name in _PROOFS or any(local_name(k.lower()) in _PROVES for one in each for k in one))


def plain_json(value: object) -> object:
    """A part of a document as it is, as plain JSON: of repeated keys the last value."""
    if isinstance(value, Repeated):
        return plain_json(value.values[-1])
    if isinstance(value, dict):
        return {key: plain_json(each) for key, each in value.items()}
    if isinstance(value, list):
        return [plain_json(each) for each in value]
    return _number(value)


def _number(value: object) -> object:
    """A number that JSON can say; whole ones, which ``parse`` makes floats of, without a fraction."""
    if not isinstance(value, float):
        return value
    if math.isnan(value):
        return None
    if math.isinf(value):
        return math.copysign(sys.float_info.max, value)
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def _plain(url: str) -> str:
    """The one form of all spellings of a URL."""
    # The cache must not keep megabytes of a stranger's making.
    return _plain_cached(url) if len(url) <= _LONGEST_CACHED else _plain_cached.__wrapped__(url)


_LONGEST_CACHED = 512


@lru_cache(maxsize=1024)
def _plain_cached(url: str) -> str:
    if url[:5].lower() == "data:":
        return url
    try:
        return unquote(parse(url).url)
    except UrlRefusedError:
        return unquote(url.partition("#")[0])
