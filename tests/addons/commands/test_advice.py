from dataclasses import replace
from datetime import timedelta

import pytest

from addons.commands.advice import POSTS, advice, why_not
from addons.ledger import EntryMedium
from addons.ledger.undoing import Found
from addons.policy.words import Action, Cause, Decision, Hit
from tests.addons.ledger.samples import NOW, entry

MEDIUM = EntryMedium(0, "https://a.example/x.png", "image", "/")


@pytest.mark.parametrize(
    ("medium", "others", "words"),
    [
        (MEDIUM, False, "was never fetched"),
        (MEDIUM, True, None),
        (replace(MEDIUM, sha256="parts:" + "ab" * 29), True, "was judged in parts"),
        *((replace(MEDIUM, cause=str(cause)), True, "has no SHA-256") for cause in Cause),
        (replace(MEDIUM, cause="busy"), False, "it is judged when it comes again"),
        (replace(MEDIUM, cause="too_large"), False, "under `on:` (too_large)"),
    ],
)
def test_why_a_medium_cannot_be_allowed(medium: EntryMedium, others: bool, words: str | None) -> None:
    told = why_not(medium, others)
    assert len(told) == (words is not None)
    assert (words or "") in "".join(told)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({}, True),
        ({"mode": "observe"}, False),
        ({"decision": Decision(Action.STRIP, hit := Hit(Action.STRIP, rule="r", medium=0), (hit,))}, False),
        ({"decision": Decision(Action.REJECT, hit := Hit(Action.REJECT, rule="r", medium=0), (hit,))}, True),
        ({"walk": None}, False),
    ],
)
def test_posts_that_did_not_get_in_are_named(changes: dict[str, object], named: bool) -> None:
    one = entry(id="one", **changes)
    told = "\n".join(advice(None, Found(decisions={"one": one}), tried=False))
    assert ("https://a.example/n/1 (decision one)" in told) is named


@pytest.mark.parametrize("over", [0, 1])
def test_only_so_many_posts_are_named(over: int) -> None:
    every = {str(n): entry(id=str(n), started=NOW + n * timedelta(seconds=1)) for n in range(POSTS + over)}
    told = advice(None, Found(decisions=every), tried=False)
    assert sum("(decision " in line for line in told) == POSTS
    assert ("  … and 1 older ones (--json has all)" in told) is bool(over)
