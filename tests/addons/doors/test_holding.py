import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import pytest
from mitmproxy import http
from mitmproxy.test import tutils

from addons.activitypub.references import MediaRef
from addons.doors.assessing import Verdict, read
from addons.doors.deciding import Case, Decided
from addons.doors.heads import read_head
from addons.doors.holding import (
    Holding,
    awaited,
    carries_media,
    encodings_of,
    for_order,
    new_hold,
    stored_head,
)
from addons.holding.holder import LedgerTroubleError
from addons.holding.order import Ids
from addons.holding.pending import Index, Order
from addons.holding.upstream import Upstream
from addons.judging.looking import Scope
from addons.ledger.held import HoldFullError, HoldState, NewHold, Signer
from addons.policy.decide import Policy
from addons.policy.words import Action, Cause, Context, Decision, Hit, Medium
from tests.addons.holding.test_pending import KEYS, Kept

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
ACTOR = "https://remote.example/users/a"
NOTE = "https://remote.example/notes/1"
SIGNER = Signer("verified", "remote.example", f"{ACTOR}#main-key", NOON - timedelta(minutes=1))
HEAD = b"POST /inbox HTTP/1.1\r\nhOst: example.org\r\nDate: now\r\nX-A: 1\r\nx-a: 2\r\n"


def request(*fields: bytes) -> http.Request:
    lines = [*HEAD.split(b"\r\n")[:-1], *fields]
    return read_head(lines, sum(map(len, lines)) + 2 * len(lines) + 2)


def decided(*hits: Hit, images: tuple[str, ...] = (), media: tuple[Medium, ...] = (), **more: Any) -> Decided:
    attached = [{"type": "Image", "url": url} for url in images]
    note = {"type": "Note", "id": NOTE, "attachment": attached}
    body = json.dumps({"type": "Create", "id": f"{ACTOR}/1", "actor": ACTOR, "object": note} | more).encode()
    delivery = read(body, Scope())
    case = Case("1" * 20, body, delivery, "192.0.2.1", NOON, 0.0, 0.0, signer=SIGNER, share="host:remote.example")
    deciding = min(hits, key=lambda hit: hit.action.rank, default=None)
    decision = Decision(deciding.action if deciding else Action.PASS, deciding, hits)
    return Decided(case, Verdict(decision, Context("inbox", "remote.example", ACTOR)), media)


class Stored:
    def __init__(self, fails: Exception | None = None) -> None:
        self.new: list[NewHold] = []
        self.fails = fails

    async def hold(self, new: NewHold) -> None:
        if self.fails is not None:
            raise self.fails
        self.new.append(new)


def holding(
    stored: Stored, kept: Kept | None = None, *, up: bool = True, on: Mapping[str, str] = MappingProxyType({})
) -> Holding:
    actions = dict.fromkeys(Cause, Action.HOLD) | {Cause.LEDGER_ERROR: Action.PASS, Cause.HOLD_FULL: Action.DEFER}
    actions |= {Cause(name): Action(action) for name, action in on.items()}

    async def probe() -> bool:
        return up

    upstream = Upstream("http://127.0.0.1:1", probe, every=0)
    upstream.note(up)
    order = Order(kept or Kept(), Index())
    order.fill()
    return Holding(Policy((), actions), stored, order, upstream, timedelta(hours=1))


# -- what is stored ----------------------------------------------------------------------------------------------------


def test_the_head_is_stored_as_it_goes_to_the_server() -> None:
    assert stored_head(request(b"Content-Length: 7"), 7) == HEAD + b"Content-Length: 7\r\n\r\n"


@pytest.mark.parametrize("name", [b"Transfer-Encoding", b"transfer-encoding"])
def test_of_a_chunked_body_the_length_is_told(name: bytes) -> None:
    told = stored_head(request(name + b": chunked", b"X-B: 3"), 12)
    assert told == HEAD + b"X-B: 3\r\nContent-Length: 12\r\n\r\n"


