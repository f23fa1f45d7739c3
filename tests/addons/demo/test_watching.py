import io
from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.console import Console

from addons.demo.scenes import Scene, Script
from addons.demo.watching import Watcher
from tests.addons.demo.light import CONFIG, Few, LightScript


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Mistaken(Few):
    """The first scene expects what does not happen."""

    def all(self) -> list[Scene]:
        first, *rest = super().all()
        return [replace(first, action="drop", decided="some-rule"), *rest]


async def watched(
    script: Callable[[str, str, int], Script], config: str, *, terminal: bool = False
) -> tuple[Watcher, str]:
    out = Terminal() if terminal else io.StringIO()
    console = Console(file=out, width=80, force_terminal=terminal, highlight=False)
    watcher = Watcher(console, True, script)
    told: list[str] = []
    await watcher.watch(config, lambda: told.append(out.getvalue()))
    assert len(told) == 1
    assert "loading" in told[0]
    assert "words alone" not in told[0]
    watcher.sum_up()
    return watcher, out.getvalue()


async def test_without_a_terminal_there_is_a_line_each_and_the_table_at_the_end() -> None:
    watcher, text = await watched(LightScript, CONFIG)
    scenes = LightScript("http://x", "http://x/actor").all()
    assert (watcher.outcomes, watcher.right, watcher.wrong) == (len(scenes), len(scenes), 0)
    assert len(scenes) > 10
    assert f"{len(scenes)} of {len(scenes)} outcomes were right" in text
    assert "\x1b" not in text
    assert "\r" not in text
    lines = text.splitlines()
    assert [line.split(" | ")[1] for line in lines if line.startswith("right | ")] == [
        f"{scene.software}: {scene.carries}" for scene in scenes
    ]
    assert text.index("what came") > text.index("the same delivery again")


async def test_a_terminal_gets_the_table_row_by_row() -> None:
    watcher, text = await watched(Few, CONFIG, terminal=True)
    assert watcher.right == 3
    assert text.count("what came") == 1
    assert " | " not in text
    assert text.index("what came") < text.index("mastodon: words alone")


@pytest.mark.parametrize(
    ("script", "config", "named"),
    [
        (Few, CONFIG.replace("{{hash.known: 1}}, do: reject", "{{hash.known: 1}}, do: drop"), "piefed"),
        (Few, CONFIG.replace("{{hash.known: 1}}, do: reject", "{{sensitive: true}}, do: reject"), "piefed"),
        (Few, CONFIG.replace("rules:\n", "on: {{fetch_failed: pass}}\nrules:\n"), "mastodon, a picture whose host"),
        (Mistaken, CONFIG, "piefed"),
    ],
)
async def test_one_thing_broken_is_named(script: type[Script], config: str, named: str) -> None:
    watcher, text = await watched(script, config)
    assert watcher.wrong >= 1
    assert watcher.right == 2
    assert f"WRONG: {named}" in text
    assert "2 of 3 outcomes were right: something is WRONG" in text


def test_a_demo_that_was_stopped_early_says_so() -> None:
    out = io.StringIO()
    Watcher(Console(file=out), True).sum_up()
    assert out.getvalue() == "Stopped before anything was sent.\n"
