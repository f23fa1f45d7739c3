"""What the keys and types of ActivityPub objects mean to servers: which hold media, text, or IRIs they dereference."""

from collections.abc import Iterable
from urllib.parse import unquote

from addons.activitypub.references import Kind

TEXT_KEYS = frozenset({
    "content", "summary", "source", "name", "value", "description", "support",
    "contentmap", "summarymap", "namemap", "_misskey_content", "_misskey_summary",
})  # fmt: skip
"""Keys whose strings are shown as HTML, markdown or bbcode, themselves or inside a language map."""

TITLE_KEYS = frozenset({"name", "namemap", "value"})
"""Text whose plain links get no preview: titles, alternative texts, profile fields."""

FETCHED_KEYS = frozenset({
    # LEM:page.rs, MAS:app/lib/activitypub/activity/*.rb; to and cc: Lemmy looks for the community there, Misskey
    # resolves every one (MK:ApAudienceService.ts).
    "actor", "object", "target", "origin", "inreplyto", "attributedto", "audience", "to", "cc", "bto", "bcc",
    # quoted posts: Mastodon, Misskey, Akkoma
    "quote", "quoteurl", "quoteuri", "_misskey_quote", "quoteauthorization", "instrument",
    # collections and their pages
    "items", "ordereditems", "first", "next", "last", "prev", "replies",
    # signatures inside the document, keys kept apart from their actor
    "creator", "verificationmethod", "publickey", "movedto", "moderators",
})  # fmt: skip
"""Keys whose bare IRIs some server will dereference."""

FETCHED_OF_ACTORS = frozenset({"featured", "featuredtags", "outbox", "followers", "following", "playlists"})
"""Collections that Mastodon (counts, pinned posts), Lemmy (outbox, pinned posts) and PeerTube read of an actor."""

FETCHED_OF_VIDEOS = frozenset({"likes", "dislikes", "shares", "comments", "hasparts"})
"""Collections that PeerTube crawls of a video."""

VENDOR_MEDIA: dict[str, Kind] = {
    "attachments": "page",
    "backgroundurl": "banner",
    "banner": "banner",
    "header": "banner",
    "avatar": "avatar",
    "avatarurl": "avatar",
    "cover": "image",
    "photo": "image",
    "logo": "image",
    "poster": "thumbnail",
    "thumbnail": "thumbnail",
    "thumbnailurl": "thumbnail",
}
"""Media keys that are not ActivityStreams' own but that some server sends (BookWyrm, Sharkey, Funkwhale …)."""

ADDRESS_KEYS = frozenset({"to", "cc", "bto", "bcc"})

MEDIA_KEYS = frozenset({"attachment", "icon", "image", "preview", *VENDOR_MEDIA})
"""Keys whose strings and objects are media."""

SILENT_KEYS = frozenset({"id", "type", "sensitive", "mediatype", "rel", "inbox", "hreflang", "partof"})
"""Keys that never hold a URL which a server would ask for on reading the document."""

ACTORS = frozenset({"Person", "Group", "Organization", "Application", "Service"})
LINKED_POSTS = frozenset({"Page", "Article", "Event", "Video", "Audio", "Image"})
"""Objects that Mastodon turns into a status with a link to their ``url``, and previews it (MAS:activity/create.rb)."""
FILES = frozenset({"Image", "Document", "Video", "Audio"})

PROFILE_FIELDS = frozenset({"Link", "PropertyValue", "Note"})
"""Attachments of actors: the fields of a profile (schema.org's PropertyValue, FEP-fb2a), no media."""

KNOWN = (
    TEXT_KEYS | FETCHED_KEYS | FETCHED_OF_ACTORS | FETCHED_OF_VIDEOS | MEDIA_KEYS | SILENT_KEYS
    | {"url", "href", "tag"}
)  # fmt: skip
"""Every key that means something here."""


# What a URL's last path segment ends with when it is a file, and a media type begins with.
_ENDINGS_OF: dict[Kind, str] = {
    "image": "jpg jpeg jpe jfif pjpeg png apng gif webp avif heic heif jxl jp2 bmp tif tiff svg svgz ico",
    "video": "mp4 m4v webm mov mkv ogv avi mpg mpeg 3gp gifv m3u8 mpd flv wmv torrent",
    "audio": "mp3 ogg oga opus m4a aac flac wav wma",
}
_ENDINGS = {ending: kind for kind, endings in _ENDINGS_OF.items() for ending in endings.split()}
_VIDEO_TYPES = (
    "video/",
    "application/x-mpegurl",
    "application/vnd.apple.mpegurl",
    "application/dash+xml",
    "application/x-bittorrent",
    "application/ogg",
)


def kind_by_ending(url: str) -> Kind | None:
    """Image, video or audio by the ending of the URL's path, None where it has no such ending."""
    if url[:5].lower() == "data:":
        return "image"
    path, _, _ = url.partition("?")[0].partition("#")
    if path.count("/") < 3:
        return None  # a bare host: `https://example.mov`
    # Path parameters, and sizes such as `:large`, come after the ending.
    name = path.rpartition("/")[2].partition(";")[0].partition(":")[0]
    if "%" in name:
        name = unquote(name)
    _, dot, ending = name.rpartition(".")
    return _ENDINGS.get(ending.lower()) if dot else None


def kind_by_media_type(media_type: str) -> Kind | None:
    """Image, video or audio by a declared media type, None where it says something else."""
    lower = media_type.strip().lower()
    if lower.startswith("image/"):
        return "image"
    if lower.startswith(_VIDEO_TYPES):
        return "video"
    if lower.startswith("audio/"):
        return "audio"
    return None


def kind_by_types(types: Iterable[str]) -> Kind | None:
    """Image, video or audio by ActivityStreams type."""
    for name in types:
        if name == "Image":
            return "image"
        if name == "Video":
            return "video"
        if name == "Audio":
            return "audio"
    return None
