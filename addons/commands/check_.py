"""``fediward check``: judges image files as the doors would, and says what the policy does with each."""

import asyncio
import hashlib
import json
import os
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from addons.commands.options import config_option

if TYPE_CHECKING:  # imported late below: `--help` should not take a second
    from addons.policy.config import Config
    from classifier.engine import Engine
    from classifier.types import HashMatch

UNREADABLE = 1
AT_ONCE = 8
"""Files read into memory at the same time."""
PROGRESS_FROM = 5
"""Files from which on a progress bar is shown, where a person is watching."""
SHOWN_FROM = 0.01
"""Scores below this are left out of the table (never of ``--json``)."""


@dataclass(frozen=True, slots=True)
class Checked:
    """One file's outcome; ``action`` is None where it could not be read.

    ``symbols`` holds each symbol's highest score over the frames, ``pdq`` the first frame's that has one; ``frame`` is
    the one that decided, in words, empty for the whole file; ``then`` what a hold would end in; ``ms`` runs from bytes
    to decision.
    """

    file: str
    sha256: str | None
    pdq: str | None
    symbols: dict[str, float]
    rule: str | None
    cause: str | None
    action: str | None
    ms: float
    message: str = ""
    matches: tuple[str, ...] = ()
    allowed: str | None = None
    frame: str = ""
    then: str | None = None


@click.command("check")
@click.argument("files", nargs=-1, required=True, metavar="IMAGE…", type=click.Path(path_type=Path))
@config_option("The configuration: its classifier, hash lists and rules.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line and file.")
@click.option("--sensitive", is_flag=True, help="As if the post were marked sensitive.")
def command(files: tuple[Path, ...], config_file: Path, as_json: bool, sensitive: bool) -> None:
    """Judge image and video files as the doors would, and say what the policy does with each.

    Rules that ask about a host, an actor or a type find none here. No picture is shown, kept or sent anywhere. A file
    larger than fetch.max_bytes is too_large here, also a video, of which the doors would fetch and judge parts.

    Exit status: 0 when every file was judged or decided on by its cause, 1 when some file could not be read, 2 for
    wrong usage or a configuration that cannot be used.
    """
    from addons.policy.config import load
    from addons.policy.problems import ConfigError
    from classifier.engine import Engine
    from classifier.types import CannotStartError

    try:
        config = load(config_file, env=os.environ)
        engine = Engine.start(config.there, config.concepts)
    except (ConfigError, CannotStartError) as error:
        raise click.UsageError(str(error)) from error
    sys.exit(asyncio.run(_check(files, config, engine, as_json=as_json, sensitive=sensitive)))


async def _check(files: Sequence[Path], config: "Config", engine: "Engine", *, as_json: bool, sensitive: bool) -> int:
    """Check all files, printing each as soon as it and those before it are done; the exit status."""
    from rich.console import Console
    from rich.progress import Progress

    failed = False
    checked: list[Checked] = []
    watched = len(files) >= PROGRESS_FROM and sys.stderr.isatty()
    try:
        with Progress(console=Console(stderr=True), transient=True, disable=not watched) as progress:
            task = progress.add_task("judging", total=len(files))
            async for one in _each(files, config, engine, sensitive):
                progress.advance(task)
                if one.action is None:
                    failed = True
                    click.echo(f"{one.file}: {one.message}", err=True)
                elif as_json:
                    click.echo(json.dumps(_as_json(one)))
                else:
                    checked.append(one)
    finally:
        await engine.close()
    if checked:
        _print_table(checked)
    return UNREADABLE if failed else 0


async def _each(files: Sequence[Path], config: "Config", engine: "Engine", sensitive: bool) -> AsyncIterator[Checked]:
    """The outcomes in the files' order, ``AT_ONCE`` of them at work."""
    checker = _Checker(config, engine, sensitive)
    at_once = min(AT_ONCE, config.classifier.queue)
    waiting: deque[asyncio.Task[Checked]] = deque()
    try:
        for file in files:
            waiting.append(asyncio.create_task(checker.check(file)))
            if len(waiting) >= at_once:
                yield await waiting.popleft()
        while waiting:
            yield await waiting.popleft()
    finally:
        for task in waiting:
            task.cancel()