def test_a_request_that_mitmproxy_made() -> None:
    made = tutils.treq(method=b"POST", path=b"/inbox")
    assert stored_head(made, 7).startswith(b"POST /inbox HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("fields", "encodings"),
    [
        ([], []),
        ([b"Content-Encoding: gzip"], ["gzip"]),
        ([b"content-encoding: br", b"Content-Encoding: gzip"], ["br", "gzip"]),
    ],
)
def test_the_encodings_that_a_stored_head_names(fields: list[bytes], encodings: list[str]) -> None:
    head = b"\r\n".join([b"POST / HTTP/1.1", *fields, b"X-Content-Encoding: no", b"", b""])
    assert [one.strip() for one in encodings_of(head)] == encodings


def test_a_hold_says_all_that_is_known() -> None:
    cause = Hit(Action.HOLD, cause=Cause.FETCH_FAILED, then="record")
    media = (Medium(MediaRef("https://a.example/1.png", "image", ""), cause=Cause.FETCH_FAILED),)
    new = new_hold(request(b"Content-Length: 7"), decided(cause, media=media), HoldState.JUDGING, timedelta(hours=1))
    assert (new.id, new.peer, new.arrived, new.share) == ("1" * 20, "192.0.2.1", NOON, "host:remote.example")
    assert (new.then, new.cause, new.rule, new.state) == ("record", "fetch_failed", None, HoldState.JUDGING)
    assert (new.closes, new.signer, new.host) == (NOON + timedelta(minutes=58), SIGNER, "remote.example")
    assert (new.activity_id, new.urls) == (f"{ACTOR}/1", ("https://a.example/1.png",))
    assert set(new.gives) == {f"{ACTOR}/1", NOTE, f"remote.example {ACTOR}/1", f"remote.example {NOTE}"}
    assert set(new.needs) == {f"remote.example {ACTOR}/1", f"remote.example {NOTE}"}


def test_which_urls_are_waited_for() -> None:
    ref = MediaRef("https://a.example/1.png", "image", "")
    media = [
        Medium(ref, cause=Cause.FETCH_FAILED, final_url="https://b.example/2.png"),
        Medium(ref, cause=Cause.TIMEOUT),
        Medium(replace(ref, url="https://a.example/3.png"), cause=Cause.UNDECODABLE),
    ]
    assert awaited(media) == ("https://a.example/1.png", "https://b.example/2.png")


@pytest.mark.parametrize(
    ("images", "scope", "carries"),
    [
        ((), Scope(), False),
        (("https://a.example/1.png",), Scope(), False),
        (("data:image/png;base64,AAAA",), Scope(), True),
        (("DATA:image/png;base64,AAAA",), Scope(), True),
        (("https://a.example/1.png", "https://a.example/2.png"), Scope(media=1), True),  # what is behind is not known
    ],
)
def test_what_carries_media(images: tuple[str, ...], scope: Scope, carries: bool) -> None:
    body = decided(images=images).case.raw
    assert carries_media(read(body, scope)) is carries


# -- whether it is stored ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hits", "state"),
    [
        ([Hit(Action.HOLD, cause=Cause.TIMEOUT, then="drop")], HoldState.JUDGING),
        ([Hit(Action.HOLD, rule="a", then="drop")], HoldState.WAITING),
        ([Hit(Action.HOLD, rule="a", then="drop"), Hit(Action.RECORD, cause=Cause.TOO_MANY)], HoldState.WAITING),
        # What is not judged yet may turn out worse than the rule says.
        ([Hit(Action.HOLD, rule="a", then="drop"), Hit(Action.HOLD, cause=Cause.TIMEOUT)], HoldState.JUDGING),
    ],
)
async def test_who_is_waited_for(hits: list[Hit], state: HoldState) -> None:
    stored = Stored()
    given = decided(*hits)
    assert await holding(stored).held(request(), given) == (given, True)
    assert [new.state for new in stored.new] == [state]


FAILURES: list[tuple[Exception | None, str]] = [
    (HoldFullError("count"), "hold_full"),
    (LedgerTroubleError("x"), "ledger_error"),
]


