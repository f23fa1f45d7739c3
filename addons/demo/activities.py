"""Writes activities in the shapes of real servers' (reference section 4), with pictures of the demo's remote host."""

from collections.abc import Sequence

from addons.demo.documents import CONTEXT, PUBLIC, Kind

type Json = dict[str, object]


class Writer:
    """Writes activities. ``remote`` is the remote host's URL, ``actor`` the id of the one who acts.

    ``seed`` is of the last picture: each is another than all before it, so that nothing is known from earlier.
    """

    def __init__(self, remote: str, actor: str, seed: int = 0) -> None:
        self.remote, self.actor, self.seed = remote, actor, seed
        self._number = 0

    def url(self, name: str) -> str:
        """A picture that no other activity has; ``name`` is its kind with an extension."""
        return f"{self.remote}/pictures/{self.next()}/{name}"

    def next(self) -> int:
        """The seed of a picture that there was not yet."""
        self.seed += 1
        return self.seed

    def about(self, kind: Kind, url: str) -> str:
        """The URL of a document of the remote host in which this picture of its, a JPEG, stands."""
        return url.replace("/pictures/", f"/{kind}/").removesuffix(".jpg")

    def id(self, kind: str) -> str:
        """An id that no other object has."""
        self._number += 1
        return f"{self.remote}/{kind}/{self.seed}-{self._number}"

    def document(self, url: str, media_type: str = "image/jpeg") -> Json:
        """An attachment as Mastodon writes it."""
        return {"type": "Document", "mediaType": media_type, "url": url, "name": "a drawing"}

    def image(self, url: str) -> Json:
        """An icon, thumbnail or emoji."""
        return {"type": "Image", "mediaType": "image/png", "url": url}

    def link(self, url: str) -> Json:
        """An image as a Link, as Akkoma and PeerTube write it."""
        return {"type": "Link", "mediaType": "image/jpeg", "href": url}

    def wrap(self, kind: str, thing: Json | str) -> Json:
        """An activity of this type about ``thing``."""
        return {"@context": CONTEXT, "id": self.id(kind.lower()), "type": kind, "actor": self.actor, "object": thing}

    def note(self, attachment: object, **more: object) -> Json:
        """A new post, as microblogs write it."""
        note: Json = {
            "id": self.id("note"),
            "type": "Note",
            "attributedTo": self.actor,
            "to": [PUBLIC],
            "content": "<p>Good morning.</p>",
            "attachment": attachment,
            **more,
        }
        return self.wrap("Create", note)

    def page(self, image: str | None, text: str = "A drawing from today.") -> Json:
        """A new post that a Lemmy community announces."""
        page: Json = {
            "id": self.id("post"),
            "type": "Page",
            "attributedTo": self.actor,
            "to": [PUBLIC],
            "name": "From the drawing class",
            "content": f"<p>{text}</p>",
            "source": {"content": text, "mediaType": "text/markdown"},
            "attachment": [{"type": "Image", "url": image}] if image else [],
        }
        return self.wrap("Announce", self.wrap("Create", page))

    def linked(self, page: str) -> Json:
        """A new post, as Lemmy writes it, that links to a page and has no picture of its own."""
        post: Json = {
            "id": self.id("post"),
            "type": "Page",
            "attributedTo": self.actor,
            "to": [PUBLIC],
            "name": "What the paper says",
            "attachment": [{"type": "Link", "href": page}],
        }
        return self.wrap("Announce", self.wrap("Create", post))

    def video(self, thumbnail: str) -> Json:
        """A new video that a PeerTube channel announces."""
        video: Json = {
            "id": self.id("video"),
            "type": "Video",
            "name": "How to draw",
            "attributedTo": [{"type": "Person", "id": self.actor}],
            "to": [PUBLIC],
            "icon": [self.image(thumbnail)],
            "url": [{"type": "Link", "mediaType": "text/html", "href": self.id("watch")}],
        }
        return self.wrap("Announce", self.wrap("Create", video))

    def avatar(self, url: str) -> Json:
        """The actor's new picture."""
        return self.wrap("Update", {"id": self.actor, "type": "Person", "icon": self.image(url)})

    def emoji(self, url: str) -> Json:
        """A post with a custom emoji."""
        return self.note([], tag=[{"type": "Emoji", "name": ":hm:", "icon": self.image(url)}])

    def collection(self, activities: Sequence[Json]) -> Json:
        """Several activities in one delivery, as PeerTube's inbox takes them."""
        return {
            "@context": CONTEXT,
            "id": self.id("collection"),
            "type": "OrderedCollection",
            "actor": self.actor,
            "totalItems": len(activities),
            "orderedItems": list(activities),
        }
