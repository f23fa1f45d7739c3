import json
from dataclasses import replace
from typing import Any

import pytest

from addons.activitypub.parsing import MalformedActivityError
from addons.doors.assessing import (
    SPEAKERS,
    Scope,
    as_drop,
    host_of,
    read,
    stripped,
    unread,
    with_media,
    without_media,
)
from addons.policy.conditions import NotOf, OneOf, SymbolTest
from addons.policy.decide import STRIPS, Policy
from addons.policy.rules import Rule
from addons.policy.words import Action, Cause, Decision, Hit, Medium
from classifier import JudgedFrame, Judgement

A, B = "https://a.example/u", "https://b.example/u"
DEFER = dict.fromkeys(Cause, Action.DEFER)


def by(*hosts: str) -> OneOf:
    return OneOf("host", hosts)


def policy(*rules: Rule, **on: Action) -> Policy:
    return Policy(rules, DEFER | {Cause(cause): action for cause, action in on.items()})


def note(actor: str, *urls: str, kind: str = "Create") -> dict[str, Any]:
    return {"type": kind, "actor": actor, "object": {"type": "Note", "attachment": [{"url": url} for url in urls]}}


def judged(delivery: Any, **symbols: float) -> list[Medium]:
    judgement = Judgement("0" * 64, "image/png", 1, 1, (JudgedFrame(0, symbols),), "1")
    return [Medium(ref, judgement=judgement) for ref in delivery.media]


KNOWN = Rule("known", SymbolTest("hash.ours", ">=", 1), Action.DROP)
URL = "https://remote.example/a.png"


@pytest.mark.parametrize(
    ("iri", "host"),
    [
        ("https://Remote.Example:8080/u", "remote.example"),
        ("https://bücher.example/u", "xn--bcher-kva.example"),
        ("https://[::1]/u", "::1"),
        ("https://a.example./u", "a.example"),
        ("https://[bad/u", None),
        ("acct:a@b.example", None),
        ("", None),
        (None, None),
        (f"https://{'a' * 300}.example/u", None),
        ("https://a.example/" + "u" * 2000, "a.example"),
    ],
)
def test_host_of(iri: str | None, host: str | None) -> None:
    assert host_of(iri) == host


def test_reading_fills_in_everything() -> None:
    scope = Scope("lemmy", frozenset({"own.example"}))
    delivery = read(json.dumps(note(A, URL, "https://own.example/b.png")).encode(), scope)
    (context,) = delivery.contexts
    assert (context.host, context.actor, context.types, context.software, context.door) == (
        "a.example",
        A,
        ("Create", "Note"),
        "lemmy",
        "inbox",
    )
    assert [ref.url for ref in delivery.media] == [URL]
    assert len(delivery.walk.media) == 2
    everything = Scope("lemmy", frozenset({"own.example"}), judge_local=True)
    assert len(read(json.dumps(note(A, URL, "https://own.example/b.png")).encode(), everything).media) == 2
    with pytest.raises(MalformedActivityError):
        read(b"[", scope)


@pytest.mark.parametrize(
    ("bounds", "causes"),
    [
        ({"media": 2}, ()),
        ({"media": 1}, (Cause.TOO_MANY,)),
        ({"depth": 4}, ()),
        ({"depth": 3}, (Cause.TOO_MANY,)),
        ({"nodes": 10}, ()),
        ({"nodes": 9}, (Cause.TOO_MANY,)),
    ],
)
def test_each_bound_is_a_cause(bounds: dict[str, Any], causes: tuple[Cause, ...]) -> None:
    assert read(json.dumps(note(A, URL, URL + "2")).encode(), replace(Scope(), **bounds)).causes == causes


