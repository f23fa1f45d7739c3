"""Watches the demo: loads it, plays its scenes round by round, prints each outcome, and counts what was wrong."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx
from rich.console import Console

from addons.demo import show
from addons.demo.no_gpu import BUDGET, SECONDS, slow_scenes
from addons.demo.outcome import Result
from addons.demo.scenes import Scene, Script
from addons.demo.visited import Outcome, Visited
from addons.demo.visits import Visit, visits
from addons.ledger.errors import LedgerError

if TYPE_CHECKING:
    from addons.demo.awaiting import Sent
    from addons.demo.run import Demo

TROUBLE = (OSError, LedgerError, httpx.HTTPError)
"""What may end the demo though its models are there: a port or file that cannot be had, a door that does not answer."""
PACE = 1.0
"""Seconds between two outcomes where somebody watches for as long as they like."""
SETTLE = 0.3
"""Seconds for a stopped delivery to turn up at the server all the same, before a round is audited."""


@dataclass(slots=True)
class Watcher:
    """Prints outcomes to ``console`` and counts them.

    ``script`` writes a round's scenes, beginning at a seed, and ``visits`` its visits, with the script's seeds;
    ``slow_scenes`` what is sent to the fediward without a GPU, which takes ``slow`` seconds for a picture.
    """

    console: Console
    once: bool
    script: Callable[[str, str, int], Script] = Script
    visits: Callable[[Script, str], Sequence[Visit]] = visits
    slow_scenes: Callable[[Script], Sequence[Sequence[Scene]]] = slow_scenes
    slow: float = SECONDS
    outcomes: int = 0
    right: int = 0
    wrong: int = 0
    """Outcomes that were not right, and what was wrong with whole rounds."""
    _rows: bool = field(init=False)

    def __post_init__(self) -> None:
        """A terminal gets the table row by row, anything else a line each and the table at the end."""
        self._rows = self.console.is_terminal and self.console.file.isatty()

    async def watch(self, config: str | None = None, loaded: Callable[[], None] = lambda: None) -> None:
        """Play every scene and visit once, or round after round until cancelled.

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

            async with opened(config or CONFIG, done, slow=self.slow) as demo:
                await self._rounds(demo)

    async def _rounds(self, demo: "Demo") -> None:
        seed = 0
        if self._rows:
            self.console.print(show.table([], self.console.width))
        while True:
            script = self.script(demo.remote.server.url, demo.remote.actor, seed)
            scenes, visits = script.all(), self.visits(script, demo.remote.secure.url)
            await self._round(demo, scenes, visits, self.slow_scenes(script))
            if self.once:
                return
            seed = script.seed

    async def _round(
        self, demo: "Demo", scenes: Sequence[Scene], visits: Sequence[Visit], slow: Sequence[Sequence[Scene]]
    ) -> None:
        # First, for nobody need wait meanwhile: that is what it shows.
        pending = await demo.send_slowly(slow)
        results: list[Result] = []
        for scene in scenes:
            results.append(await demo.play(scene))
            await self._tell(results[-1])
        visited: list[Visited] = []
        for visit in visits:
            visited.append(await demo.visit(visit))
            await self._tell(visited[-1])
        late = [await self._finished(demo, sent) for sent in pending]
        await asyncio.sleep(SETTLE)
        problems = await demo.audit([*results, *late], visited)
        outcomes: list[Outcome] = [*results, *visited, *late]
        if self.once and not self._rows:
            self.console.print(show.table(outcomes, self.console.width))
        for outcome in outcomes:
            if self.once and not outcome.right:
                show.complain(self.console, outcome)
        if self.once and (told := next(filter(None, (one.refusal for one in visited)), None)):
            self.console.print(
                f"A user whose picture is refused is told: {told}", markup=False, soft_wrap=not self._rows
            )
        for problem in problems:
            show.mark(self.console, problem)
        self.wrong += len(problems)

    async def _finished(self, demo: "Demo", sent: "Sent") -> Result:
        result = await demo.finish(sent)
        await self._tell(result)
        return result

    async def _tell(self, result: Outcome) -> None:
        self.outcomes += 1
        self.right += result.right
        self.wrong += not result.right
        if self._rows:
            self.console.print(show.table([result], self.console.width, head=False))
        else:
            self.console.print(show.line(result), markup=False, soft_wrap=True)
        if not self.once:
            if not result.right:
                show.complain(self.console, result)
            await asyncio.sleep(PACE)

    def sum_up(self) -> None:
        """The last words."""
        if not self.outcomes:
            self.console.print("Stopped before anything was sent.")
            return
        self.console.print(show.INTACT, style="dim")
        self.console.print(show.slowly(self.slow, BUDGET * self.slow), style="dim")
        told = f"{self.right} of {self.outcomes} outcomes were right"
        if self.wrong:
            told = f"[bold red]{told}: something is WRONG, see above.[/]"
        else:
            told += ". This demo protects nobody: to protect a real server, see the README."
        self.console.print(told, soft_wrap=not self._rows)
