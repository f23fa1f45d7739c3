from collections.abc import Collection
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.dialects import sqlite

from addons.ledger import claims
from addons.ledger.held import HoldState, Outcome, Signer
from addons.ledger.holds import Holds
from tests.addons.ledger.deliveries import (
    ANY,
    BOUNDS,
    JUDGING,
    LEASE,
    REPLAYING,
    SECOND,
    Clock,
    claim,
    ids,
    new,
    opened,
    tables,
    verified,
)
from tests.addons.ledger.samples import NOW

HOUR = timedelta(hours=1)


def put(holds: Holds, *names: str, **changes: object) -> None:
    for name in names:
        assert holds.put(new(name, **changes), BOUNDS)


def test_only_what_is_due_and_nobodys_is_claimed_oldest_first(holds: Holds) -> None:
    put(holds, "b", "a", "c")
    put(holds, "later", arrived=NOW + SECOND)
    assert ids(claim(holds, "w", limit=2)) == ["b", "a"]
    assert ids(claim(holds, "v")) == ["c"]
    assert claim(holds, "v") == []
    assert ids(claim(holds, "v", after=SECOND)) == ["later"]


@pytest.mark.parametrize(("after", "taken"), [(LEASE - SECOND / 1000, []), (LEASE, ["one"])])
def test_a_claim_whose_lease_ran_out_is_taken_over(holds: Holds, after: timedelta, taken: list[str]) -> None:
    put(holds, "one")
    assert ids(claim(holds, "w")) == ["one"]
    assert ids(claim(holds, "v", after=after)) == taken
    for held_by, done in (("w", not taken), ("v", bool(taken))):
        assert (holds.renew(["one"], held_by, NOW + after, LEASE) == {"one"}) is done
        assert holds.end("one", held_by, Outcome.REPLAYED, "", NOW) is done


def test_a_lease_is_renewed(holds: Holds) -> None:
    put(holds, "one", "two")
    claim(holds, "w")
    assert holds.renew(["one", "none"], "w", NOW + LEASE / 2, LEASE) == {"one"}
    assert holds.renew([], "w", NOW, LEASE) == set()
    assert ids(claim(holds, "v", after=LEASE)) == ["two"]
    assert ids(claim(holds, "v", after=1.5 * LEASE)) == ["one"]


def test_attempts_are_counted_though_their_worker_crashed(holds: Holds) -> None:
    put(holds, "one")
    found = [claim(holds, "w", after=number * LEASE)[0].attempts for number in range(3)]
    assert found == [0, 1, 2]


def test_claims_go_round_the_shares(holds: Holds) -> None:
    put(holds, *(f"a{number}" for number in range(5)))
    put(holds, "b0", "b1", signer=verified("b.example"))
    put(holds, "c0", signer=Signer())
    assert ids(claim(holds)) == ["a0", "b0", "c0", "a1", "b1", "a2", "a3", "a4"]


def test_all_the_unverified_together_have_the_turns_of_one(holds: Holds) -> None:
    put(holds, *(f"a{number}" for number in range(5)))
    for number in range(4):
        put(holds, f"u{number}", signer=Signer(), share=f"unverified:192.0.2.{number}")
    assert ids(claim(holds)) == ["a0", "u0", "a1", "u1", "a2", "u2", "a3", "u3", "a4"]


def test_among_themselves_the_unverified_have_one_each(holds: Holds) -> None:
    put(holds, *(f"u{number}" for number in range(5)), signer=Signer(), share="unverified:192.0.2.1")
    put(holds, "v0", "v1", signer=Signer(), share="unverified:192.0.2.2")
    assert ids(claim(holds)) == ["u0", "u1", "v0", "u2", "u3", "v1", "u4"]


def test_who_comes_later_waits_for_one_turn_of_a_flood_only(holds: Holds) -> None:
    put(holds, *(f"a{number}" for number in range(20)))
    assert ids(claim(holds, limit=7)) == [f"a{number}" for number in range(7)]
    put(holds, *(f"b{number}" for number in range(4)), signer=verified("b.example"))
    each = [claim(holds, limit=1)[0].id for _ in range(8)]
    assert each == ["b0", "a7", "b1", "a8", "b2", "a9", "b3", "a10"]


def test_a_share_has_no_credit_for_the_time_when_it_was_away(holds: Holds) -> None:
    put(holds, "b0", signer=verified("b.example"))
    put(holds, *(f"a{number}" for number in range(9)))
    assert len(claim(holds, limit=8)) == 8
    put(holds, *(f"b{number}" for number in range(1, 5)), signer=verified("b.example"))
    assert ids(claim(holds, limit=4)) == ["b1", "a7", "b2", "a8"]


def test_who_is_tried_again_goes_behind(holds: Holds) -> None:
    put(holds, "a0", "a1", "a2")
    assert ids(claim(holds, limit=1)) == ["a0"]
    put(holds, "b0", "b1", signer=verified("b.example"))
    assert holds.retry("a0", "w", NOW)
    assert ids(claim(holds)) == ["b0", "a1", "b1", "a2", "a0"]


def test_only_the_states_that_are_asked_for(holds: Holds) -> None:
    for state in ANY:
        put(holds, str(state), state=state, closes=NOW)
    assert ids(claim(holds, states=REPLAYING)) == ["replaying"]
    assert ids(claim(holds, states=(HoldState.WAITING, HoldState.JUDGING))) == ["judging", "waiting"]


