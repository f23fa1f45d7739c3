"""What a task that only takes and gives costs the process that has the event loop and the doors.

    .venv/bin/python -m tests.bench.pool [--quick] [--json]

``parent_us``: computing time of all threads of the parent a task; ``loop_us``: of the event loop's thread alone; for no
bytes, for a picture (200 kB in, 450 kB of tiles out), and for 20 MB in and out. Eight callers, two processes.
"""

import argparse
import asyncio
import os
import time
from collections.abc import Sequence

from classifier.pool import Limits, Pool
from tests.bench.report import arguments, finish, say
from tests.classifier.tasks import ready, sizes

CLIENTS = 8
TASKS = {"null": (0, 0, 20_000), "picture": (200_000, 450_000, 5_000), "large": (20_000_000, 20_000_000, 100)}
"""Name: bytes in, bytes out, how often."""


async def measure(options: argparse.Namespace) -> dict[str, object]:
    """Each kind of task by itself."""
    pool = Pool(2, Limits(1 << 30, 3, 6), ready)
    await asyncio.to_thread(pool.warm_up)
    figures: dict[str, object] = {}
    try:
        for name, (given, wanted, often) in TASKS.items():
            count = often // (10 if options.quick else 1) // CLIENTS
            data = os.urandom(given)

            async def client(times: int, data: bytes = data, wanted: int = wanted) -> None:
                for _ in range(times):
                    _, rest = await pool.run(sizes, data, wanted)
                    assert len(rest) == wanted

            await asyncio.gather(*(client(3) for _ in range(CLIENTS)))
            began = time.perf_counter(), time.process_time(), time.thread_time()
            await asyncio.gather(*(client(count) for _ in range(CLIENTS)))
            wall = time.perf_counter() - began[0]
            tasks = CLIENTS * count
            one = {
                "parent_us": round((time.process_time() - began[1]) / tasks * 1e6),
                "loop_us": round((time.thread_time() - began[2]) / tasks * 1e6),
                "tasks_per_s": round(tasks / wall),
            }
            say(options, f"{name:8} {one}")
            figures[name] = one
    finally:
        await pool.close()
    return figures


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    finish(asyncio.run(measure(arguments(__doc__, argv))))


if __name__ == "__main__":
    main()
