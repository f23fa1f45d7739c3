"""What holding needs of others: the ledger's holds, and somebody who judges a held delivery again."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from addons.ledger.held import Held, HoldState, Outcome, Then
from addons.policy.words import Action, Cause


class Claims(Protocol):
    """What the keeper needs of ``addons.ledger.holds.Holds``. Every method blocks, and raises what the database does.

    Those that name a ``worker`` do nothing, and say so, where the hold is not that worker's (any more).
    """

    def claim(
        self,
        states: Collection[HoldState],
        worker: str,
        now: datetime,
        lease: timedelta,
        limit: int,
        *,
        closing: bool = False,
    ) -> list[Held]:
        """Take holds that are due and nobody's; with ``closing`` only those whose window closes by ``now``."""
        ...

    def renew(self, ids: Collection[str], worker: str, now: datetime, lease: timedelta) -> Collection[str]:
        """Keep them until ``now + lease``; those that are still the worker's."""
        ...

    def clock_put_back(self, now: datetime, longest: timedelta, lease: timedelta) -> int:
        """What is to be tried only after ``longest`` is due now, and what is claimed for longer soon anybody's."""
        ...

    def permit(self, id: str, worker: str, *, unjudged: bool = False) -> bool:
        """It may be replayed, now."""
        ...

    def retry(
        self,
        id: str,
        worker: str,
        due: datetime,
        urls: Sequence[str] | None = None,
        *,
        then: Then | None = None,
        cause: str | None = None,
        rule: str | None = None,
        state: HoldState | None = None,
    ) -> bool:
        """Give it back until ``due``, one attempt more; what is not None is changed with it."""
        ...

    def give_back(self, ids: Collection[str], worker: str) -> None:
        """Let others have them at once; no attempt was made."""
        ...

    def end(self, id: str, worker: str | None, outcome: Outcome, detail: str, now: datetime) -> bool:
        """Its one outcome."""
        ...

    def awaiting(self, url: str, now: datetime) -> int:
        """Those that wait for this URL are due now; how many."""
        ...


@dataclass(frozen=True, slots=True)
class Assessment:
    """What a held delivery came out as when it was judged again.

    ``then``: set where ``action`` is hold. ``urls``: media that could not be fetched, so that it is judged at once when
    one of them is seen.
    """

    action: Action
    then: Then | None = None
    cause: Cause | None = None
    rule: str | None = None
    urls: Sequence[str] = field(default=())


class Assess(Protocol):
    """Judges a held delivery like a new one, with all the time that it is given, and writes the decision down.

    What ``strip`` needs is done when it returns. It may raise: then the delivery is tried again later.
    """

    async def __call__(self, held: Held, timeout: float) -> Assessment:
        """``timeout`` in seconds."""
        ...
