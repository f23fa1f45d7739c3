"""A few kills at random points of a sender's traffic; ``python -m tests.e2e.killing`` does it a thousand times."""

import os
from pathlib import Path

from tests.e2e.killing import killed

KILLS = int(os.environ.get("FEDIWARD_KILLS", "4"))
SEED = int(os.environ.get("FEDIWARD_KILL_SEED", "20260601"))


async def test_killed_at_random_points(tmp_path: Path) -> None:
    print(await killed(tmp_path, SEED, KILLS, flaky=KILLS > 10))
