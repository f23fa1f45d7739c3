"""``fediward demo``: a little fediverse on this machine, watched live."""

import asyncio
import contextlib
import logging
import sys

import click
from rich.console import Console
from rich.live import Live

from classifier import CannotStartError

PACE = 1.0


@click.command("demo")
@click.option("--once", is_flag=True, help="Send every scene once; end with 0 only if every outcome was right.")
def command(once: bool) -> None:
    """Run a little fediverse on this machine and watch fediward stop forbidden shapes. Ctrl-C ends it."""
    # Only what is meant for the one who watches: servers' own logs would break the table.
    logging.basicConfig(level=logging.ERROR)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            sys.exit(asyncio.run(_demo(Console(), once)))
    except CannotStartError as error:
        click.echo(f"The demo did not start: {error}", err=True)
        sys.exit(1)


async def _demo(console: Console, once: bool) -> int:
    import httpx

    from addons.demo.run import opened, script
    from addons.demo.show import table, warning

    console.print(warning())
    results = []
    async with opened(lambda text: console.print(f"[dim]{text}[/dim]")) as demo:
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            with Live(table([]), console=console, refresh_per_second=8) as live:
                for scene in script(demo, forever=not once):
                    results.append(await demo.play(scene, client))
                    del results[:-500]
                    live.update(table(results))
                    if not once:
                        await asyncio.sleep(PACE)
            page = await client.get(f"{demo.door}/about")
        refused = demo.receiver.refused
    wrong = [result for result in results if not result.right]
    if page.text != "a page that is no delivery" or refused:
        console.print(f"[bold red]WRONG[/]: the page said {page.text!r}, signatures refused: {refused}")
        return 1
    for result in wrong:
        console.print(f"[bold red]WRONG[/]: {result.scene.software}, {result.scene.carries}")
    console.print(
        f"{len(results) - len(wrong)} of {len(results)} outcomes were right. Now protect a real server: see the README."
    )
    return 1 if wrong else 0