@pytest.mark.parametrize(
    ("rules", "activity", "expected"),
    [
        # nothing to look at
        ([KNOWN], note(A), "pass"),
        ([KNOWN], [], "pass"),
        # media to look at
        ([KNOWN], note(A, URL), None),
        # one speaker refused is enough, whatever the others would be
        ([Rule("b", by("b.example"), Action.REJECT)], [note(A, URL), note(B)], "reject"),
        (
            [Rule("a", by("a.example"), Action.REJECT), Rule("b", by("b.example"), Action.DROP)],
            [note(A), note(B)],
            "drop",
        ),
        # one let by is not
        ([Rule("a", by("a.example"), Action.PASS), KNOWN], [note(A, URL), note(B)], None),
        ([Rule("a", by("a.example"), Action.PASS), KNOWN], [note(A, URL), note(A, kind="Undo")], "pass"),
        # put off: only if nothing stricter may come of the media
        ([Rule("a", by("a.example"), Action.DEFER), KNOWN], [note(A), note(B, URL)], None),
        ([Rule("a", by("a.example"), Action.DEFER), KNOWN], [note(A), note(B)], "defer"),
        # who is not on the list
        ([Rule("friends", NotOf(by("a.example")), Action.REJECT)], [note(A), note(B)], "reject"),
        ([Rule("friends", NotOf(by("a.example")), Action.REJECT)], note(A), "pass"),
    ],
)
def test_without_media(rules: list[Rule], activity: object, expected: str | None) -> None:
    verdict = without_media(policy(*rules), read(json.dumps(activity).encode(), Scope()))
    assert (str(verdict.decision.action) if verdict else None) == expected


def test_the_strictest_of_all_speakers_counts_for_all_media() -> None:
    rules = policy(Rule("a", by("a.example"), Action.PASS), KNOWN)
    delivery = read(json.dumps([note(A, URL), note(B)]).encode(), Scope())
    verdict = with_media(rules, delivery, judged(delivery, **{"hash.ours": 1.0}))
    assert (verdict.decision.rule, verdict.context.actor) == ("known", B)
    assert with_media(rules, delivery, judged(delivery)).decision.action is Action.PASS
    assert with_media(rules, delivery, judged(delivery), (Cause.LEDGER_ERROR,)).decision.cause == Cause.LEDGER_ERROR


@pytest.mark.parametrize(("extra", "cause"), [(0, None), (1, Cause.TOO_MANY)])
def test_those_who_were_not_seen_are_a_cause_that_no_rule_lets_by(extra: int, cause: Cause | None) -> None:
    rules = policy(Rule("all", by("a.example"), Action.PASS), too_many=Action.DROP)
    crowd = [note(f"{A}/{n}") for n in range(SPEAKERS + extra)]
    verdict = without_media(rules, read(json.dumps(crowd).encode(), Scope()))
    assert verdict is not None
    assert verdict.decision.cause == cause
    assert verdict.decision.action is (Action.DROP if cause else Action.PASS)


def test_unread() -> None:
    verdict = unread(policy(timeout=Action.REJECT), "lemmy", Cause.TIMEOUT)
    assert (verdict.decision.action, verdict.decision.cause, verdict.context.software) == (
        Action.REJECT,
        Cause.TIMEOUT,
        "lemmy",
    )


# -- strip -------------------------------------------------------------------------------------------------------------


def stripping(*rules: Rule, **on: Action) -> Policy:
    """A policy at whose inbox door ``strip`` takes effect."""
    every = DEFER | {Cause(cause): action for cause, action in on.items()}
    return Policy(rules, every, strips=STRIPS | {"inbox"})


BAD = Rule("bad", SymbolTest("x.bad", ">=", 1), Action.STRIP)
SPAM = Rule("spam", by("a.example"), Action.STRIP)
URLS = tuple(f"https://files.a.example/{number}.png" for number in range(3))


def scored(delivery: Any, *bad: int) -> list[Medium]:
    """The delivery's media, those of these indexes bad."""
    return [
        replace(medium, judgement=replace(medium.judgement, frames=(JudgedFrame(0, {"x.bad": float(index in bad)}),)))
        for index, medium in enumerate(judged(delivery))
        if medium.judgement
    ]


@pytest.mark.parametrize(
    ("rules", "bad", "expected"),
    [
        ((BAD,), (1,), [1]),
        ((BAD,), (0, 2), [0, 2]),
        ((BAD, Rule("all", NotOf(SymbolTest("x.bad", ">=", 1)), Action.RECORD)), (1,), [1]),
    ],
)
def test_a_strip_is_about_what_was_found(rules: tuple[Rule, ...], bad: Any, expected: list[int]) -> None:
    asked, delivery = stripping(*rules), read(json.dumps(note(A, *URLS)).encode(), Scope())
    media = scored(delivery, *bad)
    verdict = with_media(asked, delivery, media)
    assert verdict.decision.action is Action.STRIP
    assert stripped(asked, delivery, verdict, media) == [media[index] for index in expected]


