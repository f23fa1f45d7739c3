"""Every cause at every door, by the defaults: what is answered, what gets through, what is written and counted."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import pytest

from addons.policy.example import example_text
from addons.policy.words import Action, Cause, Door
from tests.e2e.causes import MADE, Stage
from tests.e2e.faulty import Judging

NO_FETCH = "nothing is fetched here: the bytes are brought"
ITS_OWN = "the server's own request gets the host's own answer, and there are no bytes to judge"
ONE_FILE = "one file a request"
NEVER_HELD = "nothing is ever held here: what cannot be decided in time is a 503"
DOORS: tuple[Door, ...] = get_args(Door.__value__)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a cause comes to at one door. ``through``: whether the very bytes got by; ``written``: whether there is an
    entry in the ledger, or (there was nothing to decide) only a count of ``action``."""

    status: int
    action: str
    through: bool = False
    written: bool = True


HELD, LATER, DEFERRED = Seen(202, Action.HOLD), Seen(503, Action.HOLD), Seen(503, Action.DEFER)
DROPPED, INSTEAD = Seen(202, Action.DROP), Seen(200, Action.DROP)
PASSED = Seen(200, Action.PASS, through=True)


def row(inbox: Seen, fetch: Seen | str, pictrs: Seen | str, validate: Seen | str, upload: Seen | str) -> "Row":
    return dict(zip(DOORS, (inbox, fetch, pictrs, validate, upload), strict=True))


type Row = Mapping[Door, Seen | str]
UNDECIDED = row(HELD, LATER, LATER, LATER, LATER)
REFUSED = row(DROPPED, INSTEAD, INSTEAD, Seen(403, Action.DROP), Seen(400, Action.DROP))
LOCKED = Seen(403, "refused", written=False)
TABLE: Mapping[Cause, Row] = {
    Cause.TIMEOUT: UNDECIDED,
    Cause.NO_WORKER: UNDECIDED,
    Cause.BUSY: UNDECIDED,
    # pict-rs keeps nothing of an error, and a placeholder for ever.
    Cause.FETCH_FAILED: row(HELD, ITS_OWN, LATER, NO_FETCH, LATER),
    Cause.FETCH_REFUSED: row(DROPPED, LOCKED, Seen(403, Action.DROP), NO_FETCH, Seen(400, Action.DROP)),
    Cause.FETCH_UNAUTHORIZED: row(DROPPED, ITS_OWN, Seen(502, Action.DROP), NO_FETCH, Seen(400, Action.DROP)),
    Cause.UNDECODABLE: REFUSED,
    Cause.UNSUPPORTED: REFUSED,
    Cause.TOO_LARGE: row(DROPPED, INSTEAD, INSTEAD, Seen(413, Action.DROP), Seen(413, Action.DROP)),
    Cause.TOO_MANY: row(DROPPED, Seen(404, Action.DROP), ONE_FILE, ONE_FILE, Seen(400, Action.DROP)),
    Cause.DETECTOR_ERROR: UNDECIDED,
    Cause.LEDGER_ERROR: row(PASSED, PASSED, PASSED, PASSED, PASSED),
    Cause.HOLD_FULL: row(DEFERRED, NEVER_HELD, NEVER_HELD, NEVER_HELD, NEVER_HELD),
}


def test_no_cause_and_no_door_is_left_out() -> None:
    assert TABLE.keys() == MADE.keys() == set(Cause)
    assert {tuple(one) for one in TABLE.values()} == {DOORS}
    assert "" not in [seen for one in TABLE.values() for seen in one.values()]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("cause", Cause)
async def test_at_each_door(tmp_path: Path, judge: Judging, cause: Cause) -> None:
    expected = {door: seen for door, seen in TABLE[cause].items() if isinstance(seen, Seen)}
    async with MADE[cause](tmp_path, judge) as stage:
        before = await stage.world.decisions()
        answers = dict(zip(expected, await asyncio.gather(*map(stage.ask, expected)), strict=True))
        counted = await counts(stage, before)
        stage.after()
        written = await entries(stage)
        if cause is not Cause.HOLD_FULL:
            held(stage, cause, expected["inbox"])
    assert answers == {door: (seen.status, seen.through) for door, seen in expected.items()}
    assert written == sorted((door, seen.action, cause) for door, seen in expected.items() if seen.written)
    assert counted == {(door, seen.action, cause if seen.written else ""): 1 for door, seen in expected.items()}


async def counts(stage: Stage, before: Mapping[tuple[str, str, str], int]) -> dict[tuple[str, str, str], int]:
    """What was counted since: door, action, cause."""
    now = await stage.world.decisions()
    return {key: count - before.get(key, 0) for key, count in now.items() if count != before.get(key, 0)}


async def entries(stage: Stage) -> list[tuple[str, str, str]]:
    """What was written since: door, action, cause."""
    found = [entry for entry in await stage.world.entries() if entry.id not in stage.before]
    return sorted((entry.door, entry.action, entry.cause or "") for entry in found)


def held(stage: Stage, cause: Cause, seen: Seen) -> None:
    """What is held is held whole, to be judged again; its end is the policy's, if it never is."""
    found = stage.world.holds()
    assert len(found) == (seen == HELD)
    for one in found:
        assert (one.state, one.cause, one.then) == ("judging", cause, stage.world.service.policy.then[cause])
        assert (one.signer.state, one.share) == ("verified", "host:remote.example")
        with stage.world.reader() as reader:
            request = reader.held_request(one.id)
        assert request is not None
        assert b"".join(request) == stage.world.sent[-1]


@pytest.mark.parametrize("cause", Cause)
def test_the_example_gives_the_default_and_its_reason(cause: Cause) -> None:
    text = example_text()
    found = re.search(rf"((?:^  #.*\n)+)^  {cause}: ", text, re.MULTILINE)
    assert found, f"no reason stands above on.{cause}"
    assert len(found[1].split()) > 8, found[1]
