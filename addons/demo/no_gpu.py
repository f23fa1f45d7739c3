"""What is sent to the demo's fediward without a GPU, and what must become of each, though no sender waits for it."""

from collections.abc import Sequence

from addons.demo.activities import Json
from addons.demo.documents import PUBLIC
from addons.demo.scenes import Scene, Script

DOOR = "inbox door, no GPU"
SECONDS = 10.0
"""What its judge takes for a picture, beyond what it takes anyway."""
BUDGET = 0.1
"""Of that, what a sender waits at most until its delivery is held."""
PATIENCE = 4.0
"""Seconds within which each sender must have its answer: the default ``budget``, though the demo's is shorter."""


def slow_scenes(script: Script) -> list[list[Scene]]:
    """What is sent at a time, and what once that is answered; each once, in order."""
    write = script.write
    kept = write.note([write.document(write.url("ordinary.jpg"))])
    gone = write.note([write.document(write.url("ordinary.jpg"))])
    page, bad = write.page(write.url("ordinary.jpg")), write.page(write.url("forbidden.jpg"))
    known = write.page(write.url("known.jpg"))
    first = [
        _scene("mastodon", "no GPU: words alone", write.note([]), media=False),
        _held("mastodon", "no GPU: a post with an ordinary picture", kept, pictures=1),
        _held("lemmy", "no GPU: an ordinary picture in a community", page, pictures=1),
        _held("lemmy", "no GPU: a post with a forbidden shape", bad, "dropped", ends="red-circle"),
        _held("piefed", "no GPU: a picture on a hash list", known, "dropped", ends="known"),
        _held("mastodon", "no GPU: a post that is deleted meanwhile", gone, "withdrawn"),
    ]
    note = _object(kept)
    update = write.wrap("Update", {**note, "attachment": [], "content": "<p>Good evening.</p>"})
    reply = write.note([], inReplyTo=note["id"])
    delete = write.wrap("Delete", {"id": _object(gone)["id"], "type": "Tombstone"})
    second = [
        _held("mastodon", "no GPU: an edit of the first post", update, decided=None, behind=first[1].id),
        _held("gotosocial", "no GPU: a reply to the first post", reply, decided=None, behind=first[1].id),
        _scene("mastodon", "no GPU: the deletion of a post", {**delete, "to": [PUBLIC]}, media=False),
    ]
    return [first, second]


def _object(activity: Json) -> Json:
    found = activity["object"]
    assert isinstance(found, dict)
    return found


def _scene(software: str, carries: str, document: Json, *, media: bool) -> Scene:
    return Scene(software, carries, document, media=media, door=DOOR, within=PATIENCE)


def _held(
    software: str,
    carries: str,
    document: Json,
    outcome: str = "replayed",
    *,
    decided: str | None = "timeout",
    ends: str | None = None,
    pictures: int = 0,
    behind: str | None = None,
) -> Scene:
    return Scene(
        software,
        carries,
        document,
        "hold",
        decided,
        pictures,
        door=DOOR,
        outcome=outcome,
        ends=ends,
        behind=behind,
        within=PATIENCE,
    )


def in_order(scenes: Sequence[Scene], reached: Sequence[str]) -> list[str]:
    """Which of ``scenes`` came to the server before what they belong behind, by the order of ids as they ``reached``
    it."""
    first = {id: number for number, id in reversed(list(enumerate(reached)))}
    return [
        f"{scene.software}: {scene.carries}: reached the server before what it belongs behind"
        for scene in scenes
        if scene.behind in first and scene.id in first and first[scene.id] < first[scene.behind]
    ]
