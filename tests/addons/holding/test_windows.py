from datetime import UTC, datetime, timedelta

import pytest

from addons.holding.windows import UNKNOWN, WINDOWS, closes, window
from addons.policy.conditions import SOFTWARE

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("software", "override", "seconds"),
    [
        ("lemmy", None, 3600),
        ("mastodon", None, 3900),
        ("misskey", None, 300),
        ("generic", None, 300),
        ("gotosocial", None, 300),
        ("lemmy", 120.0, 120),
        ("generic", 7200, 7200),
    ],
)
def test_windows(software: str, override: float | None, seconds: int) -> None:
    assert window(software, override) == timedelta(seconds=seconds)


def test_every_window_has_a_source_and_a_software_that_can_be_configured() -> None:
    assert set(WINDOWS) <= set(SOFTWARE)
    assert all(one.source for one in WINDOWS.values())
    assert min(one.seconds for one in WINDOWS.values()) == UNKNOWN.seconds


@pytest.mark.parametrize(
    ("signed_at", "window", "closing"),
    [
        (NOON, HOUR, NOON + timedelta(minutes=59)),
        (NOON - timedelta(minutes=20), HOUR, NOON + timedelta(minutes=39)),
        # no date, or one that is yet to come: from arrival
        (None, HOUR, NOON + timedelta(minutes=59)),
        (NOON + timedelta(hours=2), HOUR, NOON + timedelta(minutes=59)),
        # the window was over when it came
        (NOON - 2 * HOUR, HOUR, NOON - timedelta(minutes=61)),
        # a window of a minute and less leaves half of itself
        (NOON, timedelta(seconds=121), NOON + timedelta(seconds=61)),
        (NOON, timedelta(seconds=120), NOON + timedelta(seconds=60)),
        (NOON, timedelta(seconds=60), NOON + timedelta(seconds=30)),
        (NOON, timedelta(0), NOON),
    ],
)
def test_when_a_hold_closes(signed_at: datetime | None, window: timedelta, closing: datetime) -> None:
    assert closes(signed_at, NOON, window) == closing