def context_strip(*urls: str, bad: tuple[int, ...] = ()) -> list[tuple[str, str | None]] | None:
    """URL and SHA-256 of what is stripped of a post by a.example, all of whose media a rule strips."""
    asked, delivery = stripping(SPAM, BAD), read(json.dumps(note(A, *urls)).encode(), Scope())
    media = scored(delivery, *bad)
    verdict = with_media(asked, delivery, media)
    assert verdict.decision.action is Action.STRIP
    found = stripped(asked, delivery, verdict, media)
    if found is None:
        return None
    return [(one.ref.url, one.judgement.sha256 if one.judgement else None) for one in found]


def test_a_strip_by_context_is_about_all_media_and_blocks_no_bytes() -> None:
    urls = [*URLS, "https://A.example./b.png", "data:image/png;base64,AAAA"]
    assert context_strip(*urls) == [(url, None) for url in urls]


@pytest.mark.parametrize("url", ["https://victim.example/a.png", "https://nota.example/a.png", "https://example/a.png"])
def test_a_strip_by_context_takes_nobody_elses_picture_away(url: str) -> None:
    """It would be on the block set for everybody: the post is dropped instead."""
    assert context_strip(URLS[0], url) is None


def test_what_any_speakers_rule_strips_is_stripped() -> None:
    """The verdict is one speaker's, but another one's rule may have found another medium."""
    kinds = [
        Rule("a", SymbolTest("x.bad", ">=", 1), Action.STRIP),
        Rule("b", SymbolTest("x.worse", ">=", 1), Action.STRIP),
    ]
    asked = Policy([Rule("by-a", by("a.example"), Action.RECORD), *kinds], DEFER, strips=STRIPS | {"inbox"})
    delivery = read(json.dumps([note(A, URLS[0]), note(B, URLS[1])]).encode(), Scope())
    media = scored(delivery, 0)
    assert media[1].judgement is not None
    media[1] = replace(media[1], judgement=replace(media[1].judgement, frames=(JudgedFrame(0, {"x.worse": 1.0}),)))
    verdict = with_media(asked, delivery, media)
    assert stripped(asked, delivery, verdict, media) == media


@pytest.mark.parametrize(
    ("scope", "activity", "rules", "on"),
    [
        # media that nobody saw cannot be put on the block set
        (Scope(media=2), note(A, *URLS), (BAD,), {"too_many": Action.STRIP}),
        (Scope(media=2), note(A, *URLS), (SPAM,), {"too_many": Action.PASS}),
        (
            Scope(),
            [note(f"https://{n}.example/u", URLS[0]) for n in range(SPEAKERS + 1)],
            (),
            {"too_many": Action.STRIP},
        ),
        (
            Scope(),
            [note(A, URLS[0])] * 9 + [note(f"https://{n}.example/u") for n in range(9)],
            (SPAM,),
            {"too_many": Action.PASS},
        ),
    ],
)
def test_what_is_not_known_as_a_whole_cannot_be_stripped(
    scope: Scope, activity: Any, rules: tuple[Rule, ...], on: dict[str, Action]
) -> None:
    asked, delivery = stripping(*rules, **on), read(json.dumps(activity).encode(), scope)
    media = scored(delivery)
    verdict = with_media(asked, delivery, media)
    assert verdict.decision.action is Action.STRIP
    assert stripped(asked, delivery, verdict, media) is None


def test_a_delivery_that_was_not_read_is_dropped_where_it_should_be_stripped() -> None:
    assert unread(stripping(busy=Action.STRIP), "lemmy", Cause.BUSY).decision.action is Action.DROP


def test_a_strip_that_cannot_be_done_says_why() -> None:
    own, other = Hit(Action.STRIP, rule="bad", medium=0), Hit(Action.RECORD, rule="noted")
    decision = Decision(Action.STRIP, own, (other, own))
    dropped = as_drop(decision)
    assert (dropped.action, dropped.rule) == (Action.DROP, "bad")
    assert dropped.hits == (replace(own, action=Action.DROP), other)
    failed = as_drop(decision, Cause.LEDGER_ERROR)
    assert (failed.action, failed.rule, failed.cause) == (Action.DROP, None, Cause.LEDGER_ERROR)
    assert failed.hits == (Hit(Action.DROP, cause=Cause.LEDGER_ERROR), other, own)
