"""What comes to the demo's server beside deliveries: what it fetches, what pict-rs stores, what its users upload."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from addons.demo import ways
from addons.demo.activities import Json, Writer
from addons.demo.scenes import Scene, Script
from addons.demo.ways import Way
from addons.policy.words import Door

type Arrives = Literal["intact", "placeholder", "stripped", "nothing"]
"""``intact``: byte for byte; ``placeholder``: another picture in its place; ``stripped``: a document without it."""

OURS = "http://example.org"
BANNED = "192.0.2.7"
"""An address from which nobody may upload."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One way gone: whose manner it has, what it brings in words, and what must become of it.

    ``decided`` is what must have decided, a rule's name or None; ``status`` the answer to who asked; ``url`` the remote
    picture that it is about; ``document`` the one around it; ``ledger``: whether the decision must be written down;
    ``told``: whether a refusal must tell a person whom to ask.
    """

    door: Door
    software: str
    carries: str
    way: Way
    action: str = "pass"
    decided: str | None = None
    status: int = 200
    arrives: Arrives = "intact"
    url: str | None = None
    document: str | None = None
    ledger: bool = True
    told: bool = False


def visits(script: Script, secure: str) -> list[Visit]:
    """Every visit once, in order. ``secure``: the remote host's URL over TLS."""
    write = script.write
    return [*_fetched(write, secure), *_kept(write), *_validated(write), *_uploaded(write), *_posted(write)]


def _fetched(write: Writer, secure: str) -> Iterator[Visit]:
    for where, over in ((write.remote, ""), (secure, " over https")):
        fine, bad = (write.url(name).replace(write.remote, where) for name in ("ordinary.jpg", "forbidden.png"))
        yield Visit("fetch", "mastodon", f"fetches an ordinary picture{over}", ways.Fetches(fine), url=fine)
        yield _replaced("fetch", "mastodon", f"fetches a forbidden picture{over}", ways.Fetches(bad), bad)
    known, film = write.url("known.jpg"), write.url("glimpse.mp4")
    yield _refused("fetch", "gotosocial", "fetches a picture on a hash list", ways.Fetches(known), known, 403)
    yield _replaced("fetch", "mastodon", "fetches a video, one second of it forbidden", ways.Fetches(film), film)
    avatar = write.url("forbidden.jpg")
    yield _stripped("mastodon", "fetches a profile, its avatar forbidden", write.about("people", avatar), avatar)
    fine, bad, other = (write.url(name) for name in ("ordinary.jpg", "forbidden.jpg", "unwanted.jpg"))
    post = ways.Fetches(write.about("posts", fine))
    yield Visit("fetch", "lemmy", "fetches a post, its picture ordinary", post, url=fine)
    post = ways.Fetches(write.about("posts", bad))
    yield Visit(
        "fetch", "lemmy", "fetches a post, its picture forbidden", post, "drop", "red-circle", 404, "nothing", bad
    )
    left = write.about("posts", other)
    yield _stripped("gotosocial", "fetches a post, its picture to be left out", left, other, "unwanted")
    fine, bad = write.url("ordinary.jpg"), write.url("forbidden.jpg")
    page = ways.Previews(write.about("pages", fine))
    yield Visit("fetch", "mastodon", "fetches a page and its preview picture", page, url=fine)
    page = ways.Previews(write.about("pages", bad))
    yield _replaced("fetch", "mastodon", "fetches a page, its preview forbidden", page, bad)
    own: Json = {"id": f"{OURS}/notes/{write.next()}", "type": "Create", "actor": f"{OURS}/actor", "object": {}}
    yield Visit("fetch", "lemmy", "delivers a post of its own", ways.Delivers(own), status=202, ledger=False)