def test_what_closes(holds: Holds) -> None:
    put(holds, "open", closes=NOW + SECOND)
    put(holds, "closes", closes=NOW)
    put(holds, "waits", closes=NOW, state=HoldState.WAITING)
    put(holds, "replays", closes=NOW, state=HoldState.REPLAYING)
    found = holds.claim(ANY, "w", NOW, LEASE, 100, closing=True)
    assert ids(found) == ["closes", "waits", "replays"]
    assert ids(claim(holds, states=ANY)) == ["open"]


def test_an_update_waits_behind_its_create(holds: Holds) -> None:
    put(holds, "create", gives=("n",), needs=("n",))
    put(holds, "update", gives=("n",), needs=("n",), state=HoldState.REPLAYING)
    put(holds, "reply", gives=("r",), needs=("n",), state=HoldState.REPLAYING)
    put(holds, "to-reply", gives=("s",), needs=("r",), state=HoldState.REPLAYING)
    put(holds, "other", gives=("o",), needs=("o",), state=HoldState.REPLAYING)
    assert ids(claim(holds, states=REPLAYING)) == ["other"]
    claim(holds)
    assert holds.permit("create", "w")
    assert ids(claim(holds, states=REPLAYING)) == ["create"]
    assert claim(holds, states=REPLAYING) == []  # it is being sent: not yet
    assert holds.end("create", "w", Outcome.REPLAYED, "", NOW)
    assert ids(claim(holds, states=REPLAYING)) == ["update"]
    assert holds.end("update", "w", Outcome.REFUSED, "", NOW)
    assert ids(claim(holds, states=REPLAYING)) == ["reply"]
    assert holds.end("reply", "w", Outcome.REFUSED, "", NOW)
    assert ids(claim(holds, states=REPLAYING)) == ["to-reply"]


@pytest.mark.parametrize("which", ["earlier", "later"])
@pytest.mark.parametrize("state", ["unverified", "unverifiable"])
def test_who_proves_nothing_neither_blocks_nor_waits(holds: Holds, which: str, state: str) -> None:
    stranger = Signer(state)  # type: ignore[arg-type]  # one of its words
    put(holds, "create", gives=("n",), signer=stranger if which == "earlier" else verified())
    put(holds, "update", needs=("n",), signer=stranger if which == "later" else verified(), state=HoldState.REPLAYING)
    assert ids(claim(holds, states=REPLAYING)) == ["update"]


def test_what_came_later_blocks_nothing(holds: Holds) -> None:
    put(holds, "update", gives=("n",), needs=("n",), state=HoldState.REPLAYING)
    put(holds, "create", gives=("n",), needs=("n",))
    assert ids(claim(holds, states=REPLAYING)) == ["update"]


def test_what_waits_for_a_person_blocks_until_it_is_over_or_the_window_closes(holds: Holds) -> None:
    put(holds, "create", gives=("n",), state=HoldState.WAITING, closes=NOW + 2 * HOUR)
    put(holds, "update", needs=("n",), state=HoldState.REPLAYING)
    assert claim(holds, states=ANY, after=HOUR - SECOND) == []
    assert ids(claim(holds, states=ANY, after=HOUR)) == ["update"]


def test_judging_waits_for_nothing(holds: Holds) -> None:
    put(holds, "create", gives=("n",))
    put(holds, "update", gives=("n",), needs=("n",))
    assert ids(claim(holds)) == ["create", "update"]


def plan_of(states: Collection[HoldState], tmp_path: Path) -> list[str]:
    asked = claims._free(states, NOW).limit(8).compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True})
    with (
        tables(f"sqlite:///{tmp_path}/l.db") as url,
        opened(url, Clock()) as holds,
        holds._engine.connect() as connection,
    ):
        return [row.detail for row in connection.execute(text(f"EXPLAIN QUERY PLAN {asked}")).all()]


def test_claims_read_an_index_in_its_order(tmp_path: Path) -> None:
    plan = plan_of(JUDGING, tmp_path)
    assert any("holds_turn" in step for step in plan), plan
    assert not any("TEMP B-TREE" in step for step in plan), plan


def test_what_came_later_under_the_same_ids_is_not_even_read(tmp_path: Path) -> None:
    # Else one host that names 64 ids in each of its holds has every claim take seconds.
    plan = plan_of(REPLAYING, tmp_path)
    assert any("hold_ids_key (key=? AND kind=? AND hold<?)" in step for step in plan), plan


def test_what_a_clock_that_was_ahead_has_put_off_is_due_again(holds: Holds) -> None:
    put(holds, "judged", "replayed", "claimed", "soon", "person")
    claim(holds, "w")
    assert holds.permit("replayed", "w")
    for name, after in (("judged", HOUR / 2), ("soon", HOUR / 4)):
        assert holds.retry(name, "w", NOW + after)
    assert holds.retry("person", "w", NOW + 3 * HOUR, state=HoldState.WAITING)
    assert [one.id for one in claim(holds, "w", states=REPLAYING)] == ["replayed"]
    assert holds.retry("replayed", "w", NOW + 2 * HOUR)
    assert holds.renew(["claimed"], "w", NOW + 2 * HOUR, LEASE) == {"claimed"}
    assert holds.clock_put_back(NOW, HOUR / 4, LEASE) == 2
    assert ids(claim(holds, "v")) == ["judged"]
    assert ids(claim(holds, "v", states=REPLAYING)) == ["replayed"]
    # Who has the claim still has it, but not for hours.
    assert holds.renew(["claimed"], "w", NOW, LEASE) == {"claimed"}
    assert "claimed" in ids(claim(holds, "v", after=LEASE))
    assert holds.clock_put_back(NOW, HOUR / 4, LEASE) == 0
