"""Results made by hand, for tests of what is made of them."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from addons.demo.arrivals import Arrival
from addons.demo.outcome import Result, finding
from addons.demo.scenes import Scene
from addons.demo.visited import Visited
from addons.demo.visits import Visit
from addons.demo.ways import Gone
from addons.ledger.entry import Entry, EntryMedium
from addons.policy.words import Action, Cause, Hit
from classifier import JudgedFrame

ASKED = {"red-circle": ["clip.red_circle"], "face": ["nudity.face"]}
DROPPED = Scene("lemmy", "a post", {"id": "https://remote.example/1"}, "drop", "red-circle")
PASSED = Scene("lemmy", "a post", {"id": "https://remote.example/1"}, pictures=1)


def medium(index: int, *frames: dict[str, float], first: int = 0, cached: bool = False) -> EntryMedium:
    judged = tuple(JudgedFrame(first + at, symbols) for at, symbols in enumerate(frames))
    return EntryMedium(index, f"https://remote.example/{index}.png", "image", "/x", frames=judged, cached=cached)


def entry(
    action: str, *media: EntryMedium, rule: str | None = None, cause: str | None = None, hits: tuple[Hit, ...] = ()
) -> Entry:
    at = datetime.now(UTC)
    return Entry("x", at, "inbox", action, "enforce", rule, cause, hits, media_count=len(media), media=media)


def dropped(status: int = 202, arrivals: tuple[Arrival, ...] = ()) -> Result:
    """Two pictures, the second one's third frame forbidden."""
    made = entry(
        "drop",
        medium(0, {"clip.pattern": 1.0, "clip.red_circle": 0.1}),
        medium(1, {"clip.pattern": 1.0}, {"clip.red_circle": 0.2}, {"clip.pattern": 0.98, "clip.red_circle": 0.93}),
        rule="red-circle",
        hits=(
            Hit(Action.RECORD, rule="red-circle", medium=0),
            Hit(Action.DROP, rule="red-circle", medium=1, frame=2),
        ),
    )
    return Result(DROPPED, status, 41.6, made, finding(made, ASKED), arrivals)


def arrival(pictures: int | None = 1, videos: int | None = 0) -> Arrival:
    return Arrival(PASSED.id, b"/inbox", [], b"{}", pictures, videos)


def passed(*arrivals: Arrival, cached: bool = False, changes: tuple[str, ...] = ()) -> Result:
    made = entry("pass", medium(0, {"clip.pattern": 0.98, "clip.red_circle": 0.01}, cached=cached))
    return Result(PASSED, 202, 120.0, made, finding(made, ASKED), arrivals, changes)


def undecodable() -> Result:
    made = entry("drop", medium(0), cause="undecodable", hits=(Hit(Action.DROP, cause=Cause.UNDECODABLE, medium=0),))
    return Result(Scene("a", "b", {"id": "x"}, "drop", "undecodable"), 202, 1.0, made, finding(made, ASKED))


def visited(visit: Visit, **more: Any) -> Visited:
    """This visit, and all is as it asks for. ``more``: fields of :class:`Gone` that are otherwise."""
    media = [] if visit.decided == "no-uploads" else [medium(0, {"clip.red_circle": 0.5})]
    made = entry(visit.action, *media, rule=visit.decided) if visit.ledger else None
    words = json.dumps({"error": "Not accepted (decision x). Ask us."}) if visit.told else ""
    sent, other = b"sent", b"another"
    wanted = {"intact": (sent,), "nothing": ()}.get(visit.arrives, (other,))
    gone = Gone(visit.status, 12.3, sent, wanted, words=words)
    return Visited(visit, replace(gone, **more), wanted, made, finding(made, ASKED) if made else None, "Ask us")
