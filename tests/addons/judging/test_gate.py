import asyncio
import contextlib
import hashlib
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from addons.activitypub.references import MediaRef
from addons.fetching.client import FetchError
from addons.judging import gate as gating
from addons.judging.brake import Brake
from addons.judging.gate import Gate, Passage, with_standings
from addons.judging.judge import Judge
from addons.ledger import Entry, Ledger, Reader, Search
from addons.ledger.standings import Place, Standings
from addons.policy.conditions import OneOf, SymbolTest
from addons.policy.decide import Policy
from addons.policy.rules import Rule
from addons.policy.words import Action, Cause, Context, Decision, Medium, Standing
from classifier import JudgedFrame, Judgement
from tests import net
from tests.addons.judging.test_judge import Eyes, Remote
from tests.addons.ledger.samples import NOW

URL = "https://remote.example/a.png"
BAD, GOOD = b"bad bytes", b"good bytes"
BAD_SHA = hashlib.sha256(BAD).hexdigest()
CONTEXT = Context("fetch", "remote.example", address="192.0.2.7")
REF = MediaRef(URL, "image", "")
ON = dict.fromkeys(Cause, Action.PASS) | {Cause.TIMEOUT: Action.DEFER, Cause.UNDECODABLE: Action.DROP}


class Bench:
    """A gate before a judge with fakes for network and models, and a real ledger."""

    def __init__(self, ledger: Ledger, on: dict[Cause, Action] | None = None, *, observe: bool = False) -> None:
        rules = [
            Rule("blocked-host", OneOf("host", ("spam.example",)), Action.REJECT),
            Rule("friends", OneOf("host", ("friend.example",)), Action.PASS),
            Rule("known", SymbolTest("hash.ours", "=", 1.0), Action.STRIP),
        ]
        self.remote, self.eyes = Remote(), Eyes()
        self.eyes.listed.add(BAD_SHA)
        self.ledger = ledger
        judge = Judge(self.remote, self.eyes)
        self.gate = Gate(Policy(rules, ON | (on or {}), observe=observe), judge, ledger)

    async def bytes(self, data: bytes, url: str = URL, timeout: float = 5) -> Passage:
        return await self.gate.bytes(CONTEXT, MediaRef(url, "image", ""), data, timeout=timeout)

    async def entries(self) -> list[Entry]:
        await net.until(lambda: self.ledger.waiting == 0, 20)
        with Reader.open(str(self.ledger._url)) as reader:
            return reader.find(Search())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "l.db"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    with Ledger.open(f"sqlite:///{path}", busy=0.05) as opened:
        yield opened


@pytest.fixture
def bench(ledger: Ledger) -> Bench:
    return Bench(ledger)


@pytest.mark.parametrize(
    ("action", "observed", "passes", "undecided"),
    [
        (Action.PASS, False, True, False),
        (Action.RECORD, False, True, False),
        (Action.STRIP, False, False, False),
        (Action.DROP, False, False, False),
        (Action.REJECT, False, False, False),
        (Action.HOLD, False, False, True),
        (Action.DEFER, False, False, True),
        *((action, True, True, False) for action in Action),
    ],
)
def test_what_a_passage_comes_to(action: Action, observed: bool, passes: bool, undecided: bool) -> None:
    passage = Passage("", Decision(action), observed=observed)
    assert (passage.passes, passage.undecided) == (passes, undecided)


@pytest.mark.parametrize(
    ("host", "action"), [("spam.example", Action.REJECT), ("friend.example", Action.PASS), ("other.example", None)]
)
async def test_rules_on_context_alone_need_no_medium(bench: Bench, host: str, action: Action | None) -> None:
    passage = bench.gate.on_context(Context("fetch", host, address="192.0.2.7"))
    assert (passage.action if passage else None) == action
    entries = await bench.entries()
    assert [(entry.id, entry.action, entry.peer) for entry in entries] == (
        [(passage.id, "reject", "192.0.2.7")] if passage and passage.action is Action.REJECT else []
    )


