import pytest

from addons.judging.gate import Passage
from addons.policy.words import Action, Cause, Decision, Hit
from addons.web.telling import REASON, headers, reason


@pytest.mark.parametrize(
    ("hit", "expected"),
    [
        (None, "nothing applied"),
        (Hit(Action.DROP, rule="known"), "rule known"),
        (Hit(Action.DROP, cause=Cause.TOO_LARGE), "cause too_large"),
        (Hit(Action.DROP, blocked="0123"), "blocked by 0123"),
        (Hit(Action.PASS, allowed="ours"), "allowed by ours"),
        (Hit(Action.DROP, rule="a\r\nb: c\x00é\x7f"), "rule a??b: c???"),
        (Hit(Action.DROP, rule="x" * 1000), "rule " + "x" * (REASON - 6) + "?"),
    ],
)
def test_a_reason_fits_a_header(hit: Hit | None, expected: str) -> None:
    found = reason(Passage("1", Decision(Action.DROP, hit)))
    assert found == expected
    assert found.isascii()
    assert found.isprintable()


def test_what_was_not_written_down_has_no_id() -> None:
    assert headers(Passage("", Decision(Action.PASS))) == {"X-Fediward-Reason": "nothing applied"}
    assert headers(Passage("1", Decision(Action.PASS)))["X-Fediward-Decision"] == "1"
