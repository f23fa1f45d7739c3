"""What became of one visit, and all that is not as it should be."""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from addons.demo.outcome import NOTHING, Finding, Result, intact
from addons.demo.visits import Visit
from addons.demo.ways import Gone
from addons.ledger.entry import Entry
from addons.policy.words import Door

GOT: Mapping[str, str] = {
    "intact": "intact",
    "placeholder": "a placeholder",
    "stripped": "no picture in it",
    "nothing": NOTHING,
}
"""What has arrived, in words."""


@dataclass(frozen=True, slots=True)
class Visited:
    """What became of one visit: how the way was gone, what alone may have arrived (``wanted``), what the ledger says.

    ``contact``: whom a refusal has to name.
    """

    visit: Visit
    gone: Gone
    wanted: tuple[bytes, ...]
    entry: Entry | None = None
    found: Finding | None = None
    contact: str = ""

    @property
    def door(self) -> Door:
        """At which it came."""
        return self.visit.door

    @property
    def who(self) -> str:
        """In whose manner."""
        return self.visit.software

    @property
    def carries(self) -> str:
        """What came, in words."""
        return self.visit.carries

    @property
    def status(self) -> int:
        """The answer to who asked."""
        return self.gone.status

    @property
    def ms(self) -> float:
        """Until who asked had it."""
        return self.gone.ms

    @property
    def action(self) -> str:
        """What was done; what has no entry passed."""
        return self.entry.action if self.entry else "pass"

    @property
    def decided(self) -> str | None:
        """The rule or cause that decided."""
        return (self.entry.rule or self.entry.cause) if self.entry else None

    @property
    def got(self) -> str:
        """What arrived, in words."""
        if not self.gone.arrived:
            return NOTHING
        if self.gone.arrived == (self.gone.sent,):
            return intact(self.gone.changes)
        if self.gone.arrived != self.wanted:
            return "something else"
        return GOT[self.visit.arrives]

    @property
    def refusal(self) -> str | None:
        """What a user was told, of whom something was refused."""
        if not self.visit.told:
            return None
        with contextlib.suppress(ValueError, AttributeError):
            told = json.loads(self.gone.words).get("error")
            return told if isinstance(told, str) else None
        return None

    @property
    def right(self) -> bool:
        """Whether all is as the visit asks for, and for the reason it asks for."""
        return not self.problems()

    def problems(self) -> list[str]:
        """All that is not as the visit asks for, in words."""
        visit, gone = self.visit, self.gone
        checked = {
            "the answer": (gone.status, visit.status),
            "the action": (self.action, visit.action),
            "what decided": (self.decided, visit.decided),
            "in the ledger": (self.entry is not None, visit.ledger),
            "what arrived": (self.got, GOT[visit.arrives]),
        }
        problems = [f"{name}: {got}, not {asked}" for name, (got, asked) in checked.items() if got != asked]
        problems += [f"the {change} arrived changed" for change in gone.changes]
        if gone.arrived != self.wanted:
            problems.append(f"{len(gone.arrived)} files arrived, not the {len(self.wanted)} that may")
        told = self.refusal or ""
        if visit.told and not (self.entry and self.entry.id in told and self.contact in told):
            problems.append(f"the refusal does not say whom to ask about which decision: {gone.words[:200]!r}")
        return problems


type Outcome = Result | Visited
"""What became of a scene or visit, as it is shown."""
