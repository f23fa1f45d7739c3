import contextlib
import itertools
from dataclasses import replace
from datetime import timedelta

import pytest

from addons.ledger.clean import key
from addons.ledger.held import Bounds, HoldFullError, HoldState, Outcome, Signer
from addons.ledger.holds import Holds
from tests.addons.ledger.deliveries import (
    ANY,
    BOUNDS,
    HEAD,
    LEASE,
    REPLAYING,
    SECOND,
    Clock,
    claim,
    ids,
    new,
    rows,
    verified,
)
from tests.addons.ledger.samples import NOW

HOUR = timedelta(hours=1)
UNVERIFIED = Signer(reason="no signature")


def put(holds: Holds, id: str, **changes: object) -> None:
    assert holds.put(new(id, **changes), BOUNDS)


def test_what_is_put_comes_back_byte_for_byte(holds: Holds) -> None:
    given = new(
        "one",
        head=b"POST /i\xff HTTP/1.1\r\nX: \x00\xfe\r\n\r\n",
        body=bytes(range(256)),
        then="record",
        signer=replace(verified(), reason="fine"),
        rule="r",
        activity_id="https://a.example/1",
        host="a.example",
        gives=("https://a.example/1", "https://a.example/n"),
        needs=("https://a.example/n",),
        urls=("https://cdn.example/x.png",),
    )
    assert holds.put(given, BOUNDS)
    [held] = claim(holds)
    assert (held.seq > 0, held.attempts, held.unjudged) == (True, 0, False)
    for name in type(given).__dataclass_fields__:
        assert getattr(held, name) == getattr(given, name), name


@pytest.mark.parametrize(
    ("changes", "stored"),
    [
        ({}, False),
        ({"head": HEAD.replace(b"Signature: x", b"Signature: y")}, False),
        ({"peer": "203.0.113.9"}, False),
        ({"body": b"{}"}, True),
        ({"head": HEAD.replace(b"/inbox", b"/u/1/inbox")}, True),
        ({"signer": verified("b.example")}, True),
        ({"signer": UNVERIFIED}, True),
    ],
)
def test_a_second_one_of_the_same_is_not_stored(holds: Holds, changes: dict[str, object], stored: bool) -> None:
    first = new("one")
    assert holds.put(first, BOUNDS)
    assert holds.put(new("two", **{"body": first.body} | changes), BOUNDS) is stored
    assert holds.totals().count == 1 + stored


def test_of_strangers_each_peer_counts_for_itself(holds: Holds) -> None:
    first = new("one", signer=UNVERIFIED)
    assert holds.put(first, BOUNDS)
    assert not holds.put(replace(first, id="two"), BOUNDS)
    assert holds.put(replace(first, id="three", peer="203.0.113.9"), BOUNDS)


def test_the_same_may_come_again_when_the_first_is_over(holds: Holds) -> None:
    first = new("one")
    assert holds.put(first, BOUNDS)
    assert holds.end("one", None, Outcome.REPLAYED, "", NOW)
    assert not holds.put(first, BOUNDS)  # this very one: its commit's answer may have been lost
    assert holds.put(replace(first, id="two"), BOUNDS)


@pytest.mark.parametrize(
    ("bounds", "others", "which"),
    [
        (Bounds(count=3), 0, "count"),
        (Bounds(host_count=3), 0, "host_count"),
        (Bounds(bytes=400), 0, "bytes"),
        (Bounds(host_bytes=400), 0, "host_bytes"),
        (Bounds(count=6), 3, "count"),
        (Bounds(bytes=700), 3, "bytes"),
    ],
)
def test_bounds_at_and_past(holds: Holds, bounds: Bounds, others: int, which: str) -> None:
    body = b"x" * (100 - len(HEAD))
    for number in range(others):
        held = new(f"o{number}", head=b"%d" % number + HEAD[1:], body=body, signer=verified(f"b{number}.example"))
        assert holds.put(held, bounds)
    for number in range(3):
        share = "host:a.example" if "host" in which else f"host:a{number}.example"
        assert holds.put(new(str(number), head=b"%d" % number + HEAD[1:], body=body, share=share), bounds)
    over = body if "count" in which else body + b"x"
    last = new("last", head=b"L" + HEAD[1:], body=over)
    with pytest.raises(HoldFullError) as caught:
        holds.put(last, bounds)
    assert caught.value.which == which
    assert holds.totals().count == others + 3
    if "bytes" in which:
        assert holds.put(new("fits", head=b"F" + HEAD[1:], body=body), bounds)
    else:
        assert holds.end("0", None, Outcome.REPLAYED, "", NOW)
        assert holds.put(last, bounds)


