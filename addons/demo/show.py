"""The demo's table: what came, what was found, what was done, in how many ms, and what the server received."""

from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from addons.demo.run import Result

WARNING = (
    "This demo protects nobody. Its tiny model knows drawn shapes and nothing else; what its policy forbids is a red "
    "circle. No harmful image is in it. A real set-up needs a real model: see the README."
)
ROWS = 40


def warning() -> Panel:
    """The loud part."""
    return Panel(Text(WARNING, style="bold"), title="DEMO", border_style="red", style="red")


def table(results: list[Result]) -> Table:
    """The last rows, oldest first."""
    shown = Table(title="fediward between the fediverse and one server", title_justify="left")
    for heading in ("from", "what came", "what was found", "what was done", "ms", "what the server received", ""):
        shown.add_column(heading, justify="right" if heading == "ms" else "left")
    for result in results[-ROWS:]:
        done = _done(result)
        received = _received(result)
        verdict = Text("right", style="green") if result.right else Text("WRONG", style="bold red")
        style = "yellow" if result.pictures is None else ""
        shown.add_row(
            result.scene.software,
            result.scene.carries,
            _found(result),
            done,
            f"{result.ms:.0f}",
            received,
            verdict,
            style=style,
        )
    return shown


def _found(result: Result) -> str:
    if result.entry is None:
        return "no media"
    if result.entry.cause:
        return f"cause: {result.entry.cause}"
    scores: dict[str, float] = {}
    for medium in result.entry.media:
        for frame in medium.frames:
            for name, score in frame.symbols.items():
                scores[name] = max(score, scores.get(name, 0.0))
    name, score = max(scores.items(), key=lambda item: item[1], default=("nothing", 0.0))
    return f"{name} {score:.2f}"


def _done(result: Result) -> str:
    action = result.entry.action if result.entry else "pass"
    why = result.entry.rule or result.entry.cause if result.entry else None
    return f"{action} ({why}), {result.status}" if why else f"{action}, {result.status}"


def _received(result: Result) -> str:
    if result.pictures is None:
        return "nothing"
    pictures = f"{result.pictures} picture{'s' if result.pictures != 1 else ''}" if result.pictures else "words"
    return f"{pictures}, signature valid"
