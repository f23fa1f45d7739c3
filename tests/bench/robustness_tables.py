"""The tables of ``robustness``: for a terminal, and between the marks of a Markdown file."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

BEGIN, END = "<!-- figures -->", "<!-- /figures -->"
_WIDE = 150

type Rows = Iterator[tuple[str, ...]]

COPIES = (
    "copy",
    "by digest",
    "PDQ recall",
    "bits: median, p99",
    "recall with variants",
    "bits: median, p99",
    "clip drift: mean, p99",
    "nudity drift: mean, p99",
    "still dropped",
)
KINDS = (
    "picture",
    "known",
    "with a PDQ hash",
    "PDQ recall, all copies",
    "others with a PDQ hash",
    "false",
    "with variants",
)
SYMBOLS = "symbol", "mean drift", "99th percentile"


def show(figures: dict[str, Any]) -> None:
    """All three; where they go into a file, as wide as they are."""
    console = Console()
    console = Console(width=max(console.width, _WIDE)) if not console.is_terminal else console
    for head, rows in _tables(figures):
        table = Table(box=box.SIMPLE_HEAD)
        table.add_column(head[0], overflow="fold")
        for heading in head[1:]:
            table.add_column(heading, justify="right")
        for row in rows:
            table.add_row(*row)
        console.print(table)


def write(file: Path, figures: dict[str, Any], how: str) -> None:
    """Put them between the file's marks; a file without marks gets them at its end. ``how``: when, where, with what."""
    text = file.read_text() if file.is_file() else ""
    before, _, rest = text.partition(BEGIN)
    parts = [how, _summary(figures), *(_markdown(head, rows) for head, rows in _tables(figures))]
    file.write_text(f"{before}{BEGIN}\n{'\n\n'.join(parts)}\n{END}{rest.partition(END)[2] or '\n'}")


def _summary(figures: dict[str, Any]) -> str:
    return (
        f"{figures['pictures']} known pictures, {figures['listed']} with a PDQ hash (the others are too flat for one); "
        f"{figures['dropped']} that the demo's policy drops; NudeNet looked at {figures['nudity_pictures']}. "
        f"{figures['others']} pictures in no list, {figures['others_hashed']} with a PDQ hash: of these "
        f"{_percent(figures['false'])} match falsely, {_percent(figures['false_variants'])} with variants. "
        f"Seed {figures['seed']}."
    )


def _tables(figures: dict[str, Any]) -> Iterator[tuple[Sequence[str], Rows]]:
    yield COPIES, (_copy(name, found) for name, found in figures["copies"].items())
    yield KINDS, (_kind(name, found) for name, found in figures["kinds"].items())
    yield SYMBOLS, ((symbol, *_pair(found, "{:.4f}").split(", ")) for symbol, found in figures["symbols"].items())


def _copy(name: str, found: dict[str, Any]) -> tuple[str, ...]:
    return (
        name,
        _percent(found["by_digest"]),
        _percent(found["recall"]),
        _pair(found["bits"], "{:g}"),
        _percent(found["recall_variants"]),
        _pair(found["bits_variants"], "{:g}"),
        _pair(found["clip"], "{:.3f}"),
        _pair(found["nudity"], "{:.3f}"),
        _percent(found["forbidden_kept"]),
    )


def _kind(name: str, found: dict[str, Any]) -> tuple[str, ...]:
    return (
        name,
        str(found["pictures"]),
        str(found["listed"]),
        _percent(found["recall"]),
        f"{found['others_hashed']} of {found['others']}",
        _percent(found["false"]),
        _percent(found["false_variants"]),
    )


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"


def _pair(two: Sequence[float] | None, form: str) -> str:
    return "–" if two is None else ", ".join(map(form.format, two))


def _markdown(head: Sequence[str], rows: Rows) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