@pytest.mark.parametrize(("failure", "cause"), FAILURES)
@pytest.mark.parametrize(
    ("said", "action"),
    [("drop", Action.DROP), ("reject", Action.REJECT), ("defer", Action.DEFER), ("strip", Action.DROP), ("pass", None)],
)
async def test_what_cannot_be_stored(failure: Exception, cause: str, said: str, action: Action | None) -> None:
    door = holding(Stored(failure), on={cause: said})
    found, is_held = await door.held(request(), decided(Hit(Action.HOLD, cause=Cause.TIMEOUT, then="drop")))
    assert not is_held
    assert found.verdict.decision.cause == cause
    # Only ``hold_full`` may let by what was not judged, since the policy says so for that very cause.
    assert found.action is (action or (Action.PASS if cause == "hold_full" else Action.DEFER))


@pytest.mark.parametrize(("failure", "cause"), FAILURES)
async def test_what_a_rule_would_hold_is_not_let_by_because_it_cannot_be(failure: Exception, cause: str) -> None:
    door = holding(Stored(failure), on={cause: "pass"})
    found, is_held = await door.held(request(), decided(Hit(Action.HOLD, rule="a", then="drop")))
    assert (is_held, found.action) == (False, Action.DEFER)


async def test_what_else_was_decided_stands() -> None:
    door = holding(Stored(HoldFullError("bytes")), on={"hold_full": "pass"})
    hits = (Hit(Action.HOLD, cause=Cause.TIMEOUT, then="drop"), Hit(Action.DEFER, cause=Cause.BUSY))
    found, _ = await door.held(request(), decided(*hits))
    assert (found.action, found.verdict.decision.cause) == (Action.DEFER, Cause.BUSY)


async def test_nothing_is_stored_for_a_server_that_is_down() -> None:
    stored = Stored()
    down = holding(stored, Kept(a=KEYS), up=False)
    found, is_held = await down.held(request(), decided(Hit(Action.HOLD, cause=Cause.TIMEOUT, then="drop")))
    assert (is_held, found.action, found.verdict.decision.cause) == (False, Action.DEFER, Cause.TIMEOUT)
    assert not await down.behind(request(), decided())
    assert stored.new == []


# -- order -------------------------------------------------------------------------------------------------------------


async def test_what_is_permitted_waits_behind_what_is_held() -> None:
    stored = Stored()
    assert await holding(stored, Kept(a=KEYS)).behind(request(), decided())
    (new,) = stored.new
    assert (new.state, new.then, new.cause, new.rule) == (HoldState.REPLAYING, "record", None, None)


@pytest.mark.parametrize("up", [True, False])
async def test_who_waits_where_the_server_was_down(up: bool) -> None:
    door = holding(Stored(), Kept(a=KEYS), up=up)
    door.upstream.note(False)
    assert await door.behind(request(), decided()) is up


@pytest.mark.parametrize(
    "given",
    [
        decided(Hit(Action.DROP, rule="a")),
        decided(images=("data:image/png;base64,AAAA",)),
        replace(decided(), case=replace(decided().case, signer=Signer())),
        replace(decided(), case=replace(decided().case, delivery=replace(decided().case.delivery, ids=Ids()))),
    ],
)
async def test_what_does_not_wait(given: Decided) -> None:
    stored = Stored()
    assert not await holding(stored, Kept(a=KEYS)).behind(request(), given)
    assert stored.new == []


async def test_what_cannot_be_stored_goes_on_out_of_order() -> None:
    assert not await holding(Stored(HoldFullError("count")), Kept(a=KEYS)).behind(request(), decided())


def test_what_is_held_for_order_alone_says_so() -> None:
    found = for_order(decided(Hit(Action.RECORD, rule="a"))).verdict.decision
    assert (found.action, found.rule, found.cause, found.then) == (Action.HOLD, None, None, "drop")
    assert [hit.rule for hit in found.hits] == ["a"]
