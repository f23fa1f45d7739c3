"""The workers that a door has heard of: which may judge for it, which may not and why, and which have fallen silent."""

import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from classifier.inputs import InputSpec
from classifier.remote.identity import Asked, differences, key
from classifier.remote.messages import ANNOUNCED, Hello, Told, shown

MAX_WORKERS = 256
"""Workers that are remembered; strangers with the right to speak on the server could announce any number."""
QUIET = 3.5 * ANNOUNCED
"""Seconds without a word after which a worker is asked nothing if there is another."""
FORGOTTEN = 60.0
"""Seconds without a word after which a worker is no more."""


@dataclass(slots=True)
class _Known:
    hello: Hello
    heard: float
    why: str
    """Why it may not judge; empty if it may."""


class Roster:
    """Belongs to one door. Times are seconds on the event loop's clock.

    ``expected``: how the detectors must announce themselves, where that is known because they are loaded here too. Else
    the first worker with the same configuration settles it: another with other weights is refused from then on.
    """

    def __init__(self, asked: Asked, expected: Mapping[str, Told] | None = None) -> None:
        self._asked = asked
        self._known: dict[str, _Known] = {}
        self._settled: Mapping[str, Told] | None = expected
        self.strange = ""
        """What was last said on the subject of announcements that could not be understood."""

    @property
    def key(self) -> str:
        """What ends the subject of jobs; empty while no worker was met. Once known it never changes."""
        return key(self._settled) if self._settled is not None else ""

    @property
    def inputs(self) -> Mapping[str, InputSpec]:
        """By detector, how it wants its frames; empty while no worker was met."""
        return {name: one.input for name, one in (self._settled or {}).items()}

    def heard(self, hello: Hello, now: float) -> str:
        """A worker has announced itself; what is to be written into the log of it, if it is news."""
        self._forget(now)
        before = self._known.get(hello.worker)
        name = f"the worker {shown(hello.host)} ({hello.worker})"
        if hello.leaving:
            return f"{name} leaves" if self._known.pop(hello.worker, None) else ""
        if before is None and len(self._known) >= MAX_WORKERS:
            return ""
        if self._settled is None and not differences(self._asked, hello.detectors):
            self._settled = hello.detectors
        why = self._objection(hello.detectors)
        self._known[hello.worker] = _Known(hello, now, why)
        if before is not None and before.why == why:
            return ""
        if why:
            return f"{name} is not used: {why}"
        on = ", ".join(f"{one} on {shown(told.runs_on) or 'its CPU'}" for one, told in hello.detectors.items())
        return f"{name} judges for us: {on}"

    def alive(self, worker: str, now: float) -> None:
        """A sign of life."""
        if (known := self._known.get(worker)) is not None:
            known.heard = now

    def silent(self, worker: str) -> None:
        """It did not do what it had begun: nothing is asked of it until it announces itself again."""
        if (known := self._known.get(worker)) is not None:
            known.heard -= QUIET

    def silent_since(self, then: float) -> None:
        """One of them did not do what was asked then: it is among those that have said nothing at all since."""
        for known in self._known.values():
            if known.heard < then:
                known.heard -= QUIET

    def nobody(self) -> None:
        """The server knows of none that may judge."""
        self._known = {worker: one for worker, one in self._known.items() if one.why}

    def clear(self) -> None:
        """The server is out of reach: nobody is known to be there."""
        self._known.clear()

    def fit(self, now: float) -> list[str]:
        """Those that may judge, and were heard of lately."""
        return [worker for worker, one in self._known.items() if not one.why and now - one.heard < QUIET]

    def any(self, now: float) -> bool:
        """Whether somebody may be there to judge."""
        self._forget(now)
        return any(not one.why for one in self._known.values())

    def elsewhere(self, tried: Collection[str], now: float) -> str | None:
        """A worker to ask by name: one that may judge and is not among ``tried``."""
        choice = [worker for worker in self.fit(now) if worker not in tried]
        return random.choice(choice) if choice else None

    def doubtful(self, now: float) -> bool:
        """Whether one has fallen silent of late, whom the server may still take for a member of the queue group."""
        return any(not one.why and now - one.heard >= QUIET for one in self._known.values())

    def why_none(self, now: float) -> str:
        """Why nobody judges, for a person."""
        self._forget(now)
        refused = [f"{shown(one.hello.host)}: {one.why}" for one in self._known.values() if one.why]
        if refused:
            more = f" (and {len(refused) - 3} more)" if len(refused) > 3 else ""
            return f"no worker that may judge is there, only {'; '.join(refused[:3])}{more}"
        return f"no worker is there{f' ({self.strange})' if self.strange else ''}; `fediward worker -c FILE` is one"

    def _objection(self, there: Mapping[str, Told]) -> str:
        if unlike := differences(self._asked, there):
            return f"{shown('; '.join(unlike))}. Give both the same `classifier:` and `concepts:`"
        settled = self._settled or there
        if key(settled) == key(there):
            return ""
        other = [
            f"{name} is {there[name].identity} there, {one.identity} here"
            for name, one in settled.items()
            if (one.identity, one.input) != (there[name].identity, there[name].input)
        ]
        return (
            f"{shown('; '.join(other))}: it has other weights, or another fediward. Give both the same, and restart "
            "what had them before"
        )

    def _forget(self, now: float) -> None:
        for worker in [worker for worker, one in self._known.items() if now - one.heard > FORGOTTEN]:
            del self._known[worker]
