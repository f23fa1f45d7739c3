"""``fediward demo``: a little fediverse on this machine, watched live."""

import asyncio
import logging
import os
import signal
import sys
from types import FrameType, TracebackType
from typing import Self

import click
from rich.console import Console

from addons.demo.watching import TROUBLE, Watcher
from classifier import CannotStartError

SIGNALS = (signal.SIGINT, signal.SIGTERM)
EXTRA = "fediward[clip]"


@click.command("demo")
@click.option("--once", is_flag=True, help="Send every scene once; end with 0 only if every outcome was right.")
def command(once: bool) -> None:
    """Run a little fediverse on this machine and watch fediward stop forbidden shapes. Ctrl-C ends it."""
    # Only what is meant for the one who watches: servers' own logs would break the table.
    logging.basicConfig(level=logging.ERROR)
    with Stop() as stop:
        sys.exit(asyncio.run(run(Watcher(_console(), once), stop)))


class Stop:
    """What Ctrl-C and SIGTERM do: while models load they interrupt, from then on they cancel the demo's task.

    Both at once would not do: a loop's own handlers run only when it does, and loading blocks it for seconds. Only the
    first signal counts, so that an impatient second one does not leave processes and files behind.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        """The signal that came."""
        self._before = {number: signal.getsignal(number) for number in SIGNALS}

    def __enter__(self) -> Self:
        for number in SIGNALS:
            signal.signal(number, self._interrupt)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def cancel_this_task(self) -> None:
        """From now on a signal cancels the task that calls this."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        for number in SIGNALS:
            loop.add_signal_handler(number, self._cancel, number, task)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self.number is None:
            self.number = number
            raise KeyboardInterrupt

    def _cancel(self, number: int, task: asyncio.Task[object]) -> None:
        if self.number is None:
            self.number = number
            task.cancel()


async def run(watcher: Watcher, stop: Stop, config: str | None = None) -> int:
    """The exit status: 0 all right, 1 something wrong, 128 and the signal's number where that ended ``--once``."""
    try:
        await watcher.watch(config, stop.cancel_this_task)
    except (KeyboardInterrupt, asyncio.CancelledError):
        if stop.number is None:
            raise
    except CannotStartError as error:
        click.echo(f"The demo did not start: {error} ({_hint(str(error))})", err=True)
        return 1
    except TROUBLE as error:
        click.echo(f"The demo broke off: {str(error) or type(error).__name__}", err=True)
        return 1
    watcher.sum_up()
    if watcher.once and stop.number is not None:
        return 128 + stop.number
    return 1 if watcher.wrong else 0


def _hint(error: str) -> str:
    clone = "in a clone, deploy/up --setup does that"
    return clone if EXTRA in error else f"should something not be installed: pip install '{EXTRA}'; {clone}"


def _console() -> Console:
    console = Console(highlight=False, emoji=False)
    if console.is_terminal or "COLUMNS" in os.environ:
        return console
    return Console(highlight=False, emoji=False, width=120)  # a log is wider than the 80 columns that are assumed
