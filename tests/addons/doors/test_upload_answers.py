import json
from typing import Any

import pytest

from addons.doors.upload_answers import Refusal, answer, malformed, refused, undecided

REFUSED = refused("image", "01abc", "admin@example.org")
WORDS = "This image was not accepted (decision 01abc). Ask admin@example.org."


def test_words() -> None:
    assert Refusal(422, WORDS) == REFUSED
    assert refused("post", "01abc", None).message == "This post was not accepted (decision 01abc)."
    later = undecided("image", "01abc", "me")
    assert later.status == 503
    assert later.message.startswith("This image could not be looked at yet (decision 01abc). Please try again")
    assert malformed("it has no end") == Refusal(400, "This request was not accepted: it has no end.")


@pytest.mark.parametrize(
    ("software", "path", "status", "body"),
    [
        ("lemmy", "/api/v3/post", 400, {"error": WORDS}),
        ("lemmy", "/api/v4/image", 400, {"error": WORDS, "message": WORDS}),
        ("lemmy", "/pictrs/image", 400, {"msg": WORDS, "error": WORDS, "code": "validate-file"}),
        ("pict-rs", "/image", 400, {"msg": WORDS, "error": WORDS, "code": "validate-file"}),
        ("mastodon", "/api/v1/media", 422, {"error": WORDS}),
        ("gotosocial", "/api/v1/media", 422, {"error": WORDS}),
        ("akkoma", "/api/v1/media", 422, {"error": WORDS}),
        ("mbin", "/api/magazine/1/image", 422, {"message": WORDS, "error": WORDS}),
        ("piefed", "/api/alpha/upload/image", 400, {"message": WORDS, "error": WORDS}),
        ("pixelfed", "/api/v1/media", 422, {"message": WORDS, "error": WORDS}),
        ("generic", "/x", 422, {"message": WORDS, "error": WORDS}),
    ],
)
def test_each_servers_own_error(software: str, path: str, status: int, body: dict[str, Any]) -> None:
    response = answer(REFUSED, software, path)
    assert response.status_code == status
    assert json.loads(response.content or b"") == body
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"


def test_misskey() -> None:
    response = answer(REFUSED, "misskey", "/api/drive/files/create")
    error = json.loads(response.content or b"")["error"]
    assert (response.status_code, error["message"], error["code"]) == (400, WORDS, "NOT_ACCEPTED")
    assert set(error) == {"message", "code", "id", "kind"}


def test_peertube() -> None:
    response = answer(REFUSED, "peertube", "/api/v1/videos/upload")
    problem = json.loads(response.content or b"")
    assert (problem["type"], problem["status"], problem["detail"]) == ("about:blank", 422, WORDS)
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("status", [400, 413, 415, 503])
@pytest.mark.parametrize("software", ["lemmy", "misskey", "mastodon"])
def test_other_statuses_stay(software: str, status: int) -> None:
    assert answer(Refusal(status, "no"), software, "/").status_code == status


@pytest.mark.parametrize(
    ("accept", "plain"),
    [
        ("text/html,application/xhtml+xml;q=0.9", True),
        ("application/json, text/html", False),
        ("*/*", False),
        ("", False),
    ],
)
def test_a_browser_that_submits_a_form_is_given_words(accept: str, plain: bool) -> None:
    response = answer(REFUSED, "mbin", "/new", accept)
    assert (response.content == WORDS.encode()) == plain
    assert response.headers["content-type"].startswith("text/plain" if plain else "application/json")
