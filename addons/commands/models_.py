"""``fediward models``: which open_clip weights there are and are here, download them, and prove that they work."""

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from classifier import CannotStartError
from classifier.openclip import weights
from classifier.openclip.model import OpenClipModel
from classifier.presets import tiny
from classifier.settings import ClipSettings

TINY_NOTE = "demo only: protects nobody"


class Trouble(click.ClickException):
    """The weights cannot be had or used: exit code 1."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of ``models list``; ``file`` is None where the weights are not on this machine."""

    model: str
    pretrained: str
    file: str | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Verified:
    """What ``models verify`` found; ``ms`` is one picture's way through the model, after a first one."""

    model: str
    pretrained: str
    sha256: str
    dimensions: int
    size: tuple[int, int]
    device: str
    precision: str
    ms: float


@click.group("models")
def command() -> None:
    """List, download and verify classifier models."""


@command.command("list")
@click.argument("word", default="", metavar="[FILTER]")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_(word: str, as_json: bool) -> None:
    """List the weights that open_clip knows, those whose MODEL/PRETRAINED contains FILTER."""
    found = [one for one in _all() if word.lower() in f"{one.model}/{one.pretrained}".lower()]
    if as_json:
        for one in found:
            click.echo(json.dumps(asdict(one)))
        return
    if not found:
        raise Trouble(f"no weights are named like {word!r}")
    table = Table("model", "pretrained", "here", "note", box=None)
    for one in found:
        table.add_row(one.model, one.pretrained, "yes" if one.file else "-", one.note)
    Console(width=None if Console().is_terminal else 120).print(table)


@command.command()
@click.argument("model")
@click.argument("pretrained", required=False)
def pull(model: str, pretrained: str | None) -> None:
    """Download the weights PRETRAINED of MODEL to open_clip's cache on this machine.

    MODEL may also be hf-hub:ORGANISATION/NAME, without PRETRAINED.
    """
    try:
        file = weights.pull(model, pretrained)
    except CannotStartError as error:
        raise Trouble(str(error)) from error
    click.echo(f"{file} ({file.stat().st_size / 1e6:.1f} MB)")
    click.echo(f"now try: fediward models verify {model}{f' {pretrained}' if pretrained else ''}")


@command.command()
@click.argument("model", required=False)
@click.argument("pretrained", required=False)
@click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Verify the model of this configuration.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps.")
@click.option("--precision", type=click.Choice(["auto", "fp32", "fp16", "bf16"]), default="auto", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def verify(
    model: str | None,
    pretrained: str | None,
    config: Path | None,
    device: str,
    precision: str,
    as_json: bool,
) -> None:
    """Load weights, check every number in them, and run one picture through: exit 0 only if all of it works.

    Name MODEL PRETRAINED (a tag, or a checkpoint's path), or a configuration with -c.
    """
    if (config is None) == (model is None):
        raise click.UsageError("name MODEL PRETRAINED, or a configuration with -c")
    if config is not None:
        settings = _of(config)
    else:
        given = {"model": model, "pretrained": pretrained or "", "device": device, "precision": precision}
        settings = ClipSettings.model_validate(given)
    try:
        found = _verify(settings)
    except CannotStartError as error:
        raise Trouble(str(error)) from error
    if as_json:
        click.echo(json.dumps(asdict(found)))
        return
    click.echo(f"{found.model}/{found.pretrained} works on {found.device} in {found.precision}")
    click.echo(f"  sha256 {found.sha256}")
    click.echo(f"  embedding of {found.dimensions} dimensions, from {found.size[1]}×{found.size[0]} pixels")
    click.echo(f"  one picture in {found.ms:.1f} ms")
    if found.model == tiny.MODEL:
        click.echo(f"  {TINY_NOTE}")


def _all() -> list[Listed]:
    """Everything that open_clip knows, and the tiny model first."""
    try:
        clip = weights.open_clip()
    except CannotStartError as error:
        raise Trouble(str(error)) from error
    tags = [(tiny.MODEL, tiny.PRETRAINED), *clip.list_pretrained()]
    return [
        Listed(model, tag, str(file) if file else None, TINY_NOTE if model == tiny.MODEL else "")
        for model, tag in tags
        for file in (weights.present(model, tag),)
    ]


def _verify(settings: ClipSettings) -> Verified:
    """Loading already runs a picture and a phrase; the second picture is timed, the first warms up."""
    model = OpenClipModel.load(settings)
    picture = np.full((1, *model.pixels.size, 3), 127, np.uint8)
    start = time.perf_counter()
    model.rows(picture)
    return Verified(
        model=settings.model,
        pretrained=settings.pretrained,
        sha256=model.weights_sha256,
        dimensions=model.dimensions,
        size=model.pixels.size,
        device=model.device,
        precision=model.precision,
        ms=(time.perf_counter() - start) * 1000,
    )


def _of(path: Path) -> ClipSettings:
    """The clip section of a configuration; click's errors (2) for one that cannot be read."""
    from addons.policy.config import load
    from addons.policy.problems import ConfigError

    try:
        settings = load(path, env=os.environ).classifier.clip
    except ConfigError as error:
        raise click.UsageError(f"the configuration does not hold:\n{error}") from error
    if settings is None:
        raise click.UsageError(f"{path} has the clip detector off (classifier: {{clip: null}})")
    return settings
