"""What the demo sends: deliveries in the shapes of real servers, and what must become of each."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from addons.demo.activities import Json, Writer

type Action = Literal["pass", "record", "drop", "reject", "hold"]

INBOX = "inbox door"
PAIR = ("ordinary.jpg", "forbidden.jpg")
ARRIVES: frozenset[Action] = frozenset({"pass", "record"})
STATUS: dict[Action, int] = {"pass": 202, "record": 202, "drop": 202, "reject": 403, "hold": 202}
"""What the sender must be answered (DESIGN.md's table; the demo's server answers 202 itself)."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One delivery: whose shape it has, what it carries in words, and what must become of it.

    ``decided`` is what must have decided, a rule's name, a cause, or None; ``pictures`` and ``videos`` how many the
    server must get where it arrives; ``cached``: whether its picture must be known from earlier; ``media``: whether it
    has any; ``ahead``: whether they are found only where it leads.

    What is held: ``outcome`` is how the hold must end, ``ends`` the rule that must have decided then; ``behind`` the
    activity that must reach the server before; ``seen`` the URL that the server fetches meanwhile. ``door``: where it
    is sent; ``within``: seconds in which the sender must have its answer (None: not asked).
    """

    software: str
    carries: str
    document: Json | list[Json]
    action: Action = "pass"
    decided: str | None = None
    pictures: int = 0
    videos: int = 0
    cached: bool = False
    media: bool = True
    ahead: bool = False
    scheme: Literal["cavage", "rfc9421"] = "cavage"
    gzip: bool = False
    outcome: str | None = None
    ends: str | None = None
    behind: str | None = None
    seen: str | None = None
    door: str = INBOX
    within: float | None = None

    @property
    def id(self) -> str:
        """The activity's id; of an array the first one's, by which the ledger knows it."""
        first = self.document[0] if isinstance(self.document, list) else self.document
        return str(first["id"])

    @property
    def arrives(self) -> bool:
        """Whether the server must receive it."""
        return self.action in ARRIVES or self.outcome == "replayed"

    @property
    def written(self) -> bool:
        """Whether the decision must be in the ledger: what is neither judged nor held is only counted."""
        return self.media or self.outcome is not None

    @property
    def status(self) -> int:
        """What the sender must be answered."""
        return STATUS[self.action]


class Script:
    """Writes scenes. ``remote`` is the remote host's URL, ``actor`` the id of the one who signs."""

    def __init__(self, remote: str, actor: str, seed: int = 0) -> None:
        self.write = Writer(remote, actor, seed)

    @property
    def seed(self) -> int:
        """Of the last picture; a script that begins there repeats none."""
        return self.write.seed

    def all(self) -> list[Scene]:
        """Every scene once, in order."""
        return [
            *self._threads(),
            *self._microblogs(),
            *self._videos(),
            *self._shapes(),
            *self._ahead(),
            *self._troubles(),
        ]

    def _threads(self) -> Iterator[Scene]:
        write = self.write
        yield Scene("lemmy", "a post with an ordinary picture", write.page(write.url("ordinary.jpg")), pictures=1)
        forbidden = write.url("forbidden.jpg")
        yield _stopped("lemmy", "a post with a forbidden shape", write.page(forbidden))
        yield _stopped("lemmy", "the same picture in another post", write.page(forbidden), cached=True)
        yield _stopped(
            "lemmy",
            "a forbidden shape inside the text",
            write.page(None, f"Look: ![]({write.url('forbidden.png')}) is it not?"),
        )
        yield _stopped("mbin", "a forbidden shape as a bare URL", write.note(write.url("forbidden.jpg")))
        known = write.page(write.url("known.jpg"))
        yield Scene("piefed", "a smaller copy of a picture on a hash list", known, "reject", "known")
        mirrored = write.page(write.url("mirrored.jpg"))
        yield Scene("piefed", "a mirrored copy of a picture on a hash list", mirrored, "reject", "known")

    def _microblogs(self) -> Iterator[Scene]:
        write = self.write
        yield Scene("mastodon", "words alone", write.note([]), media=False, scheme="rfc9421")
        two = [write.document(write.url("ordinary.jpg")), write.document(write.url("ordinary.png"))]
        yield Scene("mastodon", "two ordinary pictures", write.note(two), pictures=2, scheme="rfc9421")
        mixed = [write.document(write.url("ordinary.jpg")), write.document(write.url("forbidden.png"))]
        yield _stopped("mastodon", "an ordinary picture and a forbidden one", write.note(mixed))
        yield _stopped("mastodon", "a new avatar, forbidden", write.avatar(write.url("forbidden.jpg")))
        yield _stopped("misskey", "a custom emoji, forbidden", write.emoji(write.url("forbidden.png")))
        late = write.document(write.url("late.gif"))
        yield _stopped("gotosocial", "an animation, its last frame forbidden", write.note([late]))
        film = write.document(write.url("film.mp4"), "video/mp4")
        yield Scene("mastodon", "an ordinary video", write.note([film]), videos=1)
        glimpse = write.document(write.url("glimpse.mp4"), "video/mp4")
        yield _stopped("mastodon", "a video, one second of it forbidden", write.note([glimpse]))
        hiding = write.document(write.url("hiding.jpg"))
        yield _stopped("pixelfed", "an ordinary picture, a forbidden one behind its end", write.note([hiding]))
        face = write.document(write.url("face.jpg"))
        yield Scene("pixelfed", "a drawn face, which NudeNet finds", write.note([face]), "record", "face", pictures=1)
        moved = write.document(write.url("moved.jpg"))
        yield _stopped("pleroma", "a redirect to a forbidden shape", write.note([moved]))

    def _videos(self) -> Iterator[Scene]:
        write = self.write
        yield Scene("peertube", "a video, its thumbnail ordinary", write.video(write.url("ordinary.jpg")), pictures=1)
        yield _stopped("peertube", "a video, its thumbnail forbidden", write.video(write.url("forbidden.jpg")))
        videos = [write.video(write.url("ordinary.jpg")), write.video(write.url("ordinary.png"))]
        yield Scene("peertube", "a collection of two videos", write.collection(videos), pictures=2)
        bad = [write.video(write.url("ordinary.jpg")), write.video(write.url("forbidden.jpg"))]
        yield _stopped("peertube", "a collection, one of two forbidden", write.collection(bad))

    def _shapes(self) -> Iterator[Scene]:
        write = self.write
        linked = {"type": "Document", "url": [write.link(write.url("ordinary.jpg"))]}
        yield Scene("akkoma", "an ordinary picture, its URL a list", write.note([linked]), pictures=1)
        yield _stopped("friendica", "attachments of five shapes, one forbidden", self._every_shape("forbidden.png"))
        yield Scene(
            "friendica", "attachments of five shapes, all ordinary", self._every_shape("ordinary.png"), pictures=5
        )
        lying = write.document(write.url("lying.png"))
        yield Scene("pixelfed", "a picture whose type is a lie", write.note([lying]), pictures=1)
        packed = write.page(write.url("ordinary.jpg"))
        yield Scene("generic", "a gzip body, its picture ordinary", packed, pictures=1, gzip=True)
        yield _stopped(
            "generic", "a gzip body, its picture forbidden", write.page(write.url("forbidden.jpg")), gzip=True
        )
        array = [write.note([]), write.note([write.document(write.url("forbidden.jpg"))])]
        yield _stopped("generic", "an array of activities, the last forbidden", array)

    def _ahead(self) -> Iterator[Scene]:
        write = self.write
        fine, bad = (write.about("posts", write.url(name)) for name in ("ordinary.jpg", "forbidden.jpg"))
        yield Scene("lemmy", "names a post by its id, its picture ordinary", write.wrap("Announce", fine), ahead=True)
        yield _stopped(
            "lemmy", "names a post by its id, its picture forbidden", write.wrap("Announce", bad), ahead=True
        )
        fine, bad = (write.about("pages", write.url(name)) for name in PAIR)
        yield Scene("lemmy", "links to a page, its preview ordinary", write.linked(fine), ahead=True)
        yield _stopped("lemmy", "links to a page, its preview forbidden", write.linked(bad), ahead=True)

    def _troubles(self) -> Iterator[Scene]:
        write = self.write
        broken = write.note([write.document(write.url("broken.png"))])
        yield Scene("wordpress", "a broken file", broken, "drop", "undecodable")
        inward = write.note([write.image("http://10.0.0.1/cat.jpg")])
        yield Scene("generic", "a picture on a private address", inward, "drop", "fetch_refused")
        url = write.url("recovering.jpg")
        again = write.note([write.document(url)])
        yield Scene(
            "mastodon",
            "a picture whose host is out of order",
            again,
            "hold",
            "fetch_failed",
            1,
            outcome="replayed",
            seen=url,
        )
        yield Scene("mastodon", "the same delivery again, the host is well", again, pictures=1)

    def _every_shape(self, last: str) -> Json:
        write = self.write
        return write.note(
            [
                write.url("ordinary.jpg"),
                write.document(write.url("ordinary.jpg")),
                write.link(write.url("ordinary.jpg")),
                {"type": "Image", "url": [write.link(write.url("ordinary.jpg"))]},
                {"type": "Document", "mediaType": "image/png", "url": {"type": "Link", "href": write.url(last)}},
                {"type": "PropertyValue", "name": "pronouns", "value": "any"},
            ]
        )


def _stopped(
    software: str,
    carries: str,
    document: Json | list[Json],
    *,
    cached: bool = False,
    gzip: bool = False,
    ahead: bool = False,
) -> Scene:
    return Scene(software, carries, document, "drop", "red-circle", cached=cached, gzip=gzip, ahead=ahead)
