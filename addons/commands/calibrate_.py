"""``fediward calibrate``: scores an admin's own ordinary media and finds thresholds for a wanted rate of mistakes."""

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from addons.commands.options import config_option

if TYPE_CHECKING:  # imported late below: `--help` should not take a second
    from addons.calibration.edits import Edit
    from addons.calibration.scoring import Scored
    from addons.calibration.thresholds import Threshold
    from addons.policy.config import Config
    from addons.policy.decide import Policy
    from classifier.engine import Engine

NOTHING_DONE = 1


@dataclass(frozen=True, slots=True)
class Report:
    """What is found: written to ``calibration.json``, and the ground of the table."""

    files: int
    judged: int
    same: int
    not_judged: dict[str, int]
    version: str
    thresholds: tuple["Threshold", ...]
    now: dict[str, float]
    rules: dict[str, tuple[int, int]]
    """By rule, how many of the judged files it would have acted on: now, and with these thresholds."""


@click.command("calibrate")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@config_option("The configuration whose detectors score, and whose rules --apply edits.")
@click.option(
    "--rate",
    type=click.FloatRange(0, 0.5, min_open=True),
    default=0.001,
    show_default=True,
    help="Share of ordinary media that may lie above a threshold.",
)
@click.option("--symbol", "wanted", multiple=True, metavar="SYMBOL", help="Only this symbol (may be given often).")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("calibration"),
    show_default=True,
    help="Where scores.jsonl, calibration.json and calibration.png are put.",
)
@click.option("--fresh", is_flag=True, help="Score all files anew, even those that an earlier run has scored.")
@click.option("--apply", "apply_", is_flag=True, help="Write the thresholds into the configuration's rules.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON object.")
def command(
    folder: Path,
    config_file: Path,
    rate: float,
    wanted: tuple[str, ...],
    out: Path,
    fresh: bool,
    apply_: bool,
    as_json: bool,
) -> None:
    """Find the thresholds at which at most RATE of your own ordinary media would be flagged.

    FOLDER holds ordinary pictures and videos: what your users post every day, and nothing that a rule should stop. The
    more the better: 10 for each one that may be flagged (10,000 for a rate of 0.001). Nothing is shown, kept or sent
    anywhere but the scores. An interrupted run is gone on with by the same command. Of far too few files (less than one
    that may be flagged) nothing is applied. A file larger than fetch.max_bytes is too_large here and has no score,
    also a video, of which the doors would fetch and judge parts.

    Exit status: 0 done, 1 when not one file could be judged or nothing was applied, 2 for wrong usage or a
    configuration that cannot be used.
    """
    from addons.calibration.scoring import Scores, ScoresError
    from addons.policy.config import load
    from addons.policy.problems import ConfigError
    from classifier.engine import Engine
    from classifier.types import CannotStartError

    try:
        config = load(config_file, env=os.environ)
    except ConfigError as error:
        raise click.UsageError(str(error)) from error
    file = out / "scores.jsonl"
    try:
        out.mkdir(parents=True, exist_ok=True)
        if fresh:
            file.unlink(missing_ok=True)
        engine = Engine.start(config.there, config.concepts)
    except (OSError, CannotStartError) as error:
        raise click.UsageError(str(error)) from error
    symbols = [one for one in sorted(engine.symbols) if not one.startswith(("hash.", "file."))]
    if unknown := sorted(set(wanted) - set(symbols)):
        asyncio.run(engine.close())
        raise click.UsageError(f"no detector gives {', '.join(unknown)}; there are: {', '.join(symbols)}")
    try:
        scores = Scores(file, engine.version)
    except (OSError, ScoresError) as error:
        asyncio.run(engine.close())
        raise click.UsageError(str(error)) from error
    try:
        scored = asyncio.run(_score(engine, config, folder, scores))
    finally:
        scores.close()
    sys.exit(_conclude(config, scored, engine.version, wanted or symbols, rate, out, apply_=apply_, as_json=as_json))


