from datetime import datetime, timedelta, timezone

from addons.commands.reading import PIPE_WIDTH, console, plain, shown_frame, shown_time
from classifier import JudgedFrame
from tests.addons.ledger.samples import entry


def test_times_are_shown_in_utc() -> None:
    assert shown_time(datetime(2026, 3, 1, 1, 0, tzinfo=timezone(timedelta(hours=2)))) == "2026-02-28 23:00:00Z"


def test_a_frame_is_told_with_its_place() -> None:
    frames = (JudgedFrame(0, {}), JudgedFrame(7, {}, at=3.25, reading="motion"), JudgedFrame(8, {}, at=0.0))
    assert [shown_frame(index, frames) for index in (0, 7, 8, 9)] == [
        "frame 0",
        "frame 7 (3.2 s, motion)",
        "frame 8 (0.0 s)",
        "frame 9",
    ]


def test_a_pipe_gets_wide_lines() -> None:
    assert console().width == PIPE_WIDTH


def test_an_entry_as_json_has_no_body() -> None:
    told = plain(entry(id="one"))
    assert "body" not in told
    assert told["id"] == "one"
