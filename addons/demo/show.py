"""What the demo prints: the warning, and a table that grows by a row for each outcome."""

from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from addons.demo.outcome import NOTHING, Finding, Result
from addons.demo.visited import Outcome
from addons.policy.words import Door

WARNING = (
    "This demo protects nobody. Its tiny model knows drawn shapes and nothing else; what its policy forbids is a red "
    "circle. No harmful image is in it. A real set-up needs a real model: see the README."
)
INTACT = (
    "intact: byte for byte as sent, a delivery with its path and headers, its signature valid. a placeholder: a grey "
    "picture of the same kind in its place. ms: until who asked had the answer. pict-rs is a stand-in here, as much of "
    "it as the demo needs; the real one runs in fediward's tests."
)
DOORS: Mapping[Door, str] = {
    "inbox": "inbox",
    "fetch": "fetch",
    "pictrs": "pict-rs",
    "validate": "validate",
    "upload": "upload",
}
WIDE = 116
"""Columns of a terminal from which on every heading has a column of its own."""
WIDEST = 160
"""More would only put more space between the columns."""


def slowly(seconds: float, budget: float) -> str:
    """What is said before the outcomes of the fediward without a GPU."""
    return (
        f"no GPU: a second fediward, whose judge takes {seconds:g} s more for a picture; senders wait {budget:g} s at "
        "most, then their delivery is held, judged, and replayed or dropped."
    )


def warning() -> Panel:
    """The loud part."""
    return Panel(Text(WARNING, style="bold"), title="THIS PROTECTS NOBODY", border_style="red", style="red")


def table(results: Sequence[Outcome], width: int, *, head: bool = True) -> Table:
    """Rows for a terminal of ``width`` columns; the columns stand the same whatever is in them."""
    if width >= WIDE:
        return _wide(results, min(width, WIDEST), head)
    return _narrow(results, width, head)


def _wide(results: Sequence[Outcome], width: int, head: bool) -> Table:
    shown = _empty(head)
    # Found, done and got are as wide as most of what stands in them; what came takes the rest, then found the rest.
    came = min(width - 13 - 8 - 21 - 22 - 5 - 18 - 5, 58)
    for heading, columns in (
        ("door", 8),
        ("what came", came),
        ("what was found", width - 13 - 8 - came - 22 - 5 - 18 - 5),
        ("what was done", 22),
    ):
        shown.add_column(heading, width=columns)
    shown.add_column("ms", width=5, justify="right")
    shown.add_column("what got through", width=18)
    shown.add_column("", width=5)
    for result in results:
        shown.add_row(
            DOORS[result.door],
            came_as(result),
            found_in(result),
            done_with(result),
            f"{result.ms:.0f}",
            result.got,
            _verdict(result),
            style=_style(result),
        )
    return shown


def _narrow(results: Sequence[Outcome], width: int, head: bool) -> Table:
    shown = _empty(head)
    room = max(40, width - 7 - 5)
    came, found = room * 38 // 100, room * 35 // 100
    shown.add_column("door,\nwhat came", width=came)
    shown.add_column("what was found,\nwhat was done", width=found)
    shown.add_column("ms", width=5, justify="right")
    shown.add_column("what got\nthrough", width=room - came - found)
    for result in results:
        shown.add_row(
            Text.assemble((DOORS[result.door], "dim"), "\n", came_as(result)),
            f"{found_in(result)}\n{done_with(result)}",
            f"{result.ms:.0f}",
            Text.assemble(result.got, "\n", _verdict(result)),
            style=_style(result),
        )
    return shown


def _empty(head: bool) -> Table:
    return Table(box=box.SIMPLE_HEAD, show_header=head, show_edge=False, padding=(0, 1, 0, 0))


def line(result: Outcome) -> str:
    """One result as one line of a log."""
    verdict = "right" if result.right else "WRONG"
    came = f"{DOORS[result.door]} | {came_as(result)}"
    return f"{verdict} | {came} | {found_in(result)} | {done_with(result)} | {result.ms:.0f} ms | {result.got}"


def found_in(result: Outcome) -> str:
    """The symbol that decided, its score, and where it stood; or the cause."""
    if result.entry is None:
        return "no media"
    end = result.end if isinstance(result, Result) else None
    later = f", then {_told(end.found)}" if end and end.found else ""
    if result.entry.cause:
        return f"cause: {result.entry.cause}{later}"
    if result.entry.action == "hold" and not result.entry.rule:
        return "what it belongs behind is held"
    if result.found is None:
        return "who it is from" if result.entry.rule and not result.entry.media_count else "nothing"
    return _told(result.found)


def _told(found: Finding) -> str:
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


def came_as(result: Outcome) -> str:
    """Who came, and with what."""
    return f"{result.who}: {result.carries}"


def done_with(result: Outcome) -> str:
    """The action, the rule that gave it (a cause is told as what was found), and what was answered."""
    rule = f" ({result.entry.rule})" if result.entry and result.entry.rule else ""
    done = f"{result.action}{rule}, {result.status}"
    if not isinstance(result, Result) or result.end is None:
        return done
    end = result.end
    by = f" ({end.entry.rule})" if end.entry and end.entry.rule else ""
    return f"{done}; {end.outcome}{by} after {end.seconds:.0f} s"


def complain(console: Console, result: Outcome) -> None:
    """Name an outcome that is wrong, and how."""
    mark(console, f"{came_as(result)}: {'; '.join(result.problems())}")


def mark(console: Console, problem: str) -> None:
    """One thing that is wrong; in a log it stays one line."""
    console.print(f"[bold red]WRONG[/]: {escape(problem)}", soft_wrap=not console.is_terminal)


def _verdict(result: Outcome) -> Text:
    return Text("right", style="green") if result.right else Text("WRONG", style="bold red")


def _style(result: Outcome) -> str:
    return "yellow" if result.got == NOTHING else ""