async def test_bytes_are_judged_decided_and_written_down(bench: Bench) -> None:
    good = await bench.gate.bytes(CONTEXT, REF, GOOD, timeout=5, session="5e" * 32)
    bad = await bench.bytes(BAD)
    assert (good.action, bad.action, bad.decision.rule) == (Action.PASS, Action.STRIP, "known")
    first, second = await bench.entries()
    assert (first.id, first.action, first.door, first.session) == (good.id, "pass", "fetch", "5e" * 32)
    assert (second.id, second.rule, second.media[0].sha256) == (bad.id, "known", BAD_SHA)
    assert second.media[0].url == URL


@pytest.mark.parametrize("url", [URL, "https://elsewhere.example/b.png"])
async def test_what_was_allowed_passes_whatever_lists_and_blocks_say(bench: Bench, url: str) -> None:
    bench.ledger.standings.block([Place(URL)], Action.STRIP, "one")
    bench.ledger.standings.allow([BAD_SHA], "two")
    passage = await bench.bytes(BAD, url)
    assert (passage.action, passage.decision.allowed) == (Action.PASS, "two")


async def test_what_was_blocked_does_not_pass_whatever_rules_say(bench: Bench) -> None:
    bench.ledger.standings.block([Place(URL, hashlib.sha256(GOOD).hexdigest())], Action.STRIP, "one")
    for passage in (await bench.bytes(GOOD, "https://elsewhere.example/"), await bench.bytes(b"other bytes")):
        assert passage.action is Action.STRIP
        assert passage.decision.deciding is not None
        assert passage.decision.deciding.blocked == "one"


async def test_what_is_fetched_passes_with_its_bytes(bench: Bench) -> None:
    bench.remote.files[URL] = GOOD
    passage, fetched = await bench.gate.fetch(CONTEXT, REF, timeout=5, share="peer")
    assert passage.passes
    assert fetched is not None
    assert (fetched.data, bench.remote.paid) == (GOOD, [("peer", URL)])
    fetched.release()


async def test_a_blocked_url_is_not_fetched(bench: Bench) -> None:
    bench.ledger.standings.block([Place(URL)], Action.STRIP, "one")
    passage, fetched = await bench.gate.fetch(CONTEXT, REF, timeout=5)
    assert (passage.action, fetched, sum(bench.remote.fetched.values())) == (Action.STRIP, None, 0)
    (entry,) = await bench.entries()
    assert (entry.hits[0].blocked, entry.media[0].sha256) == ("one", None)


async def test_what_leads_to_a_blocked_url_is_blocked(bench: Bench) -> None:
    bench.remote.files[URL] = GOOD
    bench.remote.final[URL] = "https://cdn.example/a.png"
    bench.ledger.standings.block(
        [Place("https://elsewhere.example/", None, "https://CDN.example/a.png")], Action.STRIP, "x"
    )
    passage, fetched = await bench.gate.fetch(CONTEXT, REF, timeout=5)
    assert passage.action is Action.STRIP
    assert fetched is not None
    fetched.release()


async def test_what_cannot_be_fetched_is_a_cause(bench: Bench) -> None:
    bench.remote.files[URL] = FetchError(Cause.FETCH_REFUSED, "no", URL)
    passage, fetched = await bench.gate.fetch(CONTEXT, REF, timeout=5)
    assert (passage.decision.cause, fetched) == (Cause.FETCH_REFUSED, None)


