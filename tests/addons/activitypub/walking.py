"""Short ways to walk a document in a test."""

import json
from typing import Any

from addons.activitypub.parsing import parse
from addons.activitypub.references import Walk
from addons.activitypub.walk import walk

ID = "https://a.example/post/1"
U = "https://m.example/file/1"
V = "https://m.example/file/2"
JPG = "https://m.example/x.jpg"
MP4 = "https://m.example/x.mp4"
AS = "https://www.w3.org/ns/activitystreams#"


def walked(document: object, *, max_depth: int = 64, max_nodes: int = 20_000, max_media: int = 100) -> Walk:
    parsed = parse(json.dumps(document).encode(), max_depth=1_000, max_nodes=100_000)
    return walk(parsed.document, max_depth=max_depth, max_nodes=max_nodes, max_media=max_media)


def media(document: object) -> list[tuple[str, str, str]]:
    return [(ref.kind, ref.url, ref.path) for ref in walked(document).media]


def links(document: object) -> list[tuple[str, str]]:
    return [(link.url, link.path) for link in walked(document).links]


def fetches(document: object) -> list[tuple[str, str]]:
    return [(link.url, link.path) for link in walked(document).fetches]


def note(**keys: Any) -> dict[str, Any]:
    return {"type": "Note", "id": ID, **keys}


def raw(body: str) -> Walk:
    return walk(
        parse(body.encode(), max_depth=64, max_nodes=1_000).document, max_depth=64, max_nodes=1_000, max_media=9
    )
