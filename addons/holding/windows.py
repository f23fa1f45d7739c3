"""How long a server still takes a delivery after it was signed, and when a hold has to be settled because of that.

Seconds are counted from the signature's Date or ``created``. ``[K]`` marks what was told and not read or measured; a
server of which nothing is known has the shortest window that any has. ``holds.window`` overrides the table.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

MARGIN = timedelta(minutes=1)
"""So long before a window ends is a hold settled: the replay takes time, and clocks differ."""


@dataclass(frozen=True, slots=True)
class Window:
    """``seconds`` after its date at which a delivery is refused, and where that is known from."""

    seconds: int
    source: str


WINDOWS: Mapping[str, Window] = {
    "lemmy": Window(3600, "reference §7b, measured: up to, not at, 3,600 s after its Date"),
    "mastodon": Window(3900, "reference §0.4; MAS:app/lib/signed_request.rb: 5 min, and 1 h for clocks that differ"),
    "piefed": Window(3600, "reference §0.4; PIE:app/activitypub/signature.py: an hour either way"),
    "misskey": Window(300, "reference §0.4 [K]: its library's default"),
    "peertube": Window(1800, "PT:server/core/initializers/constants.ts HTTP_SIGNATURE.CLOCK_SKEW_SECONDS"),
    "pixelfed": Window(86_400, "PXF:app/Jobs/InboxPipeline/InboxWorker.php: a day either way"),
    "mbin": Window(
        43_200, "reference §0.4: dates are not checked; who gets a post half a day late may do without it as well"
    ),
}
"""By ``server.software``; the reference's names of the sources."""

UNKNOWN = Window(300, "the shortest of the table: nothing was read or measured")
"""Of every other software. (GoToSocial, Akkoma and Pleroma: what they make of an old Date was not read.)"""


def window(software: str, override: float | None = None) -> timedelta:
    """How long after it was signed a delivery is taken; ``override``: seconds that the admin knows better."""
    return timedelta(seconds=WINDOWS.get(software, UNKNOWN).seconds if override is None else override)


def closes(signed_at: datetime | None, arrived: datetime, window: timedelta) -> datetime:
    """When a hold is settled at the latest; in the past where the window was over when it came.

    Without a date that can be read the window counts from arrival, and so it does for dates in the future: how much of
    that a server takes is its own affair. Never so early that a short window leaves no time at all: half of it is left.
    """
    begins = arrived if signed_at is None else min(signed_at, arrived)
    return begins + window - min(MARGIN, window / 2)