def _kept(write: Writer) -> Iterator[Visit]:
    fine, bad = write.url("ordinary.jpg"), write.url("forbidden.jpg")
    download = ways.Downloads(fine)
    yield Visit("pictrs", "lemmy", "has pict-rs download an ordinary picture", download, status=201, url=fine)
    download = ways.Downloads(bad)
    yield _replaced("pictrs", "lemmy", "has pict-rs download a forbidden picture", download, bad, status=201)
    fine, bad, known, other = (write.url(f"{kind}.png") for kind in ("ordinary", "forbidden", "known", "unwanted"))
    yield Visit("pictrs", "lemmy", "has pict-rs proxy an ordinary picture", ways.Proxies(fine), url=fine)
    yield _replaced("pictrs", "lemmy", "has pict-rs proxy a forbidden picture", ways.Proxies(bad), bad)
    yield _refused("pictrs", "lemmy", "has pict-rs proxy a picture on a hash list", ways.Proxies(known), known, 500)
    yield _replaced(
        "pictrs", "lemmy", "has pict-rs proxy a picture to be left out", ways.Proxies(other), other, "strip", "unwanted"
    )
    cloaking = write.url("cloaking.png")
    scene = Scene("mastodon", "a picture that will be another", write.note([write.document(cloaking, "image/png")]))
    way = ways.Cloaks(scene, cloaking)
    yield _replaced("pictrs", "lemmy", "shows the inbox door one picture, pict-rs another", way, cloaking)


def _validated(write: Writer) -> Iterator[Visit]:
    past = "an upload straight to pict-rs, "
    yield Visit("validate", "pict-rs", f"{past}ordinary", ways.Stores("ordinary", write.next(), True), status=201)
    for kind, rule, action in (("forbidden", "red-circle", "drop"), ("known", "known", "reject")):
        way = ways.Stores("known" if kind == "known" else "forbidden", write.next(), True)
        carries = past + ("on a hash list" if kind == "known" else kind)
        yield Visit("validate", "pict-rs", carries, way, action, rule, 400, "nothing")


def _uploaded(write: Writer) -> Iterator[Visit]:
    path, field = "/api/v2/media", "file"
    yield Visit("upload", "mastodon", "a user's upload, ordinary", ways.Uploads(path, field, "ordinary", write.next()))
    way = ways.Uploads(path, field, "forbidden", write.next())
    yield _told("mastodon", "a user's upload, forbidden", way, 422)
    way = ways.Uploads(path, field, "known", write.next())
    yield _told("mastodon", "a user's upload, on a hash list", way, 422, "known")
    way = ways.Uploads(path, field, "ordinary", write.next(), BANNED)
    yield _told("mastodon", "an upload from an address that is banned", way, 422, "no-uploads")
    path, field = "/pictrs/image", "images[]"
    yield Visit("upload", "lemmy", "a user's upload, ordinary", ways.Uploads(path, field, "ordinary", write.next()))
    yield _told("lemmy", "a user's upload, forbidden", ways.Uploads(path, field, "forbidden", write.next()), 400)
    kept = ways.Stores("ordinary", write.next())
    yield Visit("upload", "lemmy", "passes an upload on to pict-rs, ordinary", kept, status=201)
    yield _told("lemmy", "passes an upload on to pict-rs, forbidden", ways.Stores("forbidden", write.next()), 400)


def _posted(write: Writer) -> Iterator[Visit]:
    fine, bad, known = (write.url(f"{kind}.jpg") for kind in ("ordinary", "forbidden", "known"))
    way = _lemmy_post(fine)
    yield Visit("upload", "lemmy", "a user's post with a link to a picture", way, url=fine)
    yield _told("lemmy", "a user's post with a forbidden remote picture", _lemmy_post(bad), 400, url=bad)
    way = _lemmy_post(None, f"Look: ![]({known})")
    yield _told("lemmy", "a user's post, a listed picture in its text", way, 400, "known", known)


def _lemmy_post(url: str | None, text: str = "Look at this.") -> ways.Posts:
    return ways.Posts("/api/v3/post", {"name": "A drawing", "url": url, "body": text, "community_id": 1})


def _replaced(
    door: Door,
    software: str,
    carries: str,
    way: Way,
    url: str,
    action: str = "drop",
    rule: str = "red-circle",
    status: int = 200,
) -> Visit:
    return Visit(door, software, carries, way, action, rule, status, "placeholder", url)


def _stripped(software: str, carries: str, document: str, url: str, rule: str = "red-circle") -> Visit:
    way = ways.Fetches(document)
    return Visit("fetch", software, carries, way, "strip", rule, 200, "stripped", url, document)


def _refused(door: Door, software: str, carries: str, way: Way, url: str, status: int) -> Visit:
    return Visit(door, software, carries, way, "reject", "known", status, "nothing", url)


def _told(
    software: str, carries: str, way: Way, status: int, rule: str = "red-circle", url: str | None = None
) -> Visit:
    action = "drop" if rule == "red-circle" else "reject"
    return Visit("upload", software, carries, way, action, rule, status, "nothing", url, told=True)
