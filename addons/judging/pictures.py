"""Whether what a reference led to is a picture or video at all: the link of an article is no failure."""

from addons.activitypub.references import MediaRef
from addons.policy.words import Cause

# Kinds that a walk takes for media in doubt: a link, a link whose path ends like a picture's, a sound.
_IN_DOUBT = frozenset({"page", "inline", "audio"})
# By content. SVG, JPEG XL and the like are pictures that cannot be judged, and stay ``unsupported``.
_NO_PICTURES = frozenset(
    {
        "text/html",
        "text/plain",
        "text/xml",
        "application/json",
        "application/pdf",
        "application/zip",
        "application/gzip",
    }
)
_UNKNOWN = "application/octet-stream"


def is_no_picture(ref: MediaRef, cause: Cause | None, media_type: str) -> bool:
    """Whether a reference that could not be judged is no medium: then it has neither judgement nor cause.

    ``media_type`` is by content, for the cause ``unsupported``. What an activity calls a picture stays one, whatever
    its host answers. A plain link (kind ``page``) that its host refuses or fails to give is none: a server that asks
    gets the same answer, and articles behind a wall are everyday posts. A time-out is not: the server waits longer.
    """
    if cause is Cause.UNSUPPORTED and ref.kind in _IN_DOUBT:
        known = media_type in _NO_PICTURES or media_type.startswith("audio/")
        return known or (ref.kind == "page" and media_type == _UNKNOWN)
    return ref.kind == "page" and cause in (Cause.FETCH_FAILED, Cause.FETCH_UNAUTHORIZED)
