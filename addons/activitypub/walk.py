"""Walks an activity: every URL that a server would fetch or show as media, preview, or dereference, and where it stood.

The rule in doubt: it is media. A wrong extra URL costs a fetch; a missed one lets an image through unjudged. What
each key means is in :mod:`addons.activitypub.vocabulary`; the facts about servers are in the reference, section 4.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from addons.activitypub import vocabulary as vocab
from addons.activitypub.keys import Keys
from addons.activitypub.parsing import Cut, Repeated
from addons.activitypub.parties import name_parties, reference, values
from addons.activitypub.references import Kind, Link, MediaRef, Walk
from addons.activitypub.roles import UNSAID, Role, Scope, is_media, role_of, role_of_id
from addons.activitypub.text import find_urls, parsed_chars
from addons.activitypub.urls import clean, fetchable, is_iri

type Bound = Literal["depth", "nodes", "media"]
type _Item = tuple[object, str, Role, Scope, int]
"""A value to look at: what, its JSON Pointer, its role, its scope, its depth."""

_PUBLIC = frozenset({"https://www.w3.org/ns/activitystreams#Public", "http://www.w3.org/ns/activitystreams#Public"})
_FOLLOWERS = ("/followers", "/subscribers")
_MARKDOWN_MAX_CHARS = 16_384
"""Of one document that is parsed (some 70 ms at worst), the rest is only searched: see ``find_urls``."""
_LONGEST_POINTER = 1_000
_NO_TYPES: tuple[str, ...] = ()
_NAMED = frozenset({"Mention", "Hashtag"})
_URL_KEYS = frozenset({"url", "href", "tag"})


class _FullError(Exception):
    """A bound was passed: the walk ends here."""

    def __init__(self, bound: Bound) -> None:
        self.bound = bound


def walk(document: object, *, max_depth: int, max_nodes: int, max_media: int) -> Walk:
    """Walk one activity, object, actor or collection, or an array of them, as :func:`parsing.parse` gives it.

    ``max_depth`` bounds the nesting of objects and arrays (the outermost is 1), ``max_nodes`` the number of JSON
    values plus every URL found in text (repeats and broken ones too), ``max_media`` the number of distinct media URLs
    (one URL may stand in many places). At a bound all is seen; past it the walk ends and ``overflow`` says which it
    was; contexts that give a term more meanings than are tried count as too many nodes. Never raises.
    """
    walker = _Walker(max_depth, max_nodes, max_media)
    overflow: Bound | None = None
    try:
        walker.run(document)
    except _FullError as full:
        overflow = full.bound
    parties = name_parties(document, walker.keys, max_depth)
    return Walk(
        media=tuple(replace(ref, linked=True) if linked else ref for ref, linked in walker.media.items()),
        links=tuple(walker.links),
        fetches=tuple(walker.fetches),
        types=parties.types,
        activity_id=parties.activity_id,
        actor=parties.actor,
        object_id=parties.object_id,
        overflow=overflow,
    )


class _Walker:
    def __init__(self, max_depth: int, max_nodes: int, max_media: int) -> None:
        self.max_depth, self.max_nodes, self.max_media = max_depth, max_nodes, max_media
        self.nodes = 0
        self.markdown = 0
        self.urls: set[str] = set()
        # Dicts as ordered sets: the same URL twice at one path is one reference.
        self.media: dict[MediaRef, bool] = {}
        """References to whether all that was found of them are plain links in text."""
        self.links: dict[Link, None] = {}
        self.fetches: dict[Link, None] = {}
        self.keys = Keys()

    def run(self, document: object) -> None:
        """Depth first in the document's order, with a stack of our own so that depth costs no recursion."""
        self._count(1)
        stack: list[_Item] = [(document, "", "object", Scope(), 1)]
        while stack:
            value, path, role, scope, depth = stack.pop()
            if isinstance(value, str):
                self._string(value, path, role, scope)
            elif isinstance(value, dict):
                self._enter(depth, len(value))
                stack.extend(reversed(list(self._object(value, path, role, scope, depth + 1))))
            elif isinstance(value, list):
                self._enter(depth, len(value))
                inside: list[_Item] = [
                    (each, join(path, str(i)), role, scope, depth + 1)
                    for i, each in enumerate(value)
                    if not isinstance(each, bool | int | float | None)
                ]
                stack.extend(reversed(inside))
            elif isinstance(value, Repeated):
                # One of the values was counted with the object it stands in.
                self._count(len(value.values) - 1)
                stack.extend((each, path, role, scope, depth) for each in reversed(value.values))
            elif isinstance(value, Cut):
                raise _FullError(value.bound)

    def _enter(self, depth: int, size: int) -> None:
        if depth > self.max_depth:
            raise _FullError("depth")
        self._count(size)

    def _count(self, nodes: int) -> None:
        self.nodes += nodes
        if self.nodes > self.max_nodes:
            raise _FullError("nodes")

    # --- objects ----------------------------------------------------------------------------------------------------
    def _object(self, value: dict[str, object], path: str, role: Role, outer: Scope, depth: int) -> Iterator[_Item]:
        if "@context" in value:
            self.keys.learn(value["@context"])
        names = {key: self.keys.names(key) for key in value if key != "@context"}
        # By what most servers read, whatever the contexts say.
        held = frozenset(meanings[0] for key, meanings in names.items() if value[key] not in (None, "", []))
        own = self._scope(value, names, role, outer)
        if self.keys.full:
            raise _FullError("nodes")
        if role == "text":
            # A language map, a source with its media type, a JSON-LD value: keys may be any word ("id" is a language).
            yield from ((value[key], join(path, key), role, outer, depth) for key in names if not _is_text(names[key]))
            if not any(name in vocab.MEDIA_KEYS or name in _URL_KEYS for each in names.values() for name in each):
                yield from ((value[key], join(path, key), role, outer, depth) for key in names if _is_text(names[key]))
                return
        if "Video" in own.types and not is_media(role) and next(values(value.get("attachment")), None) is None:
            # Lemmy takes the id of a video without attachments for the post's URL (LEM:page.rs).
            video = replace(own, kind=UNSAID, types=(), media_type="", previews=True)
            yield from ((value[key], join(path, key), "media", video, depth) for key in names if "id" in names[key])
        id_role = role_of_id(held, role, own, outer)
        for key, meanings in names.items():
            each = value[key]
            if each is None or isinstance(each, bool | int | float):
                continue
            for name in meanings:
                if name == "id":
                    became = (id_role, own) if id_role else None
                else:
                    became = role_of(name, role, own)
                if became is None or (role == "text" and not _adds(became[0], name, each)):
                    continue
                yield each, join(path, key), became[0], became[1], depth

    def _scope(self, value: dict[str, object], names: dict[str, tuple[str, ...]], role: Role, outer: Scope) -> Scope:
        base, sensitive, types, media_type, tracker = outer.base, outer.sensitive, _NO_TYPES, "", False
        mentioned: frozenset[str] = frozenset()
        for key, meanings in names.items():
            each, name = value[key], meanings[0]
            if "type" in meanings:
                types += self.keys.types(values(each))
            if name == "id":
                found = reference(each, self.keys)
                base = found if found and is_iri(found) else base
            elif name == "sensitive":
                # Of several values the one that hides least counts.
                said = [one for one in values(each) if isinstance(one, bool | int | float | str)]
                sensitive = all(map(_is_true, said)) if said else sensitive
            elif name == "mediatype":
                media_type = next((one for one in values(each) if isinstance(one, str)), "")
            elif name == "rel":
                tracker = "tracker" in values(each)
            elif name == "tag":
                mentioned |= frozenset(self._mentioned(each))
        describes = is_media(role)
        actor = bool(types) and vocab.ACTORS.issuperset(types)
        return Scope(
            base=base,
            sensitive=sensitive,
            kind=outer.kind if describes else UNSAID,
            types=types,
            # Where a text may stand beside the URL, only a type that no text has is the URL's.
            media_type=media_type if describes or vocab.kind_by_media_type(media_type) else "",
            tracker=tracker,
            linked=outer.linked if describes else not vocab.LINKED_POSTS.isdisjoint(types),
            previews=outer.previews and not actor,
            mentioned=mentioned or outer.mentioned,
        )

    def _mentioned(self, tags: object) -> Iterator[str]:
        """Addresses of the people and hashtags among an object's tags, whose pages nobody previews."""
        for tag in values(tags):
            if isinstance(tag, dict) and not _NAMED.isdisjoint(self.keys.types(values(tag.get("type")))):
                yield from (href for href in values(tag.get("href")) if isinstance(href, str))

    # --- strings ----------------------------------------------------------------------------------------------------
    def _string(self, value: str, path: str, role: Role, scope: Scope) -> None:
        if role == "text":
            self._text(value, path, scope)
        elif role in ("fetch", "address"):
            if (
                is_iri(value)
                and value not in _PUBLIC
                and not (role == "address" and any(part in value for part in _FOLLOWERS))
            ):
                self.fetches[Link(clean(value), clean(path))] = None
        elif role in ("object", "tag"):
            kind = vocab.kind_by_ending(value) if is_iri(value) or value[:5].lower() == "data:" else None
            if kind:
                self._found_media(value, kind, path, scope)
        elif (url := fetchable(value, scope.base)) is not None:
            self._url(url, path, role, scope)

    def _url(self, url: str, path: str, role: Role, scope: Scope) -> None:
        """A URL that is an attachment or the like, or the url of a post or video."""
        said = vocab.kind_by_media_type(scope.media_type) or vocab.kind_by_ending(url)
        if role in ("media", "url"):
            said = said or vocab.kind_by_types(scope.types)
            if not said and "Document" in scope.types and not scope.media_type:
                said = "image"  # servers take a Document for media and go by its content; in doubt it is a picture
            if scope.kind != UNSAID:
                self._found_media(url, scope.kind, path, scope)
                if role == "media":
                    # Mastodon fetches an icon or image that is a bare IRI as JSON.
                    self.fetches[Link(url, clean(path))] = None
            elif said:
                self._found_media(url, said, path, scope)
            elif scope.previews or not vocab.PROFILE_FIELDS.issuperset(scope.types):
                self._found_media(url, "page", path, scope)
                self._link(url, path)
        elif said:
            self._found_media(url, said, path, scope)
        elif role == "page":
            if scope.linked:
                self._link(url, path)
        else:
            # A video's files say that they are files; servers pick them by that, so a page or JSON is none.
            described = scope.media_type.partition(";")[0].strip().lower()
            if scope.tracker and described != "text/html":
                return
            if described in ("", "application/octet-stream"):
                self._found_media(url, scope.kind, path, scope)
            if described in ("", "text/html"):
                self._link(url, path)

    def _text(self, text: str, path: str, scope: Scope) -> None:
        links: dict[str, None] = {}
        media: set[str] = set()
        chars = parsed_chars(text)
        self.markdown += chars
        for found in find_urls(text, exact=not chars or self.markdown <= _MARKDOWN_MAX_CHARS):
            url = fetchable(found.url, scope.base)
            # What comes to nothing and what was found before take time too, and long bases memory.
            self._count(1 + max(0, len(url or "") - len(found.url)) // 1024)
            if url is None:
                continue
            if found.shown or vocab.kind_by_ending(url) in ("image", "video"):
                media.add(url)
                self._found_media(url, "inline", path, scope, linked=not found.shown)
            elif scope.previews and not found.mention and found.url not in scope.mentioned and is_iri(url):
                links[url] = None
        for url in links:
            if url not in media:
                self._link(url, path, text=True)

    def _link(self, url: str, path: str, *, text: bool = False) -> None:
        # Many relative URLs that grow by a long base could fill memory.
        self._count(len(url) // 1024)
        self.links[Link(url, clean(path), text)] = None

    def _found_media(self, url: str, kind: Kind, path: str, scope: Scope, *, linked: bool = False) -> None:
        if url not in self.urls:
            if len(self.urls) >= self.max_media:
                raise _FullError("media")
            self.urls.add(url)
        ref = MediaRef(clean(url), kind, clean(path), scope.sensitive)
        self.media[ref] = linked and self.media.get(ref, True)


def _is_true(value: bool | float | str) -> bool:
    return value in (True, 1) if not isinstance(value, str) else value.strip().lower() in ("true", "1")


def _is_text(meanings: tuple[str, ...]) -> bool:
    return not vocab.TEXT_KEYS.isdisjoint(meanings)


def _adds(role: Role, name: str, value: object) -> bool:
    """Whether ``value`` has to be walked in ``role`` too, that was walked as text unless ``name`` says it is one."""
    if role == "text":
        return name in vocab.TEXT_KEYS
    return role != "object" or isinstance(value, str)


def join(path: str, key: str) -> str:
    """RFC 6901 section 3; past 1000 characters it ends with an ellipsis, so that long keys cannot fill memory."""
    if len(path) + len(key) > _LONGEST_POINTER:
        return path if path.endswith("…") else f"{path}/{key[: max(0, _LONGEST_POINTER - len(path))]}…"
    if "~" in key or "/" in key:
        key = key.replace("~", "~0").replace("/", "~1")
    return f"{path}/{key}"