class _Checker:
    def __init__(self, config: "Config", engine: "Engine", sensitive: bool) -> None:
        from addons.activitypub.references import MediaRef
        from addons.policy.words import Context

        self._engine = engine
        self._policy = config.policy()
        self._max_bytes = config.fetch.max_bytes
        self._seconds = 2 * config.classifier.decode.seconds + 120.0
        self._context = Context(door="inbox", software=config.server.software)
        self._ref = MediaRef(url="", kind="image", path="", sensitive=sensitive)

    async def check(self, file: Path) -> Checked:
        """One file, whatever becomes of it."""
        from addons.commands.reading import shown_frame
        from addons.policy.decide import decide
        from addons.policy.words import Cause, Medium
        from classifier.types import CannotJudgeError

        try:
            data = await asyncio.to_thread(_read, file, self._max_bytes)
        except OSError as error:
            return Checked(str(file), None, None, {}, None, None, None, 0.0, error.strerror or str(error))
        began = time.perf_counter()
        if len(data) > self._max_bytes:
            message = f"it has more than {self._max_bytes} bytes (fetch.max_bytes)"
            medium = Medium(self._ref, cause=Cause.TOO_LARGE, message=message)
        else:
            try:
                judged = self._engine.look_up(await self._engine.judge(data, timeout=self._seconds))
                medium = Medium(self._ref, judgement=judged)
            except CannotJudgeError as error:
                medium = Medium(self._ref, cause=Cause(error.cause), message=str(error))
        decision = decide(self._policy, self._context, [medium])
        ms = (time.perf_counter() - began) * 1000
        cause = decision.cause or medium.cause
        found = medium.judgement
        frame = decision.deciding.frame if decision.deciding else None
        return Checked(
            file=str(file),
            sha256=found.sha256 if found else _sha256(data, self._max_bytes),
            pdq=next((frame.pdq for frame in found.frames if frame.pdq), None) if found else None,
            symbols=found.worst() if found else {},
            rule=decision.rule,
            cause=str(cause) if cause else None,
            action=str(decision.action),
            ms=ms,
            message=medium.message,
            matches=tuple(_told(match) for match in found.matches) if found else (),
            allowed=decision.allowed,
            frame=shown_frame(frame, found.frames) if found and frame is not None and len(found.frames) > 1 else "",
            then=decision.then,
        )


def _told(match: "HashMatch") -> str:
    told = f"{match.list}: {match.kind} {match.entry[:12]}…"
    if match.kind == "pdq":
        told += f", {match.distance} bits away" + (f", {match.variant}" if match.variant else "")
    return f"{told} ({match.source})" if match.source else told


def _sha256(data: bytes, most: int) -> str | None:
    """None where only the beginning was read."""
    return hashlib.sha256(data).hexdigest() if len(data) <= most else None


def _read(file: Path, most: int) -> bytes:
    """At most one byte more than ``most``."""
    with file.open("rb") as opened:
        return opened.read(most + 1)


def _as_json(one: Checked) -> dict[str, object]:
    return {
        "file": one.file,
        "sha256": one.sha256,
        "pdq": one.pdq,
        "symbols": one.symbols,
        "rule": one.rule,
        "cause": one.cause,
        "message": one.message,
        "allowed": one.allowed,
        "frame": one.frame or None,
        "matches": one.matches,
        "action": one.action,
        "then": one.then,
        "ms": round(one.ms, 1),
    }


def _print_table(checked: Sequence[Checked]) -> None:
    from rich.markup import escape
    from rich.table import Table

    from addons.commands.reading import console

    table = Table("file", "action", "because", "symbols", "ms")
    for one in checked:
        scores = sorted(one.symbols.items(), key=lambda pair: (-pair[1], pair[0]))
        shown = [f"{name} {score:.2f}" for name, score in scores if score >= SHOWN_FROM]
        because = [f"rule {one.rule}"] if one.rule else [f"allow list {one.allowed}"] if one.allowed else []
        if because and one.frame:
            because[0] += f", {one.frame}"
        if one.cause:
            because.append(f"{one.cause}: {one.message}")
        table.add_row(
            escape(one.file),
            f"{one.action}, then {one.then}" if one.then else one.action,
            escape("\n".join(because)),
            escape("\n".join([*shown, *one.matches])),
            f"{one.ms:.0f}",
        )
    console().print(table)
