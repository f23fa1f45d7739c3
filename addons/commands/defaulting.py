"""A command with subcommands, one of which is meant where none is named."""

from typing import Any

import click


class DefaultGroup(click.Group):
    """``fediward holds``, alone or with options only, is ``fediward holds list``: ``default`` is put before them."""

    def __init__(self, *args: Any, default: str, **more: Any) -> None:
        super().__init__(*args, **more)
        self._default = default

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the missing name before what is there."""
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = [self._default, *args]
        return super().parse_args(ctx, args)
