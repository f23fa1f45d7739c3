"""Whether what a reference led to is a picture or video at all: the link of an article is no failure."""

from addons.activitypub.references import MediaRef
from addons.policy.words import Cause

# By content. SVG, JPEG 2000 and the like are pictures that cannot be judged, and stay ``unsupported``.
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


def is_no_picture(ref: MediaRef, cause: Cause | None, shows: str | None) -> bool:
    """Whether a reference that could not be judged is no medium: then it has neither judgement nor cause.

    ``shows``: what who opens the URL is shown, as :class:`addons.fetching.results.FetchError` says it.

    What an activity calls a picture, or shows in its text, stays one, whatever its host answers. In doubt are a plain
    link in text (``linked``), an attachment that says no type (``page``), and a sound: those are no media where no
    picture can have been shown, to us or to another: articles behind a wall and dead links are everyday posts.
    A time-out tells nothing: the server may wait longer. What a ``linked`` URL leads to is seen only by who opens it,
    so that kinds that cannot be judged (SVG, AVI) and refused URLs are no failures there.
    """
    if ref.kind == "audio":
        return cause is Cause.UNSUPPORTED and shows is not None and shows.startswith("audio/")
    if not (ref.linked or ref.kind == "page"):
        return False
    if cause in (Cause.UNSUPPORTED, Cause.FETCH_REFUSED) and ref.linked:
        return True
    if cause in (Cause.UNSUPPORTED, Cause.FETCH_FAILED, Cause.FETCH_UNAUTHORIZED, Cause.FETCH_REFUSED):
        return shows is None or shows in _NO_PICTURES or shows.startswith("audio/")
    return False
