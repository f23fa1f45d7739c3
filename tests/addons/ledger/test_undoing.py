from collections.abc import Iterator
from dataclasses import replace

import pytest

from addons.activitypub.references import MediaRef
from addons.ledger import Entry, Ledger, Reader
from addons.ledger.standings import Place
from addons.ledger.undoing import Found, allowances, find, named
from addons.policy.words import Action, Cause, Decision, Hit, Medium
from classifier import Judgement
from tests.addons.ledger.samples import JUDGED, NOW, entry, settle

URLS = ("https://a.example/x.gif", "https://cdn.a.example/x.gif")
IDS = [f"01kjmma2kv4k079wm6n{number}" for number in range(5)]


def judged(sha256: str) -> Judgement:
    return replace(JUDGED, sha256=sha256)


def medium(url: str, sha256: str | None, final: str | None = None, cause: Cause | None = None) -> Medium:
    ref = MediaRef(url, "image", "/object/attachment/0/url")
    return Medium(ref, judged(sha256) if sha256 else None, cause, final_url=final)


def stopped(id: str, *media: Medium, action: Action = Action.DROP, hits: tuple[Hit, ...] | None = None) -> Entry:
    """A decision that stopped these media, or what ``hits`` say."""
    every = hits if hits is not None else tuple(Hit(action, rule="r", medium=index) for index in range(len(media)))
    return entry(id=id, media=media, decision=Decision(action, every[0] if every else None, every))


A = medium(URLS[0], "aa" * 32, URLS[1])
B = medium("https://b.example/y.png", "bb" * 32)


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    with Ledger.open(url, clock=lambda: NOW) as opened:
        yield opened


def look(ledger: Ledger, url: str, what: str, *entries: Entry) -> Found:
    for one in entries:
        assert ledger.write(one)
    settle(ledger)
    with Reader.open(url) as reader:
        return find(reader, ledger.standings, what)


@pytest.mark.parametrize(
    ("what", "kind"),
    [
        ("ab" * 32, "sha256"),
        ("AB" * 32, "sha256"),
        ("https://a.example/", "url"),
        ("data:image/png;base64,AA", "url"),
        (IDS[0], "decision"),
        (IDS[0].upper(), "decision"),
        ("ab" * 31, None),
        ("x" * 21, None),
        ("", None),
        ("a.example/x", None),
    ],
)
def test_what_a_word_stands_for(what: str, kind: str | None) -> None:
    assert named(what) == kind


@pytest.mark.parametrize("what", [IDS[0], IDS[0].upper(), "aa" * 32, "AA" * 32, *URLS, "https://A.example:443/x.gif#f"])
def test_bytes_are_found_with_where_they_came_from(ledger: Ledger, url: str, what: str) -> None:
    ledger.standings.block([Place(URLS[0], "aa" * 32, URLS[1])], Action.STRIP, IDS[0])
    found = look(ledger, url, what, stopped(IDS[0], A, action=Action.STRIP))
    assert (list(found.sha256), list(found.decisions), found.without) == (["aa" * 32], [IDS[0]], [])
    assert set(found.urls) == set(URLS)
    assert found.newest == IDS[0]
    assert ledger.standings.unblock(found.places) == 3


def test_of_a_decision_only_what_was_stopped(ledger: Ledger, url: str) -> None:
    hits = (Hit(Action.DROP, rule="r", medium=1), Hit(Action.RECORD, rule="noted", medium=0))
    found = look(ledger, url, IDS[0], stopped(IDS[0], A, B, hits=hits))
    assert (list(found.sha256), list(found.urls)) == (["bb" * 32], ["https://b.example/y.png"])


def test_other_decisions_and_urls_of_the_same_bytes_are_found_too(ledger: Ledger, url: str) -> None:
    elsewhere = medium("https://c.example/z.png", "aa" * 32)
    found = look(ledger, url, IDS[0], stopped(IDS[0], A), stopped(IDS[1], elsewhere, B), stopped(IDS[2], B))
    assert list(found.sha256) == ["aa" * 32]
    assert list(found.decisions) == IDS[:2]
    assert set(found.urls) == {*URLS, "https://c.example/z.png"}


def test_what_was_blocked_unseen_is_known_from_where_it_was_judged(ledger: Ledger, url: str) -> None:
    ledger.standings.block([Place(URLS[0], "aa" * 32)], Action.STRIP, IDS[0])
    unseen = stopped(
        IDS[1], medium(URLS[0], None), action=Action.STRIP, hits=(Hit(Action.STRIP, medium=0, blocked=IDS[0]),)
    )
    found = look(ledger, url, IDS[1], stopped(IDS[0], A, action=Action.STRIP), unseen)
    assert (list(found.sha256), set(found.decisions)) == (["aa" * 32], set(IDS[:2]))
    assert set(found.urls) == set(URLS)


def test_a_rule_on_context_alone_strips_all_media(ledger: Ledger, url: str) -> None:
    one = stopped(IDS[0], medium(URLS[0], None), action=Action.STRIP, hits=(Hit(Action.STRIP, rule="spam"),))
    found = look(ledger, url, IDS[0], one)
    assert (list(found.sha256), list(found.urls), len(found.without)) == ([], [URLS[0]], 1)


@pytest.mark.parametrize("digest", [None, "parts:" + "ab" * 29])
def test_what_has_no_sha256_is_told_apart(ledger: Ledger, url: str, digest: str | None) -> None:
    one = medium(URLS[0], digest, cause=None if digest else Cause.UNDECODABLE)
    found = look(ledger, url, IDS[0], stopped(IDS[0], one))
    assert (list(found.sha256), list(found.urls)) == ([], [URLS[0]])
    assert [each.cause for each in found.without] == [None if digest else "undecodable"]


@pytest.mark.parametrize(
    ("what", "anything"),
    [(IDS[0], False), (IDS[4], False), ("aa" * 32, True), ("cc" * 32, False), (URLS[0], False), ("nothing", False)],
)
def test_what_was_let_in_has_nothing_to_undo_but_its_bytes_can_be_allowed_beforehand(
    ledger: Ledger, url: str, what: str, anything: bool
) -> None:
    found = look(ledger, url, what, stopped(IDS[0], A, action=Action.RECORD))
    assert found.anything is anything
    assert (list(found.sha256), found.newest) == (["aa" * 32] if anything else [], IDS[0] if anything else "")


def test_a_blocked_url_whose_decision_is_gone_is_found(ledger: Ledger, url: str) -> None:
    ledger.standings.block([Place(URLS[0])], Action.STRIP, IDS[0])
    found = look(ledger, url, URLS[0])
    assert (list(found.urls), found.decisions) == ([URLS[0]], {})


@pytest.mark.parametrize("what", [IDS[0], "AA" * 32, URLS[0], URLS[0] + "#x"])
def test_allowances_are_found_again(ledger: Ledger, url: str, what: str) -> None:
    look(ledger, url, IDS[0], stopped(IDS[0], A, B))
    with Reader.open(url) as reader:
        assert allowances(reader, ledger.standings, what) == []
        ledger.standings.allow(["aa" * 32], IDS[0])
        assert allowances(reader, ledger.standings, what) == ["aa" * 32]
        assert allowances(reader, ledger.standings, "https://b.example/y.png") == []
        assert allowances(reader, ledger.standings, "x") == []


def test_an_allowance_is_found_by_a_decision_that_is_gone(ledger: Ledger, url: str) -> None:
    ledger.standings.allow(["aa" * 32], IDS[0])
    with Reader.open(url) as reader:
        assert allowances(reader, ledger.standings, IDS[0].upper()) == ["aa" * 32]
