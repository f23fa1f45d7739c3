"""Refusals of uploads and posts, in the error JSON of the server that the client believes it speaks to."""

import json
from dataclasses import dataclass

from mitmproxy import http

from addons.doors.upload_table import PICTRS

_MISSKEY_ID = "4d3ae3dd-0f4b-4a7c-8d47-0a86f1b6d1f3"
"""Ours: Misskey's client shows other words than ours for the ids that it knows."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request goes no further: ``status`` 400 (malformed), 413 (too large), 415 (encoded), 422 (not accepted),
    503 (not decided yet), and words for its user, which never say which rule."""

    status: int
    message: str


def refused(what: str, id: str, contact: str | None) -> Refusal:
    """It was not accepted. ``what``: image, post; ``id``: the decision's."""
    ask = f" Ask {contact}." if contact else ""
    return Refusal(422, f"This {what} was not accepted (decision {id}).{ask}")


def undecided(what: str, id: str, contact: str | None) -> Refusal:
    """Nothing was decided in time."""
    ask = f" If this goes on, ask {contact}." if contact else ""
    return Refusal(503, f"This {what} could not be looked at yet (decision {id}). Please try again in a minute.{ask}")


def malformed(reason: str) -> Refusal:
    """It cannot be read as every server would read it."""
    return Refusal(400, f"This request was not accepted: {reason}.")


def answer(refusal: Refusal, software: str, path: str, accept: str = "") -> http.Response:
    """The response. ``path`` as :func:`addons.doors.upload_paths.canonical` gives it; ``accept``: the request's Accept
    header: a browser that submitted a form is given plain words."""
    headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    if "text/html" in accept and "json" not in accept:
        headers["Content-Type"] = "text/plain; charset=utf-8"
        return http.Response.make(refusal.status, refusal.message.encode(), headers)
    status = refusal.status
    if status == 422 and software in ("lemmy", "misskey", "piefed", PICTRS):
        status = 400  # theirs for everything of the kind
    if software == "peertube":
        headers["Content-Type"] = "application/problem+json"
    return http.Response.make(status, json.dumps(_body(refusal.message, status, software, path)).encode(), headers)


def _body(message: str, status: int, software: str, path: str) -> dict[str, object]:
    if software == PICTRS or path.startswith("/pictrs/"):  # Lemmy 0.19 relays pict-rs's own
        return {"msg": message, "error": message, "code": "validate-file"}
    if software == "lemmy":
        return {"error": message, "message": message} if path.startswith("/api/v4/") else {"error": message}
    if software == "misskey":
        return {"error": {"message": message, "code": "NOT_ACCEPTED", "id": _MISSKEY_ID, "kind": "client"}}
    if software == "peertube":  # RFC 7807
        problem = {"type": "about:blank", "title": "Not accepted", "detail": message, "status": status}
        return {**problem, "error": message}
    if software in ("mbin", "piefed", "pixelfed", "generic"):
        return {"message": message, "error": message}
    return {"error": message}
