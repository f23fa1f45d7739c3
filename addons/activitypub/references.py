"""What walking an activity finds: media references, links, objects to fetch, and who is talking about what."""

from dataclasses import dataclass
from typing import Literal

type Kind = Literal["image", "video", "audio", "avatar", "banner", "emoji", "thumbnail", "inline", "page"]
"""What a server would take the URL for. ``page``: a document, or of no type, yet it stands as an attachment."""


@dataclass(frozen=True, slots=True)
class MediaRef:
    """A URL in an activity that a server would fetch or show as media.

    ``url`` is as written (resolved only where relative), ``path`` a JSON Pointer (RFC 6901) to where it stood; for a
    URL inside HTML or markdown it is the pointer of that text. ``sensitive``: the nearest enclosing object's flag.
    ``linked``: a plain link in text whose path ends like a picture or video: nobody sees it who does not open it.
    """

    url: str
    kind: Kind
    path: str
    sensitive: bool = False
    linked: bool = False


@dataclass(frozen=True, slots=True)
class Link:
    """A URL that is not media itself: a link whose preview a server will fetch, or an IRI it will dereference.

    ``text``: a link in a text, where it is one of many, and not the post's own.
    """

    url: str
    path: str
    text: bool = False


@dataclass(frozen=True, slots=True)
class Walk:
    """All that was found in one activity (or one array of them).

    ``types`` are the activity types from the outermost inwards (``("Announce", "Create", "Note")``), ``overflow``
    says which bound was passed, if any: what lies beyond it was not seen.
    """

    media: tuple[MediaRef, ...]
    links: tuple[Link, ...]
    fetches: tuple[Link, ...]
    types: tuple[str, ...]
    activity_id: str | None
    actor: str | None
    object_id: str | None
    overflow: Literal["depth", "nodes", "media"] | None = None
