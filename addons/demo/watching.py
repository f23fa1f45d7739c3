"""Watches the demo: loads it, plays its scenes round by round, prints each outcome, and counts what was wrong."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx
from rich.console import Console

from addons.demo import show
from addons.demo.outcome import Result
from addons.demo.scenes import Scene, Script
from addons.ledger.errors import LedgerError

if TYPE_CHECKING:
    from addons.demo.run import Demo

TROUBLE = (OSError, LedgerError, httpx.HTTPError)
"""What may end the demo though its models are there: a port or file that cannot be had, a door that does not answer."""
PACE = 1.0
"""Seconds between two scenes where somebody watches for as long as they like."""
SETTLE = 0.3
"""Seconds for a stopped delivery to turn up at the server all the same, before a round is audited."""
TIMEOUT = 60.0
"""Seconds for one delivery's answer."""


@dataclass(slots=True)
class Watcher:
    """Prints outcomes to ``console`` and counts them. ``script`` writes a round's scenes, beginning at a seed."""

    console: Console
    once: bool
    script: Callable[[str, str, int], Script] = Script
    outcomes: int = 0
    right: int = 0
    wrong: int = 0
    """Outcomes that were not right, and what was wrong with whole rounds."""
    _rows: bool = field(init=False)

    def __post_init__(self) -> None:
        """A terminal gets the table row by row, anything else a line each and the table at the end."""
        self._rows = self.console.is_terminal and self.console.file.isatty()

    async def watch(self, config: str | None = None, loaded: Callable[[], None] = lambda: None) -> None:
        """Play every scene once, or round after round until cancelled.

        ``loaded`` is called when the models are there. Raises CannotStartError and what :data:`TROUBLE` names.
        """
        self.console.print(show.warning())
        with contextlib.ExitStack() as loading:
            told = "loading the tiny model and NudeNet: torch takes its time ..."
            if self._rows:
                loading.enter_context(self.console.status(told))
            else:
                self.console.print(told)
            from addons.demo.run import CONFIG, opened  # late: it brings mitmproxy, which takes seconds

            def done() -> None:
                loading.close()
                loaded()

            async with (
                opened(config or CONFIG, done) as demo,
                httpx.AsyncClient(trust_env=False, timeout=TIMEOUT) as client,
            ):
                await self._rounds(demo, client)

    async def _rounds(self, demo: "Demo", client: httpx.AsyncClient) -> None:
        seed = 0
        if self._rows:
            self.console.print(show.table([], self.console.width))
        while True:
            script = self.script(demo.remote.server.url, demo.remote.actor, seed)
            await self._round(demo, client, script.all())
            if self.once:
                return
            seed = script.seed

    async def _round(self, demo: "Demo", client: httpx.AsyncClient, scenes: Sequence[Scene]) -> None:
        results = []
        for scene in scenes:
            result = await demo.play(scene, client)
            results.append(result)
            self._tell(result)
            if not self.once:
                await asyncio.sleep(PACE)
        await asyncio.sleep(SETTLE)
        problems = await demo.audit(results, client)
        if self.once and not self._rows:
            self.console.print(show.table(results, self.console.width))
        for result in results:
            if self.once and not result.right:
                show.complain(self.console, result)
        for problem in problems:
            show.mark(self.console, problem)
        self.wrong += len(problems)

    def _tell(self, result: Result) -> None:
        self.outcomes += 1
        self.right += result.right
        self.wrong += not result.right
        if self._rows:
            self.console.print(show.table([result], self.console.width, head=False))
        else:
            self.console.print(show.line(result), markup=False, soft_wrap=True)
        if not self.once and not result.right:
            show.complain(self.console, result)

    def sum_up(self) -> None:
        """The last words."""
        if not self.outcomes:
            self.console.print("Stopped before anything was sent.")
            return
        self.console.print(show.INTACT, style="dim")
        told = f"{self.right} of {self.outcomes} outcomes were right"
        if self.wrong:
            told = f"[bold red]{told}: something is WRONG, see above.[/]"
        else:
            told += ". This demo protects nobody: to protect a real server, see the README."
        self.console.print(told, soft_wrap=not self._rows)
