"""What the demo sends: deliveries in the shapes of real servers, and what must become of each."""

from dataclasses import dataclass
from typing import Literal

type Json = dict[str, object]
type Outcome = Literal["arrives", "stopped"]

PUBLIC = "https://www.w3.org/ns/activitystreams#Public"
CONTEXT = "https://www.w3.org/ns/activitystreams"


@dataclass(frozen=True, slots=True)
class Scene:
    """One delivery: whose shape it has, what it carries in words, and its outcome if all is well.

    ``status`` is what the sender must be answered; ``found`` what must have decided, a rule's name, a cause, or None.
    """

    software: str
    carries: str
    activity: Json
    outcome: Outcome
    status: int
    found: str | None
    user_agent: str
    scheme: Literal["cavage", "rfc9421"] = "cavage"

    @property
    def id(self) -> str:
        """The activity's id."""
        return str(self.activity["id"])


class Script:
    """Writes scenes. ``remote`` is the remote host's URL, ``actor`` the id of the one who signs."""

    def __init__(self, remote: str, actor: str, seed: int = 0) -> None:
        self.remote, self.actor, self.seed = remote, actor, seed
        self._number = 0

    def all(self) -> list[Scene]:
        """Every scene once."""
        return [
            self._scene("lemmy", "a post with an ordinary picture", self._lemmy(self._url("ordinary.jpg"))),
            self._scene(
                "lemmy", "a post with a forbidden shape", self._lemmy(self._url("forbidden.jpg")), "forbidden-shape"
            ),
            self._scene(
                "lemmy",
                "a forbidden shape inside the text",
                self._lemmy(None, f"Look: ![]({self._url('forbidden.png')}) is it not?"),
                "forbidden-shape",
            ),
            self._scene("mastodon", "words alone", self._note([]), scheme="rfc9421"),
            self._scene(
                "mastodon",
                "two ordinary pictures",
                self._note([self._document("ordinary.jpg"), self._document("ordinary.png")]),
                scheme="rfc9421",
            ),
            self._scene(
                "mastodon",
                "an ordinary picture and a forbidden one",
                self._note([self._document("ordinary.jpg"), self._document("forbidden.png")]),
                "forbidden-shape",
            ),
            self._scene(
                "mastodon",
                "a new avatar, forbidden",
                self._wrap("Update", {"id": self.actor, "type": "Person", "icon": self._image("forbidden.jpg")}),
                "forbidden-shape",
            ),
            self._scene("peertube", "a video with ordinary thumbnails", self._video("ordinary.jpg")),
            self._scene(
                "peertube", "a video with a forbidden thumbnail", self._video("forbidden.jpg"), "forbidden-shape"
            ),
            self._scene(
                "misskey",
                "a custom emoji, forbidden",
                self._note([], tag=[{"type": "Emoji", "name": ":hm:", "icon": self._image("forbidden.png")}]),
                "forbidden-shape",
            ),
            self._scene(
                "akkoma",
                "an ordinary picture, its URL a list",
                self._note(
                    [
                        {
                            "type": "Document",
                            "url": [{"type": "Link", "mediaType": "image/jpeg", "href": self._url("ordinary.jpg")}],
                        }
                    ]
                ),
            ),
            self._scene(
                "mbin", "a forbidden shape as a bare URL", self._note(self._url("forbidden.jpg")), "forbidden-shape"
            ),
            self._scene(
                "gotosocial",
                "an animation, its last frame forbidden",
                self._note([self._document("late.gif")]),
                "forbidden-shape",
            ),
            self._scene("pixelfed", "a picture whose type is a lie", self._note([self._document("lying.png")])),
            self._scene(
                "pleroma",
                "a redirect to a forbidden shape",
                self._note([self._document("moved.jpg")]),
                "forbidden-shape",
            ),
            self._scene("friendica", "a broken file", self._note([self._document("broken.png")]), "undecodable"),
            self._scene(
                "generic",
                "a picture on a private address",
                self._note([{"type": "Image", "url": "http://10.0.0.1/cat.jpg"}]),
                "fetch_refused",
            ),
        ]

    def _scene(
        self,
        software: str,
        carries: str,
        activity: Json,
        found: str | None = None,
        scheme: Literal["cavage", "rfc9421"] = "cavage",
    ) -> Scene:
        agent = f"{software}/demo (+{self.remote})"
        stopped = found is not None
        return Scene(software, carries, activity, "stopped" if stopped else "arrives", 202, found, agent, scheme)

    def _url(self, name: str) -> str:
        """A picture that no other scene has."""
        self.seed += 1
        return f"{self.remote}/pictures/{self.seed}/{name}"

    def _id(self, kind: str) -> str:
        self._number += 1
        return f"{self.remote}/{kind}/{self.seed}-{self._number}"

    def _document(self, name: str) -> Json:
        return {"type": "Document", "mediaType": "image/jpeg", "url": self._url(name), "name": "a drawing"}

    def _image(self, name: str) -> Json:
        return {"type": "Image", "mediaType": "image/png", "url": self._url(name)}

    def _wrap(self, kind: str, thing: Json | str) -> Json:
        return {"@context": CONTEXT, "id": self._id(kind.lower()), "type": kind, "actor": self.actor, "object": thing}

    def _note(self, attachment: object, **more: object) -> Json:
        note: Json = {
            "id": self._id("note"),
            "type": "Note",
            "attributedTo": self.actor,
            "to": [PUBLIC],
            "content": "<p>Good morning.</p>",
            "attachment": attachment,
            **more,
        }
        return self._wrap("Create", note)

    def _lemmy(self, image: str | None, text: str = "A drawing from today.") -> Json:
        page: Json = {
            "id": self._id("post"),
            "type": "Page",
            "attributedTo": self.actor,
            "to": [PUBLIC],
            "name": "From the drawing class",
            "content": f"<p>{text}</p>",
            "source": {"content": text, "mediaType": "text/markdown"},
            "attachment": [{"type": "Image", "url": image}] if image else [],
        }
        return self._wrap("Announce", self._wrap("Create", page))

    def _video(self, thumbnail: str) -> Json:
        video: Json = {
            "id": self._id("video"),
            "type": "Video",
            "name": "How to draw",
            "attributedTo": [{"type": "Person", "id": self.actor}],
            "to": [PUBLIC],
            "icon": [self._image(thumbnail)],
            "url": [{"type": "Link", "mediaType": "text/html", "href": self._id("watch")}],
        }
        return self._wrap("Announce", self._wrap("Create", video))
