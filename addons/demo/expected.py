"""What alone may arrive at the end of a visit's way."""

import contextlib
import io
import json
from dataclasses import replace

from PIL import Image

from addons.demo import documents, videos
from addons.demo.visits import Visit
from addons.demo.ways import Gone
from addons.judging.placeholders import placeholder
from classifier import media_type_of


def expected(visit: Visit, gone: Gone, actor: str) -> tuple[bytes, ...]:
    """The files that may arrive, byte for byte. ``actor``: who wrote the remote host's posts."""
    if visit.arrives == "nothing":
        return ()
    if visit.arrives == "intact":
        return (gone.sent,)
    if visit.arrives == "stripped":
        assert visit.document is not None
        return (documents.stripped("people" if "/people/" in visit.document else "posts", visit.document, actor),)
    assert visit.url is not None
    media_type = media_type_of(gone.sent)
    return (placeholder(media_type, *_size(gone.sent, media_type), visit.url)[0],)


def as_expected(visit: Visit, gone: Gone) -> Gone:
    """The same, a stripped document written as :func:`expected` writes it: spaces do not matter in JSON."""
    if visit.arrives != "stripped":
        return gone
    return replace(gone, arrived=tuple(map(_rewritten, gone.arrived)))


def _rewritten(data: bytes) -> bytes:
    with contextlib.suppress(ValueError):
        return json.dumps(json.loads(data)).encode()
    return data


def _size(data: bytes, media_type: str) -> tuple[int, int]:
    """Pixels of what was taken away."""
    if media_type.startswith("video/"):
        return videos.SIZE
    with Image.open(io.BytesIO(data)) as image:
        return image.size
