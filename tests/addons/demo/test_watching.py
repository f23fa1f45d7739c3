import io
from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.console import Console

from addons.demo.scenes import Scene, Script
from addons.demo.visits import Visit
from addons.demo.watching import Watcher
from tests.addons.demo.light import CONFIG, SLOW, Few, LightScript, few_slow, few_visits, light_slow, light_visits


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Mistaken(Few):
    """The first scene expects what does not happen."""

    def all(self) -> list[Scene]:
        first, *rest = super().all()
        return [replace(first, action="drop", decided="some-rule"), *rest]


async def watched(
    script: Callable[[str, str, int], Script],
    config: str,
    *,
    terminal: bool = False,
    visits: Callable[[Script, str], list[Visit]] = few_visits,
    slow: Callable[[Script], list[list[Scene]]] = few_slow,
) -> tuple[Watcher, str]:
    out = Terminal() if terminal else io.StringIO()
    console = Console(file=out, width=80, force_terminal=terminal, highlight=False)
    watcher = Watcher(console, True, script, visits, slow, SLOW)
    told: list[str] = []
    await watcher.watch(config, lambda: told.append(out.getvalue()))
    assert len(told) == 1
    assert "loading" in told[0]
    assert "words alone" not in told[0]
    watcher.sum_up()
    return watcher, out.getvalue()


async def test_without_a_terminal_there_is_a_line_each_and_the_table_at_the_end() -> None:
    watcher, text = await watched(LightScript, CONFIG, visits=light_visits, slow=light_slow)
    script = LightScript("http://x", "http://x/actor")
    slow = [scene for scenes in light_slow(script) for scene in scenes]
    played: list[Scene | Visit] = [*script.all(), *light_visits(script, "https://x"), *slow]
    assert (watcher.outcomes, watcher.right, watcher.wrong) == (len(played), len(played), 0)
    assert len(played) > 30
    assert f"{len(played)} of {len(played)} outcomes were right" in text
    assert "\x1b" not in text
    assert "\r" not in text
    lines = text.splitlines()
    assert [line.split(" | ")[2] for line in lines if line.startswith("right | ")] == [
        f"{one.software}: {one.carries}" for one in played
    ]
    assert "A user whose picture is refused is told: This image was not accepted (decision " in text
    assert "pict-rs is a stand-in here" in text
    assert f"whose judge takes {SLOW:g} s more" in text
    assert "dropped (known) after" in text
    assert text.index("what came") > text.index("the same delivery again")


async def test_a_terminal_gets_the_table_row_by_row() -> None:
    watcher, text = await watched(Few, CONFIG, terminal=True)
    assert watcher.right == 6
    assert text.count("what came") == 1
    assert " | " not in text
    assert text.index("what came") < text.index("mastodon: words alone")


@pytest.mark.parametrize(
    ("script", "config", "named", "right"),
    [
        (Few, CONFIG.replace("{{hash.known: 1}}, do: reject", "{{hash.known: 1}}, do: drop"), "piefed", 4),
        (Few, CONFIG.replace("{{hash.unwanted: 1", "{{hash.unwanted: 1, sensitive: true"), "gotosocial: fetches", 4),
        (Few, CONFIG.replace("contact: {contact}", "contact: nobody"), "mastodon: a user's upload", 5),
        (Few, CONFIG.replace("rules:\n", "on: {{fetch_failed: pass}}\nrules:\n"), "mastodon: a picture whose host", 5),
        (Mistaken, CONFIG, "piefed", 5),
    ],
)
async def test_one_thing_broken_is_named(script: type[Script], config: str, named: str, right: int) -> None:
    watcher, text = await watched(script, config)
    assert watcher.wrong >= 1
    assert watcher.right == right
    assert f"WRONG: {named}" in text
    assert f"{right} of 6 outcomes were right: something is WRONG" in text


def test_a_demo_that_was_stopped_early_says_so() -> None:
    out = io.StringIO()
    Watcher(Console(file=out), True).sum_up()
    assert out.getvalue() == "Stopped before anything was sent.\n"
