"""Entries for the ledger's tests, and a way to wait for the writer."""

import time
from datetime import UTC, datetime
from typing import Any

from addons.activitypub.references import MediaRef, Walk
from addons.ledger import Entry, Ledger
from addons.policy.words import Action, Cause, Context, Decision, Hit, Medium
from classifier import HashMatch, JudgedFrame, Judgement

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
WALK = Walk(
    (), (), (), ("Create", "Note"), "https://a.example/act/1", "https://a.example/u/eve", "https://a.example/n/1"
)
CONTEXT = Context("inbox", "a.example", "https://a.example/u/eve", ("Create", "Note"), "lemmy")
MATCH = HashMatch("ours", "pdq", "cd" * 32, 12, "a drawn square", "note", 3)
JUDGED = Judgement(
    "ab" * 32,
    "image/gif",
    640,
    480,
    (JudgedFrame(0, {"clip.minor": 0.25}, None), JudgedFrame(3, {"clip.minor": 0.75, "hash.ours": 1.0}, "cd" * 32)),
    "clip-1",
    (MATCH,),
)
GOOD = Medium(
    MediaRef("https://a.example/x.gif", "image", "/object/attachment/0/url", True),
    judgement=JUDGED,
    address="203.0.113.9",
    final_url="https://cdn.a.example/x.gif",
    took_ms=12.5,
)
FAILED = Medium(
    MediaRef("https://b.example/y.png", "inline", "/object/content"), cause=Cause.TIMEOUT, message="too slow"
)
RULE = Hit(Action.DROP, rule="forbidden", medium=0, frame=3)
CAUSE = Hit(Action.RECORD, cause=Cause.TIMEOUT, medium=1)
DROP = Decision(Action.DROP, RULE, (CAUSE, RULE))
BODY = b'{"type": "Create"}'


def entry(**changes: Any) -> Entry:
    """An entry of :data:`DROP`, with some of ``Entry.of``'s arguments changed."""
    given: dict[str, Any] = {
        "decision": DROP,
        "context": CONTEXT,
        "media": (GOOD, FAILED),
        "walk": WALK,
        "peer": "198.51.100.7",
        "started": NOW,
        "took": 0.25,
        "policy_version": "policy-1",
        "engine_version": "engine-1",
        "mode": "enforce",
        "body": BODY,
    } | changes
    return Entry.of(**given)


def settle(ledger: Ledger, *, within: float = 20.0) -> None:
    """Wait until nothing waits to be written."""
    deadline = time.monotonic() + within
    while ledger.waiting:
        assert time.monotonic() < deadline, f"{ledger.waiting} entries still wait: {ledger.trouble}"
        time.sleep(0.01)


def write(url: str, *entries: Entry, **options: Any) -> None:
    """Open the ledger, write, close; at :data:`NOW`, for else it would prune what is older by the day of the test."""
    with Ledger.open(url, **{"clock": lambda: NOW} | options) as ledger:
        for one in entries:
            assert ledger.write(one)