@pytest.mark.parametrize("bounds", [Bounds(count=100, host_count=25), Bounds(bytes=10_000, host_bytes=2_500)])
def test_not_even_the_hosts_of_a_whole_domain_leave_no_room(holds: Holds, bounds: Bounds) -> None:
    body, numbers = b"x" * (100 - len(HEAD)), itertools.count(100)
    for _ in range(25):
        for host in range(9):
            held = new(str(next(numbers)), body=b"%d" % next(numbers) + body[3:], signer=verified(f"h{host}.a.example"))
            with contextlib.suppress(HoldFullError):
                holds.put(held, bounds)
    assert 80 < holds.totals().count < 95
    for number in range(5):
        assert holds.put(new(f"o{number}", body=b"%d" % number + body[1:], signer=verified("b.example")), bounds)


def test_what_is_there_already_is_no_reason_to_say_full(holds: Holds) -> None:
    assert holds.put(new("one"), Bounds(count=1))
    assert not holds.put(new("one"), Bounds(count=1))


@pytest.mark.parametrize("state", ["unverified", "unverifiable"])
def test_all_strangers_together_have_a_small_part(holds: Holds, state: str) -> None:
    bounds = Bounds(count=20, unverified=0.1)

    def another(number: int) -> bool:
        signer = Signer(state, None)  # type: ignore[arg-type]  # one of its two words
        return holds.put(new(str(number), signer=signer, share=f"{state}:{number}", peer=str(number)), bounds)

    assert another(0)
    assert another(1)
    if state == "unverifiable":  # proves nothing, but for no fault of its own
        assert another(2)
        return
    with pytest.raises(HoldFullError) as caught:
        another(2)
    assert caught.value.which == "unverified"
    assert holds.put(new("verified"), bounds)


def test_strangers_have_a_small_part_of_the_bytes_and_room_for_one(holds: Holds) -> None:
    body = b"x" * (100 - len(HEAD))
    assert holds.put(new("0", signer=UNVERIFIED, body=body), Bounds(bytes=150))
    with pytest.raises(HoldFullError) as caught:
        holds.put(new("1", signer=UNVERIFIED, body=body[1:]), Bounds(bytes=1500))
    assert caught.value.which == "unverified"
    assert holds.put(new("1", signer=UNVERIFIED, body=body[1:]), Bounds(bytes=1990))


def test_a_hold_ends_once(holds: Holds, there: str) -> None:
    put(holds, "one", gives=("g",), needs=("n",), urls=("https://x.example/1",))
    assert (rows(there, "hold_bytes"), rows(there, "hold_ids")) == (1, 3)
    claim(holds, "w")
    assert not holds.end("one", "other", Outcome.REPLAYED, "", NOW)
    assert holds.end("one", "w", Outcome.REPLAYED, "200", NOW + SECOND)
    assert (rows(there, "hold_bytes"), rows(there, "hold_ids")) == (0, 0)
    for worker in ("w", None):
        assert not holds.end("one", worker, Outcome.DROPPED, "", NOW)
    assert not holds.end("none", None, Outcome.DROPPED, "", NOW)
    record = holds.get("one")
    assert record is not None
    assert (record.state, record.outcome, record.detail) == (HoldState.OVER, Outcome.REPLAYED, "200")
    assert (record.ended, record.worker, record.lease) == (NOW + SECOND, None, None)
    assert claim(holds, states=ANY, after=HOUR * 2) == []


