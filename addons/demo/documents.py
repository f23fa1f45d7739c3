"""Documents of the demo's remote host in which one of its pictures stands: posts, profiles, pages; as it gives them."""

import json
from typing import Literal, get_args

type Kind = Literal["posts", "people", "pages"]

KINDS: tuple[Kind, ...] = get_args(Kind.__value__)
ACTIVITY = "application/activity+json"
CONTEXT = "https://www.w3.org/ns/activitystreams"
PUBLIC = f"{CONTEXT}#Public"


def document(kind: Kind, url: str, picture: str, actor: str) -> tuple[bytes, str]:
    """The document at ``url``, and its media type: a post with the picture, a profile with it as its avatar, or a page
    with it as its preview image."""
    if kind == "pages":
        head = f'<title>What the paper says</title><meta property="og:image" content="{picture}">'
        return f"<!doctype html>{head}<p>A page with a preview picture.</p>".encode(), "text/html"
    return _json(_person(url, picture) if kind == "people" else _post(url, [picture], actor)), ACTIVITY


def stripped(kind: Kind, url: str, actor: str) -> bytes:
    """The same without its picture, as JSON; a page has none to be taken out."""
    return _json(_person(url, None) if kind == "people" else _post(url, [], actor))


def _person(url: str, icon: str | None) -> dict[str, object]:
    person: dict[str, object] = {"@context": CONTEXT, "id": url, "type": "Person", "inbox": f"{url}/inbox"}
    return person if icon is None else {**person, "icon": {"type": "Image", "url": icon}}


def _post(url: str, pictures: list[str], actor: str) -> dict[str, object]:
    return {
        "@context": CONTEXT,
        "id": url,
        "type": "Note",
        "attributedTo": actor,
        "to": [PUBLIC],
        "content": "<p>Good morning.</p>",
        "attachment": [{"type": "Document", "mediaType": "image/jpeg", "url": picture} for picture in pictures],
    }


def _json(value: object) -> bytes:
    return json.dumps(value).encode()
