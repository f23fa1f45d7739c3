"""What the demo prints: the warning, and a table that grows by a row for each delivery."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from addons.demo.outcome import Finding, Result

WARNING = (
    "This demo protects nobody. Its tiny model knows drawn shapes and nothing else; what its policy forbids is a red "
    "circle. No harmful image is in it. A real set-up needs a real model: see the README."
)
INTACT = (
    "intact: its signature valid, path, headers and body byte for byte as sent. ms: until the sender had its answer."
)
WIDE = 116
"""Columns of a terminal from which on every heading has a column of its own."""
WIDEST = 160
"""More would only put more space between the columns."""


def warning() -> Panel:
    """The loud part."""
    return Panel(Text(WARNING, style="bold"), title="THIS PROTECTS NOBODY", border_style="red", style="red")


def table(results: Sequence[Result], width: int, *, head: bool = True) -> Table:
    """Rows for a terminal of ``width`` columns; the columns stand the same whatever is in them."""
    if width >= WIDE:
        return _wide(results, min(width, WIDEST), head)
    return _narrow(results, width, head)


def _wide(results: Sequence[Result], width: int, head: bool) -> Table:
    shown = _empty(head)
    # Found, done and got are as wide as most of what stands in them; what came takes the rest, then found the rest.
    came = min(width - 13 - 10 - 21 - 22 - 5 - 18 - 5, 48)
    for heading, columns in (
        ("from", 10),
        ("what came", came),
        ("what was found", width - 13 - 10 - came - 22 - 5 - 18 - 5),
        ("what was done", 22),
    ):
        shown.add_column(heading, width=columns)
    shown.add_column("ms", width=5, justify="right")
    shown.add_column("what the server\ngot", width=18)
    shown.add_column("", width=5)
    for result in results:
        shown.add_row(
            result.scene.software,
            result.scene.carries,
            found_in(result),
            done_with(result),
            f"{result.ms:.0f}",
            received(result),
            _verdict(result),
            style=_style(result),
        )
    return shown


def _narrow(results: Sequence[Result], width: int, head: bool) -> Table:
    shown = _empty(head)
    room = max(40, width - 7 - 5)
    came, found = room * 38 // 100, room * 35 // 100
    shown.add_column("what came", width=came)
    shown.add_column("what was found,\nwhat was done", width=found)
    shown.add_column("ms", width=5, justify="right")
    shown.add_column("what the server\ngot", width=room - came - found)
    for result in results:
        shown.add_row(
            f"{result.scene.software}: {result.scene.carries}",
            f"{found_in(result)}\n{done_with(result)}",
            f"{result.ms:.0f}",
            Text.assemble(received(result), "\n", _verdict(result)),
            style=_style(result),
        )
    return shown


def _empty(head: bool) -> Table:
    return Table(box=box.SIMPLE_HEAD, show_header=head, show_edge=False, padding=(0, 1, 0, 0))


def line(result: Result) -> str:
    """One result as one line of a log."""
    verdict = "right" if result.right else "WRONG"
    came = f"{result.scene.software}: {result.scene.carries}"
    return f"{verdict} | {came} | {found_in(result)} | {done_with(result)} | {result.ms:.0f} ms | {received(result)}"


def found_in(result: Result) -> str:
    """The symbol that decided, its score, and where it stood; or the cause."""
    if result.entry is None:
        return "no media"
    if result.entry.cause:
        return f"cause: {result.entry.cause}"
    found = result.found
    if found is None:
        return "nothing"
    where = [f"picture {found.medium} of {found.media}"] if found.media > 1 else []
    where += [frame] if (frame := _frame(found)) else []
    where += ["cached"] if found.cached else []
    return f"{found.symbol} {found.score:.2f}" + (f" ({', '.join(where)})" if where else "")


def _frame(found: Finding) -> str:
    """Where in its file it stood: a further picture by its name, a video's frame by its second."""
    if found.at is not None:
        stood = f"second {found.at:.1f}"
    else:
        stood = f"frame {found.frame}" if found.frame is not None and not found.reading else ""
    return " of ".join(part for part in (stood, found.reading) if part)


def done_with(result: Result) -> str:
    """The action, the rule that gave it (a cause is told as what was found), and what the sender was answered."""
    rule = f" ({result.entry.rule})" if result.entry and result.entry.rule else ""
    return f"{result.action}{rule}, {result.status}"


def received(result: Result) -> str:
    """What reached the server."""
    if not result.arrivals:
        return "nothing"
    newest = result.arrivals[-1]
    counts = {"picture": newest.pictures, "video": newest.videos}
    what = ", ".join(f"{count} {name}{'s' * (count > 1)}" for name, count in counts.items() if count) or "words"
    state = f"CHANGED: {', '.join(result.changes)}" if result.changes else "intact"
    times = f", {len(result.arrivals)} times" if len(result.arrivals) > 1 else ""
    return f"{what}, {state}{times}"


def complain(console: Console, result: Result) -> None:
    """Name a scene that came out wrong, and how."""
    scene = f"{result.scene.software}, {result.scene.carries}"
    mark(console, f"{scene}: {'; '.join(result.problems())}")


def mark(console: Console, problem: str) -> None:
    """One thing that is wrong; in a log it stays one line."""
    console.print(f"[bold red]WRONG[/]: {escape(problem)}", soft_wrap=not console.is_terminal)


def _verdict(result: Result) -> Text:
    return Text("right", style="green") if result.right else Text("WRONG", style="bold red")


def _style(result: Result) -> str:
    return "" if result.arrivals else "yellow"
