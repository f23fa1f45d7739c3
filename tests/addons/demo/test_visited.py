from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from addons.demo.scenes import Script
from addons.demo.visits import Visit, visits
from tests.addons.demo.results import visited

VISITS = visits(Script("http://127.0.0.1:1", "http://127.0.0.1:1/actor"), "https://127.0.0.1:2")


def by(carries: str) -> Visit:
    return next(visit for visit in VISITS if visit.carries == carries)


STRIPPED, UPLOAD = by("fetches a profile, its avatar forbidden"), by("a user's upload, forbidden")
KEPT, FINE = by("has pict-rs proxy a forbidden picture"), by("fetches an ordinary picture")


@pytest.mark.parametrize("visit", VISITS, ids=lambda visit: f"{visit.door}: {visit.carries}")
def test_what_is_as_the_visit_asks_is_right(visit: Visit) -> None:
    result = visited(visit)
    assert result.problems() == []
    assert result.right
    assert result.decided == visit.decided


@pytest.mark.parametrize(
    ("visit", "got"), [(FINE, "intact"), (KEPT, "a placeholder"), (STRIPPED, "no picture in it"), (UPLOAD, "nothing")]
)
def test_what_arrived_in_words(visit: Visit, got: str) -> None:
    assert visited(visit).got == got
    assert visited(visit, arrived=(b"a third",)).got == "something else"
    assert visited(visit, arrived=(b"sent",)).got == "intact"


@pytest.mark.parametrize(
    ("visit", "more", "problem"),
    [
        (FINE, {"status": 503}, "the answer: 503, not 200"),
        (FINE, {"arrived": ()}, "what arrived: nothing, not intact"),
        (FINE, {"arrived": (b"sent", b"sent")}, "2 files arrived, not the 1 that may"),
        (FINE, {"changes": ("headers",)}, "the headers arrived changed"),
        (KEPT, {"arrived": (b"sent",)}, "what arrived: intact, not a placeholder"),
        (STRIPPED, {"arrived": (b"sent",)}, "what arrived: intact, not no picture in it"),
        (UPLOAD, {"arrived": (b"sent",)}, "what arrived: intact, not nothing"),
        (UPLOAD, {"words": '{"error": "No."}'}, "the refusal does not say whom to ask about which decision: "),
        (UPLOAD, {"words": "[]"}, "the refusal does not say whom to ask about which decision: '[]'"),
        (UPLOAD, {"words": '{"error": 1}'}, "the refusal does not say whom to ask about which decision: "),
        (UPLOAD, {"words": "no JSON"}, "the refusal does not say whom to ask about which decision: 'no JSON'"),
    ],
)
def test_what_is_not_is_named(visit: Visit, more: Mapping[str, Any], problem: str) -> None:
    result = visited(visit, **more)
    assert any(told.startswith(problem) for told in result.problems())
    assert not result.right


def test_what_the_ledger_says_otherwise_is_named() -> None:
    result = visited(KEPT)
    assert result.entry is not None
    assert "in the ledger: False, not True" in replace(result, entry=None).problems()
    other = replace(result, entry=replace(result.entry, action="reject", rule=None, cause="timeout"))
    assert other.problems() == ["the action: reject, not drop", "what decided: timeout, not red-circle"]


def test_only_who_was_refused_was_told_something() -> None:
    assert visited(UPLOAD).refusal == "Not accepted (decision x). Ask us."
    assert visited(KEPT).refusal is None