def test_it_is_withdrawn_whoever_has_it(holds: Holds) -> None:
    put(holds, "one", gives=("g",))
    put(holds, "two", gives=("h",))
    claim(holds, "w")
    assert holds.end("one", None, Outcome.WITHDRAWN, "", NOW)
    assert holds.renew(["one", "two"], "w", NOW, LEASE) == {"two"}
    assert not holds.retry("one", "w", NOW)
    assert not holds.permit("one", "w")
    assert not holds.end("one", "w", Outcome.REPLAYED, "", NOW)
    assert holds.pending_concerning(["g"]) == []


def test_permit(holds: Holds) -> None:
    put(holds, "one", urls=("https://x.example/1",))
    claim(holds, "w")
    assert not holds.permit("one", "other")
    assert holds.permit("one", "w", unjudged=True, detail="why")
    assert not holds.permit("one", None)
    assert not holds.end("one", "w", Outcome.REPLAYED, "", NOW)  # whoever replays claims it anew
    assert claim(holds) == []
    [held] = claim(holds, "r", states=REPLAYING)
    assert (held.state, held.attempts, held.unjudged) == (HoldState.REPLAYING, 0, True)
    assert holds.end("one", "r", Outcome.REPLAYED, "204", NOW)
    assert (record := holds.get("one")) is not None
    assert record.detail == "why; 204"


def test_who_waits_for_a_person_is_due_when_its_window_closes(holds: Holds) -> None:
    put(holds, "one", state=HoldState.WAITING, rule="r", cause=None)
    assert claim(holds, states=ANY, after=HOUR - SECOND) == []
    assert holds.permit("one", None)
    assert ids(claim(holds, states=REPLAYING)) == ["one"]
    assert holds.end("one", "w", Outcome.REPLAYED, "", NOW)
    put(holds, "two", state=HoldState.WAITING)
    [held] = claim(holds, states=ANY, after=HOUR)
    assert (held.id, held.state) == ("two", HoldState.WAITING)


def test_retry(holds: Holds, clock: Clock) -> None:
    put(holds, "one", urls=("https://x.example/old",))
    claim(holds)
    assert not holds.retry("one", "other", NOW + SECOND)
    assert holds.retry("one", "w", NOW + SECOND, ["https://x.example/1"], then="record", cause="fetch_failed")
    assert claim(holds) == []
    [held] = claim(holds, after=SECOND)
    assert (held.attempts, held.then, held.cause, held.urls) == (1, "record", "fetch_failed", ("https://x.example/1",))
    assert holds.retry("one", "w", NOW + 2 * HOUR)  # not past its close
    [held] = claim(holds, after=HOUR)
    assert (held.attempts, held.cause, held.urls) == (2, "fetch_failed", ("https://x.example/1",))
    clock.now += HOUR + SECOND  # nor where it closed while it was judged
    assert holds.retry("one", "w", NOW + 2 * HOUR, [], rule="r", state=HoldState.WAITING)
    [held] = claim(holds, states=ANY, after=HOUR)
    assert (held.state, held.attempts, held.cause, held.rule, held.urls) == (HoldState.WAITING, 0, None, "r", ())


def test_what_is_permitted_may_be_tried_past_its_close(holds: Holds) -> None:
    put(holds, "one", state=HoldState.REPLAYING)
    claim(holds, states=REPLAYING)
    assert holds.retry("one", "w", NOW + HOUR + SECOND)
    assert claim(holds, states=REPLAYING, after=HOUR) == []
    assert ids(claim(holds, states=REPLAYING, after=HOUR + SECOND)) == ["one"]


