"""The options that several commands share."""

from collections.abc import Callable
from pathlib import Path

import click


def config_option[**P, R](why: str, name: str = "config_file") -> Callable[[Callable[P, R]], Callable[P, R]]:
    """The option ``-c/--config``, whose value the command takes as ``name``; ``why`` is its help."""
    return click.option(
        "-c",
        "--config",
        name,
        type=click.Path(path_type=Path, dir_okay=False),
        default=Path("config.yaml"),
        show_default=True,
        help=why,
    )