async def _score(engine: "Engine", config: "Config", folder: Path, scores: Any) -> list["Scored"]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from addons.calibration.scoring import files_below, score

    files = await asyncio.to_thread(lambda: list(files_below(folder)))
    columns = TextColumn("judging"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    found: list[Scored] = []
    try:
        watched = sys.stderr.isatty()
        with Progress(*columns, console=Console(stderr=True), transient=True, disable=not watched) as progress:
            task = progress.add_task("judging", total=len(files))
            timeout = 2 * config.classifier.decode.seconds + 120.0
            most = config.fetch.max_bytes
            async for one in score(engine, files, folder, scores, max_bytes=most, timeout=timeout):
                found.append(one)
                progress.advance(task)
    except asyncio.CancelledError:
        click.echo(f"stopped after {len(found)} of {len(files)} files; the same command goes on from here", err=True)
        raise
    finally:
        await engine.close()
    return found


def _conclude(
    config: "Config",
    scored: Sequence["Scored"],
    version: str,
    symbols: Sequence[str],
    rate: float,
    out: Path,
    *,
    apply_: bool,
    as_json: bool,
) -> int:
    from addons.calibration.chart import draw
    from addons.calibration.edits import with_thresholds
    from addons.calibration.thresholds import threshold
    from addons.policy.config import parse

    # The same bytes twice say nothing new, and would make the numbers look surer than they are.
    judged = {one.sha256: one.symbols for one in scored if one.symbols is not None}
    if not judged:
        why = _causes(scored) or "the folder is empty"
        click.echo(f"not one of {len(scored)} files could be judged: {why}", err=True)
        return NOTHING_DONE
    by_symbol = {symbol: [found.get(symbol, 0.0) for found in judged.values()] for symbol in symbols}
    thresholds = tuple(threshold(symbol, by_symbol[symbol], rate) for symbol in symbols)
    text = config.path.read_text(encoding="utf-8-sig")
    chosen = {one.symbol: one.score for one in thresholds if one.score is not None}
    new_text, edits = with_thresholds(text, chosen)
    new = parse(new_text.encode(), path=config.path, env=os.environ)
    report = Report(
        files=len(scored),
        judged=len(judged),
        same=sum(one.symbols is not None for one in scored) - len(judged),
        not_judged=dict(Counter(one.cause for one in scored if one.symbols is None)),
        version=version,
        thresholds=thresholds,
        now=_now(text, symbols),
        rules=_acted(list(judged.values()), config.policy(), new.policy()),
    )
    plain = _plain(report)
    (out / "calibration.json").write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")
    draw(out / "calibration.png", by_symbol, thresholds, report.now)
    if as_json:
        click.echo(json.dumps(plain))
    else:
        _print(report, scored, out)
    if any(one.unknown for one in thresholds):
        if apply_:
            click.echo(f"nothing was applied: {thresholds[0].too_few}", err=True)
            return NOTHING_DONE
    elif apply_:
        _apply(config.path, new_text, edits)
    elif edits and not as_json:
        click.echo(f"--apply would change {len(edits)} threshold{'s' * (len(edits) != 1)} in {config.path}")
    return 0


def _now(text: str, symbols: Sequence[str]) -> dict[str, float]:
    """The lowest bound that a rule has on each symbol at present."""
    from addons.calibration.edits import with_thresholds

    found: dict[str, float] = {}
    for edit in with_thresholds(text, dict.fromkeys(symbols, 0.0))[1]:
        old = float(edit.old.lstrip(" >="))
        found[edit.symbol] = min(old, found.get(edit.symbol, old))
    return found


def _acted(judged: Sequence[Mapping[str, float]], *policies: "Policy") -> dict[str, tuple[int, int]]:
    """How many files each rule would have acted on, by policy; of no known host, and none of them marked sensitive."""
    from addons.activitypub.references import MediaRef
    from addons.policy.decide import decide
    from addons.policy.words import Context, Medium
    from classifier.types import JudgedFrame, Judgement

    counts: list[Counter[str]] = []
    ref = MediaRef(url="", kind="image", path="", sensitive=False)
    for policy in policies:
        counts.append(Counter())
        for symbols in judged:
            medium = Medium(ref, judgement=Judgement("", "", 0, 0, (JudgedFrame(0, symbols),), ""))
            decision = decide(policy, Context(door="inbox"), [medium])
            counts[-1].update({hit.rule for hit in decision.hits if hit.rule})
    return {rule.name: (counts[0][rule.name], counts[1][rule.name]) for rule in policies[0].rules if rule.asks_symbols}


def _plain(report: Report) -> dict[str, Any]:
    from addons.calibration.thresholds import CONFIDENCE, expected

    thresholds = []
    for one in report.thresholds:
        others = expected(one.above, one.files, 1000)
        thresholds.append(
            {
                **asdict(one),
                "now": report.now.get(one.symbol),
                "confidence": CONFIDENCE,
                "of_next_1000": {"low": int(others.low), "high": int(others.high)},
                "needed": one.needed,
                "too_few": one.too_few or None,
            }
        )
    return {
        "files": report.files,
        "judged": report.judged,
        "same": report.same,
        "not_judged": report.not_judged,
        "version": report.version,
        "thresholds": thresholds,
        "rules": {rule: {"now": now, "then": then} for rule, (now, then) in report.rules.items()},
    }


def _print(report: Report, scored: Sequence["Scored"], out: Path) -> None:
    from rich.markup import escape
    from rich.table import Table

    from addons.calibration.thresholds import expected
    from addons.commands.reading import console

    table = Table("symbol", "now", "threshold", "files above", "true rate (95 %)", "of the next 1,000")
    for one in report.thresholds:
        others = expected(one.above, one.files, 1000)
        now = report.now.get(one.symbol)
        table.add_row(
            escape(one.symbol),
            "" if now is None else f"{now:g}",
            "none below 1" if one.score is None else f"{one.score:g}",
            f"{one.above} of {one.files:,}",
            f"{100 * one.rate.low:.2g} % to {100 * one.rate.high:.2g} %",
            f"{others.low:.0f} to {others.high:.0f}",
        )
    screen = console()
    screen.print(table)
    for rule, (now_, then) in report.rules.items():
        screen.print(f"rule {escape(rule)}: acts on {now_:,} of these files now, on {then:,} with these thresholds")
    if report.not_judged:
        screen.print(f"not judged, and not counted: {escape(_causes(scored))}")
    if report.same:
        screen.print(f"{report.same:,} files are the same as another one and count once")
    few = next((one.too_few for one in report.thresholds if one.too_few), "")
    if few:
        screen.print(escape(few))
    screen.print(f"written: {out / 'calibration.json'}, {out / 'calibration.png'}")


def _causes(scored: Sequence["Scored"]) -> str:
    """``2 undecodable (first: a.png: the file is empty)``."""
    told = []
    for cause, count in Counter(one.cause for one in scored if one.symbols is None).most_common():
        first = next(one for one in scored if one.symbols is None and one.cause == cause)
        told.append(f"{count} {cause} (first: {first.file}: {first.message})")
    return ", ".join(told)


def _apply(path: Path, text: str, edits: Sequence["Edit"]) -> None:
    """Write the new text, the old one kept beside it; whole or not at all."""
    if not edits:
        click.echo(f"no rule in {path} has a threshold to change", err=True)
        return
    backup, new = path.with_name(path.name + ".before-calibration"), path.with_name(path.name + ".new")
    try:
        if not backup.exists():  # a second calibration must not write over what the admin had at first
            backup.write_bytes(path.read_bytes())
        new.write_text(text, encoding="utf-8")
        new.chmod(path.stat().st_mode & 0o7777)
        new.replace(path)
    except OSError as error:
        raise click.ClickException(f"{path} could not be written: {error.strerror or error}") from error
    for edit in edits:
        click.echo(f"{path}:{edit.line}: rule {edit.rule}: {edit.symbol} {edit.old} → {edit.new}", err=True)
    click.echo(f"the file as it was before the first calibration: {backup}", err=True)
