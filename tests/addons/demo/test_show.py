import io
from dataclasses import replace

import pytest
from rich.console import Console, RenderableType

from addons.demo import show
from addons.demo.outcome import Finding, Result
from addons.demo.scenes import Script
from addons.demo.visited import Outcome
from addons.demo.visits import visits
from tests.addons.demo.results import arrival, dropped, entry, passed, undecodable, visited

WIDTHS = [60, 80, 115, 116, 120, 160, 200]


def rendered(what: RenderableType, width: int, *, colour: bool = False) -> str:
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=colour, color_system="standard" if colour else None).print(what)
    return out.getvalue()


def words(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_cut_at_any_width(width: int) -> None:
    script = Script("http://127.0.0.1:1", "http://127.0.0.1:1/actor")
    results: list[Outcome] = [
        replace(result, scene=replace(result.scene, carries=scene.carries, software=scene.software))
        for result in (dropped(), passed(arrival()))
        for scene in script.all()
    ]
    results += [visited(visit) for visit in visits(script, "https://127.0.0.1:2")]
    for result in results:
        text = rendered(show.table([result], width, head=False), width)
        assert max(len(line) for line in text.splitlines()) <= width
        assert "…" not in text
        for one in (show.DOORS[result.door], result.who, result.carries, f"{result.ms:.0f}", "right"):
            assert all(word in text for word in one.split())
        for one in (show.found_in(result), show.done_with(result), result.got):
            assert all(word in text for word in one.split())


@pytest.mark.parametrize("width", WIDTHS)
def test_rows_printed_one_by_one_stand_as_in_one_table(width: int) -> None:
    results = [dropped(), passed(arrival()), undecodable()]
    whole = rendered(show.table(results, width), width)
    single = rendered(show.table([], width), width) + "".join(
        rendered(show.table([result], width, head=False), width) for result in results
    )
    assert single == whole


def test_a_row_tells_all() -> None:
    text = rendered(show.table([passed(arrival())], 200), 200)
    row = "inbox lemmy: a post clip.pattern 0.98 pass, 202 120 1 picture, intact right"
    assert words(row) in words(text)


@pytest.mark.parametrize(
    ("result", "line"),
    [
        (
            dropped(),
            "right | inbox | lemmy: a post | "
            "clip.red_circle 0.93 (picture 2 of 2, frame 2) | drop (red-circle), 202 | 42 ms "
            "| nothing",
        ),
        (
            passed(arrival()),
            "right | inbox | lemmy: a post | clip.pattern 0.98 | pass, 202 | 120 ms | 1 picture, intact",
        ),
        (
            passed(arrival(2)),
            "WRONG | inbox | lemmy: a post | clip.pattern 0.98 | pass, 202 | 120 ms | 2 pictures, intact",
        ),
        (
            passed(arrival(), cached=True),
            "right | inbox | lemmy: a post | clip.pattern 0.98 (cached) | pass, 202 | 120 ms | 1 picture, intact",
        ),
        (
            replace(dropped(), found=Finding("clip.red_circle", 0.93, 1, 1, 31, False, 3.1)),
            "right | inbox | lemmy: a post | "
            "clip.red_circle 0.93 (second 3.1) | drop (red-circle), 202 | 42 ms | nothing",
        ),
        (
            replace(dropped(), found=Finding("clip.red_circle", 0.93, 2, 2, 1, False, None, "trailing jpeg")),
            "right | inbox | lemmy: a post | "
            "clip.red_circle 0.93 (picture 2 of 2, trailing jpeg) | drop (red-circle), 202 "
            "| 42 ms | nothing",
        ),
        (
            replace(dropped(), found=Finding("clip.red_circle", 0.93, 1, 1, 4, False, 0.5, "motion")),
            "right | inbox | lemmy: a post | "
            "clip.red_circle 0.93 (second 0.5 of motion) | drop (red-circle), 202 | 42 ms "
            "| nothing",
        ),
        (
            passed(arrival(1, 2)),
            "WRONG | inbox | lemmy: a post | clip.pattern 0.98 | pass, 202 | 120 ms | 1 picture, 2 videos, intact",
        ),
        (undecodable(), "right | inbox | a: b | cause: undecodable | drop, 202 | 1 ms | nothing"),
        (
            passed(arrival(0), arrival(0), changes=("headers", "body")),
            "WRONG | inbox | lemmy: a post | "
            "clip.pattern 0.98 | pass, 202 | 120 ms | words, CHANGED: headers, body, 2 times",
        ),
        (
            replace(passed(arrival(0)), entry=None, found=None),
            "WRONG | inbox | lemmy: a post | no media | pass, 202 | 120 ms | words, intact",
        ),
        (
            replace(passed(arrival()), entry=entry("pass"), found=None),
            "right | inbox | lemmy: a post | nothing | pass, 202 | 120 ms | 1 picture, intact",
        ),
    ],
)
def test_one_line_tells_all_too(result: Result, line: str) -> None:
    assert show.line(result) == line


def test_a_visit_is_told_like_a_delivery() -> None:
    visit = next(
        one for one in visits(Script("http://x", "http://x/actor"), "https://x") if one.decided == "no-uploads"
    )
    assert show.line(visited(visit)) == (
        "right | upload | mastodon: an upload from an address that is banned | who it is from | "
        "reject (no-uploads), 422 | 12 ms | nothing"
    )


def test_what_is_wrong_is_named_with_its_scene() -> None:
    out = io.StringIO()
    console = Console(file=out, width=40)
    show.complain(console, dropped(status=500))
    show.mark(console, "[red]brackets[/red]")
    assert out.getvalue() == "WRONG: lemmy: a post: the answer: 500, not 202\nWRONG: [red]brackets[/red]\n"


@pytest.mark.parametrize("width", WIDTHS)
def test_the_warning_is_loud(width: int) -> None:
    text = rendered(show.warning(), width, colour=True)
    assert "THIS PROTECTS NOBODY" in text
    assert "\x1b[1;31m" in text