async def test_what_goes_wrong_after_fetching_keeps_no_memory(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.gate, "decided", lambda *given, **more: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        await bench.gate.fetch(CONTEXT, REF, timeout=5)
    await net.until(lambda: bench.remote.budget.used == 0)


async def test_undecided_in_time_is_judged_for_who_asks_again(bench: Bench) -> None:
    bench.eyes.gate = asyncio.Event()
    assert (await bench.bytes(BAD, timeout=0.01)).undecided
    bench.eyes.gate.set()
    assert (await bench.bytes(BAD)).action is Action.STRIP
    assert bench.eyes.judged == {BAD: 1}


@pytest.mark.parametrize(("blocked", "action"), [(False, Action.PASS), (True, Action.STRIP)])
async def test_what_could_not_even_be_gathered(bench: Bench, blocked: bool, action: Action) -> None:
    if blocked:
        bench.ledger.standings.block([Place(URL)], Action.STRIP, "one")
    passage = await bench.gate.unjudged(CONTEXT, REF, Cause.TOO_LARGE, "it is too large")
    assert passage.action is action
    assert bench.gate.failed(CONTEXT, REF, Cause.UNDECODABLE, "broken").action is Action.DROP
    first, second = await bench.entries()
    assert (first.media[0].message, second.cause) == ("it is too large", "undecodable")


async def test_who_observes_passes_what_it_would_not(ledger: Ledger) -> None:
    bench = Bench(ledger, observe=True)
    passage = await bench.bytes(BAD)
    assert (passage.passes, passage.decision.action) == (True, Action.STRIP)
    (entry,) = await bench.entries()
    assert (entry.mode, entry.action) == ("observe", "strip")


# -- a database in trouble ---------------------------------------------------------------------------------------------


def rename(path: Path, table: str, name: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(f"ALTER TABLE {table} RENAME TO {name}")


@pytest.mark.parametrize(("on", "action"), [(Action.PASS, Action.PASS), (Action.DROP, Action.DROP)])
async def test_a_block_set_that_cannot_be_read_is_a_cause(
    ledger: Ledger, path: Path, on: Action, action: Action, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(ledger, {Cause.LEDGER_ERROR: on})
    rename(path, "standings", "gone")
    passage = await bench.bytes(GOOD)
    assert (passage.action, passage.decision.cause) == (action, Cause.LEDGER_ERROR)
    assert (await bench.bytes(BAD)).action is (Action.STRIP if on is Action.PASS else Action.DROP)
    assert "the block set could not be read (no such table: standings); 1 media go by the rules alone" in caplog.text
    rename(path, "gone", "standings")


async def test_a_block_set_that_does_not_answer_is_not_waited_for(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(gating, "LOOK_UP", 0.01)
    answer = threading.Event()

    class Slow(Standings):
        def of(self, places: Sequence[Place]) -> list[Standing | None]:
            answer.wait()
            return super().of(places)

    media = [Medium(REF)]
    try:
        found = await with_standings(Slow(ledger._store.engine), media, timeout=0)
    finally:
        answer.set()
    assert found == (media, [Cause.LEDGER_ERROR])
    assert "no answer in time" in caplog.text


async def test_no_media_ask_nothing(ledger: Ledger) -> None:
    class Never(Standings):
        def of(self, places: Sequence[Place]) -> list[Standing | None]:
            raise AssertionError

    assert await with_standings(Never(ledger._store.engine), [], timeout=1) == ([], [])


@pytest.mark.parametrize(("on", "action"), [(Action.PASS, Action.PASS), (Action.REJECT, Action.REJECT)])
async def test_what_cannot_be_written_down_is_a_cause(tmp_path: Path, on: Action, action: Action) -> None:
    with Ledger.open(f"sqlite:///{tmp_path}/full.db", queue=0) as full:
        bench = Bench(full, {Cause.LEDGER_ERROR: on})
        passage = await bench.bytes(GOOD)
        assert (passage.action, passage.decision.cause) == (action, Cause.LEDGER_ERROR)
        assert full.lost == 1


async def test_an_unhealthy_ledger_is_a_cause_once(ledger: Ledger) -> None:
    bench = Bench(ledger, {Cause.LEDGER_ERROR: Action.RECORD})
    ledger._writer.trouble = "it is broken"
    media = [Medium(REF, cause=Cause.UNSUPPORTED)]
    passage = bench.gate.decided(CONTEXT, media, started=NOW, began=0.0)
    again = bench.gate.decided(CONTEXT, media, started=NOW, began=0.0, causes=[Cause.LEDGER_ERROR])
    ledger._writer.trouble = ""
    for one in (passage, again):
        assert [hit.cause for hit in one.decision.hits] == [Cause.LEDGER_ERROR, Cause.UNSUPPORTED]


LOOK = "f0" * 32


def _bits_off(bits: int) -> str:
    return f"{int(LOOK, 16) ^ ((1 << bits) - 1):064x}"


class Looks(Eyes):
    """Every file is on the list; its frames look as ``pdqs`` says."""

    def __init__(self, pdqs: dict[bytes, tuple[str | None, ...]]) -> None:
        super().__init__()
        self.pdqs = {hashlib.sha256(data).hexdigest(): looks for data, looks in pdqs.items()}

    def look_up(self, judgement: Judgement) -> Judgement:
        looks = self.pdqs[judgement.sha256]
        return judgement.with_lists([JudgedFrame(n, {"hash.ours": 1.0}, pdq) for n, pdq in enumerate(looks)], ())


@pytest.mark.parametrize(
    ("looks", "encoded_again", "passes"),
    [
        ((LOOK,), True, True),
        ((_bits_off(31),), True, True),
        ((_bits_off(32),), True, False),
        ((LOOK, _bits_off(3)), True, True),
        ((LOOK, "00" * 32), True, False),
        ((LOOK, None), True, False),
        ((LOOK,), False, False),
    ],
)
async def test_what_was_allowed_is_known_when_it_was_encoded_again(
    bench: Bench, looks: tuple[str | None, ...], encoded_again: bool, passes: bool
) -> None:
    """pict-rs writes a file anew before it asks for validation: other bytes, and each frame looks the same."""
    bench.gate.judge = Judge(bench.remote, Looks({BAD: (LOOK,), GOOD: looks}))
    refused = await bench.bytes(BAD)
    await bench.entries()
    bench.ledger.standings.allow([BAD_SHA], refused.id)
    passage = await bench.gate.bytes(CONTEXT, REF, GOOD, timeout=5, encoded_again=encoded_again)
    assert passage.passes == passes
    assert passage.decision.allowed == (refused.id if passes else None)


async def test_nothing_allowed_looks_like_nothing(bench: Bench) -> None:
    bench.gate.judge = Judge(bench.remote, Looks({BAD: (LOOK,)}))
    await bench.bytes(BAD)
    await bench.entries()
    assert not (await bench.gate.bytes(CONTEXT, REF, BAD, timeout=5, encoded_again=True)).passes


async def test_what_a_stopped_rule_matches_is_not_decided_yet(bench: Bench) -> None:
    """With the brake on: 503 at a media door, never a placeholder and never passed; but what a list knows stays."""
    now = 0.0
    rules = [Rule("odd", SymbolTest("eyes.odd", "<", 0.5), Action.DROP), *bench.gate.policy.rules]
    brake = Brake(rules, clock=lambda: now)
    gate = Gate(Policy(rules, ON), bench.gate.judge, bench.ledger, brake=brake)
    assert (await gate.bytes(CONTEXT, REF, GOOD, timeout=5)).action is Action.DROP
    for number in range(200):
        brake.judged(f"host{number % 5}.example", True)
        brake.matched("odd", f"host{number % 5}.example", True)
    passage = await gate.bytes(CONTEXT, REF, GOOD, timeout=5)
    assert (passage.action, passage.undecided, passage.decision.rule) == (Action.HOLD, True, "odd")
    assert (await gate.bytes(CONTEXT, REF, BAD, timeout=5)).undecided, "a strip is weaker than a hold"
    now = 2 * 3600.0
    assert (await gate.bytes(CONTEXT, REF, GOOD, timeout=5)).action is Action.DROP


async def test_a_media_door_tells_which_urls_it_had(bench: Bench) -> None:
    seen: list[str] = []
    bench.gate.seen = seen.append
    await bench.bytes(GOOD)
    await bench.bytes(GOOD, url="")  # an upload is nowhere
    assert seen == [URL]
    bench.remote.files[URL] = GOOD
    _, fetched = await bench.gate.fetch(CONTEXT, REF, timeout=5)
    assert fetched is not None
    fetched.release()
    assert seen == [URL, URL]
