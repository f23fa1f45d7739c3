import json

import pytest

from addons.doors.answers import accepted, inbox_answer, refusal
from addons.policy.words import Action


@pytest.mark.parametrize(
    ("action", "status"),
    [
        (Action.DROP, 202),
        (Action.REJECT, 403),
        (Action.DEFER, 503),
        (Action.HOLD, 503),  # until it is stored
        (Action.RECORD, None),
        (Action.PASS, None),
    ],
)
def test_the_answer_to_a_delivery(action: Action, status: int | None) -> None:
    answer = inbox_answer(action)
    assert (answer.status_code if answer else None) == status


def test_a_hold_is_answered_like_a_drop() -> None:
    dropped = inbox_answer(Action.DROP)
    assert dropped is not None
    assert (accepted().data.status_code, accepted().headers, accepted().content) == (
        dropped.data.status_code,
        dropped.headers,
        dropped.content,
    )


def test_no_answer_ends_federation_or_names_a_rule() -> None:
    for action in Action:
        if (answer := inbox_answer(action)) is not None:
            assert answer.status_code not in (410, 418)
            assert "retry-after" not in answer.headers
            if answer.content:
                assert list(json.loads(answer.content)) == ["error"]
                assert b"rule" not in answer.content


@pytest.mark.parametrize("message", ["plain", 'with "quotes" and \\ \\" more', "a\nline\tbreak\0", "é ☃ \ud800", ""])
def test_a_refusal_is_json_whatever_its_message(message: str) -> None:
    answer = refusal(400, message)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-length"] == str(len(answer.raw_content or b""))
    assert json.loads(answer.raw_content or b"") == {"error": message}
