"""What a door answers for an action: DESIGN.md's table as one function a door."""

import json

from mitmproxy import http

from addons.policy.words import Action

_JSON = {"Content-Type": "application/json"}


def refusal(status: int, message: str) -> http.Response:
    """An error whose JSON body says ``message`` and nothing of rules: some senders show it to their users."""
    return http.Response.make(status, json.dumps({"error": message}).encode(), _JSON)


def unstored(status: int, message: str) -> http.Response:
    """An error that is stored nowhere."""
    answer = refusal(status, message)
    answer.headers["Cache-Control"] = "no-store"
    return answer


def accepted() -> http.Response:
    """What was taken in, or is to be taken for it: nobody can tell a hold from a drop by it."""
    return http.Response.make(202, b"")


def inbox_answer(action: Action) -> http.Response | None:
    """The answer to a delivery; None: forward it.

    202 is the safest way to swallow one: 4xx makes some senders try again, 410 and 418 end federation, and of the 5xx
    only 503 is ever given, for ``defer`` (reference sections 0 and 3). There is no Retry-After: the one server that
    reads it would give up sooner. A ``hold`` has the answer of ``defer`` until it is stored; then :func:`accepted`.
    """
    if action is Action.DROP:
        return accepted()
    if action is Action.REJECT:
        return refusal(403, "this activity is not accepted here")
    if action in (Action.DEFER, Action.HOLD):
        return refusal(503, "not now, please try again later")
    return None