def test_given_back_it_is_free_at_once_and_was_not_tried(holds: Holds) -> None:
    put(holds, "one")
    claim(holds, "w")
    holds.give_back(["one"], "other")
    assert claim(holds, "v") == []
    holds.give_back(["one", "none"], "w")
    [held] = claim(holds, "v")
    assert held.attempts == 0


@pytest.mark.parametrize(
    ("seen", "woken"),
    [
        ("https://x.example/1", 1),
        ("HTTPS://X.example:443/1#top", 1),
        ("https://x.example/2", 0),
        ("https://x.example/\x00\ud800", 0),
        ("x" * 100_000, 0),
        ("", 0),
    ],
)
def test_a_url_that_is_seen_wakes_who_waits_for_it(holds: Holds, seen: str, woken: int) -> None:
    put(holds, "one", urls=("https://x.example/1",))
    put(holds, "two", urls=("https://x.example/1",), state=HoldState.WAITING)
    put(holds, "three", urls=())
    claim(holds)
    for id in ("one", "three"):
        holds.retry(id, "w", NOW + HOUR / 2)
    assert holds.awaiting(seen, NOW + SECOND) == woken
    assert len(claim(holds, after=SECOND)) == woken


def test_pending_ones_are_found_by_what_they_give(holds: Holds) -> None:
    put(holds, "one", gives=("a", "b"), needs=("c",))
    put(holds, "two", gives=("b",), signer=UNVERIFIED)
    put(holds, "three", gives=("d",), urls=("b",))
    found = holds.pending_concerning(["c", "b", "a", "b"])
    assert [(one.id, one.signer_state, one.signer_host, one.gives) for one in found] == [
        ("one", "verified", "a.example", ("a", "b")),
        ("two", "unverified", None, ("b",)),
    ]
    assert holds.pending_concerning([]) == []
    found_ids = {id: set(keys) for id, keys in holds.pending_ids().items()}
    assert found_ids == {"one": {key("a"), key("b")}, "two": {key("b")}, "three": {key("d")}}
    holds.end("one", None, Outcome.DROPPED, "", NOW)
    assert ids(holds.pending_concerning(["a", "b"])) == ["two"]
    assert holds.pending_ids() == {"two": (key("b"),), "three": (key("d"),)}


def test_totals(holds: Holds) -> None:
    assert holds.totals().count == 0
    put(holds, "one", arrived=NOW - HOUR)
    put(holds, "two", state=HoldState.WAITING)
    put(holds, "three", signer=verified("b.example"))
    put(holds, "over", arrived=NOW - 2 * HOUR)
    holds.end("over", None, Outcome.DROPPED, "", NOW)
    totals = holds.totals()
    assert totals.count == 3
    assert totals.bytes == 3 * len(HEAD) + len('{"id": ""}') * 3 + len("onetwothree")
    assert totals.by_state == {HoldState.JUDGING: 2, HoldState.WAITING: 1}
    assert totals.oldest == NOW - HOUR
    assert list(totals.by_share.items()) == [("host:a.example", 2), ("host:b.example", 1)]


@pytest.mark.parametrize("evil", ["\x00\ud800\u202e", "x" * 100_000, "ü" * 5000, ""])
def test_hostile_texts_are_stored(holds: Holds, evil: str) -> None:
    signer = Signer("verified", evil, evil, None, evil)
    put(holds, "one", signer=signer, share=evil, peer=evil, rule=evil, cause=evil, activity_id=evil, host=evil,
        gives=[evil, *map(str, range(1000))], needs=[evil] * 3, urls=[evil, "data:image/png;base64,AAAA"])  # fmt: skip
    [held] = claim(holds, evil)
    assert len(held.gives) <= 256
    assert all(len(one) <= 4096 for one in (*held.gives, *held.needs, *held.urls))
    assert not any("data:" in url for url in held.urls)
    assert len(holds.pending_concerning([evil, "0"])) == 1
    assert holds.awaiting(evil, NOW) == 0
    assert holds.get(evil[:100]) is None
    assert holds.end("one", None, Outcome.DROPPED, evil, NOW)
