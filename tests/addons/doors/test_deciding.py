"""What deciding adds to rules and look-ahead: the brake, denials, and whose turn it is."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from addons.doors.deciding import Case, Deciding
from addons.doors.http1 import Bounds
from addons.doors.layers import Rules
from addons.fetching.budget import MemoryBudget
from addons.judging.brake import Brake
from addons.judging.lookahead import Ahead
from addons.judging.looking import Scope
from addons.ledger.entry import new_id
from addons.ledger.held import Signer
from addons.ledger.ledger import Ledger
from addons.ledger.reading import Reader, Search
from addons.policy.conditions import SymbolTest
from addons.policy.decide import Policy
from addons.policy.hold_sections import Brake as BrakeSettings
from addons.policy.rules import Rule
from addons.policy.words import Action, Cause, Denial, Medium
from addons.senders.fairness import Fair
from addons.senders.shares import Shares
from classifier import JudgedFrame, Judgement

ACTOR = "https://{host}/users/a"
DRAWN = Rule("drawn", SymbolTest("clip.cloud", ">", 0.5), Action.DROP)
ACTIONS = dict.fromkeys(Cause, Action.HOLD) | {Cause.LEDGER_ERROR: Action.PASS, Cause.HOLD_FULL: Action.DEFER}


class Looks:
    """A look-ahead in which every picture scores the same."""

    version = "test"

    def __init__(self, score: float | None) -> None:
        self.score = score

    async def judge(self, refs: Any, links: Any, objects: Any, *, timeout: float, share: str) -> Ahead:
        if self.score is None:
            return Ahead([Medium(ref, cause=Cause.TIMEOUT) for ref in refs])
        frames = (JudgedFrame(0, {"clip.cloud": self.score}),)
        return Ahead([Medium(ref, Judgement("00" * 32, "image/png", 1, 1, frames, "v")) for ref in refs])


class Noted:
    def __init__(self) -> None:
        self.hits: list[tuple[str, str | None, str | None]] = []

    def noted(self, rule: Rule, host: str | None, actor_url: str | None = None) -> None:
        self.hits.append((rule.name, host, actor_url))


@pytest.fixture
def ledger(tmp_path: Path) -> Any:
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        yield ledger


def deciding(ledger: Ledger, score: float | None, *rules: Rule, brake: Brake | None = None, **more: Any) -> Deciding:
    budget = MemoryBudget(1 << 30)
    door = Rules(Bounds(), budget, lambda flow: None)
    looks: Any = Looks(score)
    fair = Fair(4, Shares())
    return Deciding(Scope(), door, Policy(rules, ACTIONS), looks, ledger, fair, brake=brake, **more)


def case(door: Deciding, host: str = "remote.example", state: Any = "verified", images: int = 1) -> Case:
    actor = ACTOR.format(host=host)
    attached = [{"type": "Image", "url": f"https://{host}/{number}.png"} for number in range(images)]
    note = {"type": "Note", "id": f"https://{host}/notes/1", "attachment": attached}
    body = json.dumps({"type": "Create", "actor": actor, "object": note}).encode()
    now, began = datetime.now(UTC), time.monotonic()
    signer = Signer(state, host if state == "verified" else None)
    delivery = door.read(body, (), "192.0.2.1")
    return Case(new_id(now), body, delivery, "192.0.2.1", now, began, began + 60, signer=signer, share=f"host:{host}")


def brake(**settings: Any) -> Brake:
    return Brake((DRAWN,), BrakeSettings(share=0.2, media=20, hosts=5, per_host=10, **settings))


async def test_the_brake_turns_drops_into_holds(ledger: Ledger) -> None:
    one = brake()
    door = deciding(ledger, 0.9, DRAWN, brake=one)
    actions = []
    for number in range(6):
        decided = await door.decide(case(door, f"h{number}.example", images=5))
        actions.append(decided.action)
    # Of the first that are enough, the last is one too many itself.
    assert actions == [Action.DROP] * 4 + [Action.HOLD] * 2
    assert (decided.verdict.decision.rule, decided.verdict.decision.then) == ("drawn", "drop")


@pytest.mark.parametrize("state", ["unverified", "unverifiable"])
async def test_who_is_not_verified_does_not_trip_it(ledger: Ledger, state: str) -> None:
    one = brake()
    door = deciding(ledger, 0.9, DRAWN, brake=one)
    for number in range(10):
        assert (await door.decide(case(door, f"h{number}.example", state, images=5))).action is Action.DROP


async def test_what_is_held_for_a_cause_is_counted_when_it_is_judged(ledger: Ledger) -> None:
    one = brake()
    door = deciding(ledger, None, DRAWN, brake=one)
    for number in range(30):
        assert (await door.decide(case(door, f"h{number}.example"))).action is Action.HOLD
    assert not one.stopped


async def test_a_rule_that_denies_is_told_of_whom_it_hit(ledger: Ledger) -> None:
    noted = Noted()
    denying = replace(DRAWN, deny=Denial(3600, 2))
    door = deciding(ledger, 0.9, denying, denials=noted)
    for state in ("verified", "unverified", "unverifiable"):
        decided = await door.decide(case(door, state=state))
        assert door.denies(decided)
        assert door.note(decided) is Action.DROP
    actor = ACTOR.format(host="remote.example")
    assert noted.hits == [("drawn", "remote.example", actor), ("drawn", None, actor), ("drawn", None, actor)]


async def test_nobody_is_denied_for_what_a_community_passes_on(ledger: Ledger) -> None:
    noted = Noted()
    door = deciding(ledger, 0.9, replace(DRAWN, deny=Denial(3600, 2)), denials=noted)
    one = case(door)
    said = json.dumps({"type": "Announce", "actor": ACTOR.format(host="remote.example"), "object": json.loads(one.raw)})
    announced = replace(one, raw=said.encode(), delivery=door.read(said.encode(), (), one.peer))
    assert door.note(await door.decide(announced)) is Action.DROP
    assert [host for _, host, _ in noted.hits] == [None]


async def test_what_it_lets_by_denies_nobody(ledger: Ledger) -> None:
    noted = Noted()
    door = deciding(ledger, 0.1, replace(DRAWN, deny=Denial(3600, 1)), denials=noted)
    decided = await door.decide(case(door))
    assert not door.denies(decided)
    assert door.note(decided) is Action.PASS
    assert noted.hits == []


async def test_what_is_judged_again_names_its_hold(ledger: Ledger, tmp_path: Path) -> None:
    door = deciding(ledger, 0.1, DRAWN)
    again = replace(case(door, images=0), held="h" * 20)
    assert door.note(await door.decide(again)) is Action.PASS
    ledger.close()
    with Reader.open(f"sqlite:///{tmp_path}/ledger.db") as reader:
        (entry,) = reader.find(Search())
    assert (entry.id, entry.hold) == (again.id, "h" * 20)


@asynccontextmanager
async def full(door: Deciding) -> AsyncIterator[None]:
    assert isinstance(door.fair, Fair)
    async with door.fair.admitted("host:else.example", 4):
        yield


async def test_who_has_no_turn_in_time_is_busy(ledger: Ledger) -> None:
    door = deciding(ledger, 0.1, DRAWN)
    late = replace(case(door), until=time.monotonic())
    async with full(door):
        decided = await door.decide(late)
    assert (decided.action, decided.verdict.decision.cause) == (Action.HOLD, Cause.BUSY)
    assert "no time to wait" in decided.media[0].message


async def test_who_has_no_memory_is_busy(ledger: Ledger) -> None:
    door = deciding(ledger, 0.1, DRAWN)
    with door.rules.budget.take(door.rules.budget.limit):
        decided = await door.decide(replace(case(door), encoded=True))
    assert decided.verdict.decision.cause is Cause.BUSY
    assert door.judging == 0
