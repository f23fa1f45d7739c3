"""Bypass corpus, files: what a host gives that is not what it says, or one thing to us by a redirect or a name."""

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.drawing import animation, encode, textured
from tests.security.bypass import (
    BOTH,
    FORBIDDEN,
    JUDGED,
    ORDINARY,
    Ending,
    Picture,
    World,
    attached,
    create,
    note,
    posted,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

GZIP = {"Content-Encoding": "gzip"}


@dataclass(frozen=True)
class Lie:
    """What is made of a picture's file, and the head that it comes with."""

    make: Callable[[bytes], bytes] = bytes
    headers: dict[str, str] | None = None
    status: str = "200 OK"
    ends: Ending = JUDGED


def claiming(content_type: str) -> Lie:
    return Lie(headers={"Content-Type": content_type})


LIES: dict[str, Lie] = {
    **{
        content_type: claiming(content_type)
        for content_type in (
            *["text/html", "text/plain", "application/json", "application/activity+json", "application/octet-stream"],
            *["image/svg+xml", "image/png, text/html", "video/mp4", "audio/mpeg", "", "x", "multipart/form-data"],
        )
    },
    "an attachment": Lie(headers={"Content-Disposition": "attachment; filename=x.html"}),
    "compressed": Lie(gzip.compress, GZIP),
    "compressed twice": Lie(
        lambda file: gzip.compress(gzip.compress(file)), {"Content-Encoding": "gzip, gzip"}, ends="fetch_failed"
    ),
    "wrongly said to be": Lie(bytes, GZIP, ends="fetch_failed"),
    "compressed in a way of its own": Lie(bytes, {"Content-Encoding": "x-own"}, ends="fetch_failed"),
    "a part": Lie(headers={"Content-Range": "bytes 0-9/10"}, status="206 Partial Content", ends="fetch_failed"),
    "nothing new": Lie(status="304 Not Modified", ends="fetch_failed"),
    "an error": Lie(status="404 Not Found", ends="fetch_failed"),
    "created": Lie(status="201 Created"),
    "with zeros behind": Lie(lambda file: file + bytes(5000)),
    "with a page behind": Lie(lambda file: file + b"<html><script>x</script></html>"),
    "behind an ordinary one": Lie(lambda file: ORDINARY + file),
    "before an ordinary one": Lie(lambda file: file + ORDINARY),
    "as another format, behind": Lie(lambda file: encode(textured(2), "JPEG") + file),
    "behind a page": Lie(lambda file: b"<html>" + file, ends="unsupported"),
    "a page": Lie(lambda file: b"<html><body>no picture</body></html>", ends="unsupported"),
    "SVG": Lie(lambda file: b'<svg xmlns="http://www.w3.org/2000/svg"/>', ends="unsupported"),
    "nothing": Lie(lambda file: b"", ends="fetch_failed"),
}


@BOTH
@pytest.mark.parametrize("name", LIES)
async def test_whatever_its_host_says(world: World, name: str, bad: bool) -> None:
    lie = LIES[name]
    file = lie.make(FORBIDDEN if bad else ORDINARY)
    picture = world.picture(file, headers=lie.headers or {}, status=lie.status)
    await world.holds(posted(attached(picture.url)), lie.ends, bad=bad)


@BOTH
async def test_one_frame_of_many(world: World, bad: bool) -> None:
    frames = [textured(number) for number in (2, 1 if bad else 2, 2)]
    picture = world.picture(animation(frames))
    assert await world.send(posted(attached(picture.url)).wire) == (202 if bad else 200)
    await world.entry()


REDIRECTS: dict[str, Ending] = {
    **dict.fromkeys(["$URL", "$PATH", "//$AT$PATH", "http://evil.example:$PORT$PATH", "$URL#x"], JUDGED),
    **dict.fromkeys(
        [
            *[
                "http://a@$AT$PATH",
                "http://example.org\\@$AT$PATH",
                "http://10.0.0.1/",
                "http:///$AT$PATH",
                "http:$AT$PATH",
            ],
            *["file://$PATH", "gopher://$AT$PATH", "http://$AT:1$PATH", "http://2130706433:$PORT$PATH"],
        ],
        "fetch_refused",
    ),
    "/nowhere": "fetch_failed",
}


@BOTH
@pytest.mark.parametrize("location", REDIRECTS)
@pytest.mark.parametrize("status", ["301 Moved Permanently", "308 Permanent Redirect"])
async def test_wherever_it_redirects_to(world: World, location: str, status: str, bad: bool) -> None:
    picture = world.picture(FORBIDDEN if bad else ORDINARY)
    first = world.picture(b"", status=status, headers={"Location": picture.fill(location)})
    await world.holds(posted(attached(first.url)), REDIRECTS[location], bad=bad)


@BOTH
async def test_a_named_object(world: World, bad: bool) -> None:
    """What is announced by its name, quoted, or named by a tag, is fetched and judged as if it had been brought."""

    def named(picture: Picture) -> str:
        inner = json.dumps(note(attachment=picture.url)).encode()
        return world.picture(inner, headers={"Content-Type": "application/activity+json"}).url

    link = {"type": "Link", "mediaType": 'application/ld+json; profile="x"', "href": ""}
    shapes: list[Callable[[str], dict[str, Any]]] = [
        lambda iri: {"type": "Announce", "object": iri},
        lambda iri: {"type": "Announce", "object": [{"id": iri}]},
        lambda iri: {"type": "Announce", "object": {"type": "Note", "id": iri}},
        lambda iri: create(note(quoteUrl=iri)),
        lambda iri: create(note(_misskey_quote=iri)),
        lambda iri: create(note(tag=[link | {"href": iri}])),
        lambda iri: {"@context": {"boosts": "as:object"}, "type": "Announce", "boosts": iri},
    ]
    for shape in shapes:
        iri = named(world.picture(FORBIDDEN if bad else ORDINARY))
        await world.holds(posted(json.dumps(shape(iri)).encode()), JUDGED, bad=bad)
