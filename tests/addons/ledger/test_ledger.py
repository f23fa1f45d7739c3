from dataclasses import replace
from datetime import UTC, datetime, timedelta

from addons.ledger import Ledger, Reader, Search
from addons.ledger.ledger import HELD
from tests.addons.ledger.samples import BODY, NOW, WALK, entry, settle, write


def test_an_entry_comes_back_as_it_went_in(url: str) -> None:
    sent = entry()
    write(url, sent)
    with Reader.open(url) as reader:
        assert reader.get(sent.id) == replace(sent, body=None)
        assert reader.find(Search()) == [replace(sent, body=None)]
        kept = reader.kept(sent.id)
        assert kept is not None
        assert (kept.body, kept.at) == (BODY, NOW)


def test_it_is_found_again_after_the_ledger_was_opened_again(url: str) -> None:
    write(url, entry(id="one"))
    write(url, entry(id="two", started=NOW + timedelta(seconds=1)))
    with Reader.open(url) as reader:
        assert [one.id for one in reader.find(Search())] == ["one", "two"]


def test_the_same_entry_twice_is_one(url: str) -> None:
    write(url, entry(id="one"), entry(id="one"))
    with Reader.open(url) as reader:
        assert len(reader.find(Search())) == 1


def test_what_postgresql_refuses_is_written_all_the_same(url: str) -> None:
    nasty = "https://a.example/\x00\ud800\u202e" + "é" * 9000
    walk = replace(WALK, activity_id=nasty, actor=nasty)
    sent = entry(walk=walk, peer="\x00", policy_version="\ud800")
    with Ledger.open(url) as ledger:
        assert ledger.write(sent)
        settle(ledger)
        assert (ledger.lost, ledger.trouble) == (0, "")
    with Reader.open(url) as reader:
        assert [one.id for one in reader.find(Search(actor=nasty, activity_id=nasty))] == [sent.id]


def test_a_record_that_the_database_can_never_take_does_not_hold_up_the_others(url: str) -> None:
    bad = replace(entry(id="bad"), took_ms=float("nan"), media_count=1 << 70)
    with Ledger.open(url) as ledger:
        for one in (entry(id="a"), bad, entry(id="b")):
            assert ledger.write(one)
        settle(ledger)
        assert (ledger.lost, ledger.healthy) == (1, True)
    with Reader.open(url) as reader:
        assert sorted(one.id for one in reader.find(Search())) == ["a", "b"]


def test_who_counts_is_told_of_every_decision(url: str) -> None:
    told: list[tuple[str, str, str | None, str | None, float | None]] = []
    with Ledger.open(url, queue=2) as ledger:
        ledger.counted = lambda *decision: told.append(decision)
        ledger.count("inbox", "pass")
        ledger.count("inbox", "defer", cause="busy")
        decided = entry()
        for id, hold in (("a", None), ("b", "a"), ("c", None)):
            ledger.write(replace(decided, id=id, hold=hold, took_ms=250.0))
    rest = (decided.action, decided.rule, decided.cause, 0.25)
    assert told == [
        ("inbox", "pass", None, None, None),
        ("inbox", "defer", None, "busy", None),
        (decided.door, *rest),
        (HELD, *rest),
        (decided.door, *rest),
    ]


def test_deliveries_without_media_are_counted_by_day(url: str) -> None:
    today = [NOW]
    with Ledger.open(url, clock=lambda: today[0]) as ledger:
        for action in ("pass", "pass", "drop"):
            ledger.count("inbox", action)
        today[0] += timedelta(days=1)
        ledger.count("inbox", "pass")
    with Ledger.open(url, clock=lambda: NOW) as ledger:
        ledger.count("inbox", "pass")
    with Reader.open(url) as reader:
        counted = [(str(row.day), row.door, row.action, row.count) for row in reader.counts()]
        assert sorted(counted) == [
            ("2026-03-01", "inbox", "drop", 1),
            ("2026-03-01", "inbox", "pass", 3),
            ("2026-03-02", "inbox", "pass", 1),
        ]
        assert reader.find(Search()) == []


def test_the_rules_of_a_policy_version_are_remembered_once(url: str) -> None:
    with Ledger.open(url) as ledger:
        ledger.note_policy("one", {"r": {"clip.minor": ">0.5"}})
        ledger.note_policy("bad", {"r": object()})
    with Ledger.open(url) as ledger:
        ledger.note_policy("one", {"r": {"clip.minor": ">0.9"}})
    with Reader.open(url) as reader:
        assert reader.rules("one") == {"r": {"clip.minor": ">0.5"}}
        assert reader.rules("bad") == {}


def test_nothing_is_taken_after_close(url: str) -> None:
    ledger = Ledger.open(url)
    assert ledger.close()
    assert not ledger.write(entry())
    assert ledger.lost == 1


def test_times_are_utc_whatever_zone_they_came_in(url: str) -> None:
    write(url, entry(id="one", started=NOW.astimezone(None)))
    with Reader.open(url) as reader:
        found = reader.get("one")
        assert found is not None
        assert (found.at, found.at.tzinfo) == (NOW, UTC)
        assert isinstance(found.at, datetime)
