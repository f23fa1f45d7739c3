"""What a value stands for in an activity, by its key and by the objects around it."""

from dataclasses import dataclass, replace
from typing import Literal

from addons.activitypub import vocabulary as vocab
from addons.activitypub.references import Kind

type Role = Literal[
    "object",  # may be anything; a string is no reference
    "text",
    "fetch",  # a string is an IRI that a server dereferences
    "address",  # so is this one, unless it names the public or followers
    "tag",  # emoji, mentions, hashtags, links to quoted objects
    "media",  # attachment, icon, image, preview: a string is the IRI of media or of an object that describes it
    "url",  # the url or href of such media
    "page",  # the url of a post: what people open
    "file",  # the url of a video or sound: its files, playlists and page
]

UNSAID: Kind = "page"
"""Stands in a scope where the URL and its types are to say what kind of media it is."""

REFERENCE_KEYS = frozenset({"id", "type", "name"})
"""All that an object has which stands for another by its id."""

_FILES_ALONE = vocab.FILES - {"Video"}
_MEDIA_ROLES = frozenset({"media", "url", "page", "file"})
_INHERITED: frozenset[Kind] = frozenset({"avatar", "banner", "emoji"})
"""Kinds that a picture inside such a picture has too (Smithereen: the avatar's uncropped original)."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a value knows of the objects around it."""

    base: str | None = None
    sensitive: bool = False
    kind: Kind = UNSAID
    types: tuple[str, ...] = ()
    """Of the object whose URL this is; empty for a bare IRI."""
    media_type: str = ""
    """Declared for the URL, not for the text beside it."""
    tracker: bool = False
    linked: bool = False
    """Whether the post's own ``url`` gets a preview."""
    previews: bool = True
    """Whether links in text get one: in posts, not in profiles, titles and alternative texts."""
    mentioned: frozenset[str] = frozenset()

    @property
    def is_actor(self) -> bool:
        """Whether the object is an actor and nothing else."""
        return bool(self.types) and vocab.ACTORS.issuperset(self.types)


def is_media(role: Role) -> bool:
    """Whether an object in this role describes media, so that its media type speaks of its URL."""
    return role in _MEDIA_ROLES


def role_of(name: str, role: Role, own: Scope) -> tuple[Role, Scope] | None:
    """What the value under key ``name`` is, in an object that itself has ``role`` and scope ``own``; None: nothing."""
    if name.startswith("@"):
        # JSON-LD's containers (@graph, @list, @set, @value …) are as if they were not there.
        return role, own
    if name in vocab.TEXT_KEYS:
        titled = name in vocab.TITLE_KEYS and own.previews
        return "text", replace(own, previews=False) if titled else own
    if name in ("url", "href"):
        return _url_role(name, role, own)
    if name in vocab.MEDIA_KEYS:
        return _media_role(name, role, own)
    if name == "tag":
        # PeerTube's playlists carry their files as tags.
        return (role, own) if role in ("url", "file") else ("tag", own)
    if name in vocab.FETCHED_KEYS:
        if name == "object" and "Delete" in own.types:
            return "object", own
        return ("address" if name in vocab.ADDRESS_KEYS else "fetch"), own
    if name in vocab.FETCHED_OF_ACTORS and own.is_actor:
        return "fetch", own
    if name in vocab.FETCHED_OF_VIDEOS and "Video" in own.types:
        return "fetch", own
    return None if name in vocab.SILENT_KEYS else ("object", own)


def is_reference(held: frozenset[str], role: Role) -> bool:
    """Whether an object in ``role`` with the keys ``held`` says no more than which object it stands for."""
    return role in ("fetch", "address") and held <= REFERENCE_KEYS


def role_of_id(held: frozenset[str], role: Role, own: Scope, outer: Scope) -> Role | None:
    """What the id of an object in ``role`` with the keys ``held`` is; None: only its name."""
    if is_reference(held, role):
        return None if "Tombstone" in own.types else role
    if not held.isdisjoint(("url", "href")):
        return None
    if is_media(role):
        return role
    # A file under a key that only a remote context explains, but not one that is deleted.
    alone = role == "object" and not _FILES_ALONE.isdisjoint(own.types) and "Delete" not in outer.types
    return "media" if alone else None


def _url_role(name: str, role: Role, own: Scope) -> tuple[Role, Scope]:
    if role == "media":
        return "url", own
    if is_media(role):
        return role, own
    if role == "tag":
        if not {"Mention", "Link"}.isdisjoint(own.types):
            return "fetch", own
        return ("object", own) if "Hashtag" in own.types or name == "url" else ("page", own)
    kind = vocab.kind_by_types(own.types)
    if kind in ("video", "audio"):
        return "file", replace(own, kind=kind)
    if not vocab.FILES.isdisjoint(own.types):
        return "url", own
    return "page", own


def _media_role(name: str, role: Role, own: Scope) -> tuple[Role, Scope]:
    kind = vocab.VENDOR_MEDIA.get(name, UNSAID)
    if name in ("icon", "image", "preview"):
        if role in ("media", "url") and own.kind in _INHERITED:
            kind = own.kind
        elif role == "tag":
            kind = "emoji"
        elif own.is_actor and name != "preview":
            kind = "avatar" if name == "icon" else "banner"
        else:
            kind = "thumbnail"
    return "media", replace(own, kind=kind, types=(), media_type="", tracker=False)
