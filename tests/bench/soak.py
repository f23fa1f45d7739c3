"""Soak: a running fediward under everything at once, for minutes or hours; memory stays flat and nothing leaks.

    python -m tests.bench.soak [--minutes 5 | --hours 8 | --quick] [--senders 6] [--json]

Prints what fediward and its processes take while it goes on, and exits with 1 where, in the end, memory has grown, or
sockets, files, threads, processes or rows of holds are left, or a forbidden picture got by. Needs Linux (/proc).
"""

import argparse
import asyncio
import contextlib
import os
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.bench.report import finish, say
from tests.bench.soaking import Hosting, Server, Traffic
from tests.e2e.pictures import BY_LISTS, LARGEST
from tests.e2e.process import Door, door, free_port
from tests.net import upstream

MIB = 1 << 20
CONFIG = """\
doors: {{fetch: {{listen: "127.0.0.1:{fetch}"}}}}
scan: everything
budget: 2s
fetch: {{allow: [127.0.0.0/8], ports: [{media}], max_bytes: {largest}}}
ledger: {{url: "sqlite:///ledger.db"}}
holds: {{window: 2m}}
{lists}"""
HOLD_TABLES = ("hold_bytes", "hold_ids")
GROWTH = 48
"""MiB that fediward may take more in the last quarter than in the second one: caches are not full yet by then, and the
allocator keeps some."""
SETTLED = 120.0
"""Seconds after the traffic in which all has to be given back."""
SPARE = 4
"""Sockets, files and threads more than before that are none: pools that keep one, a look at the database."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What fediward takes at one moment. ``rss``: MiB with its processes; ``holds``: pending ones; ``rows``: of holds
    that are not over."""

    seconds: float
    rss: float
    sockets: int
    files: int
    threads: int
    processes: int
    holds: int
    rows: int


@dataclass
class Soaked:
    """How it went: samples, what was answered, what reached the server, and what is wrong with it."""

    samples: list[Sample] = field(default_factory=list)
    answers: dict[str, int] = field(default_factory=dict)
    arrived: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)


def sample(running: Door, began: float) -> Sample:
    """Look at the processes and the database. Blocks for some milliseconds."""
    main, children = running.process.pid, running.children()
    links = []
    for entry in Path(f"/proc/{main}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            links.append(os.readlink(entry))
    holds, rows = pending(running.config.with_name("ledger.db"))
    return Sample(
        seconds=round(time.monotonic() - began, 1),
        rss=round(sum(map(resident, (main, *children))) / MIB, 1),
        sockets=sum(link.startswith("socket:") for link in links),
        files=len(links),
        threads=len(list(Path(f"/proc/{main}/task").iterdir())),
        processes=1 + len(children),
        holds=holds,
        rows=rows,
    )


def resident(pid: int) -> int:
    """Bytes of a process in memory; 0 where it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except FileNotFoundError:
        return 0


def pending(ledger: Path) -> tuple[int, int]:
    """Pending holds, and rows that are kept for them."""
    with contextlib.closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True, timeout=30)) as database:
        holds = database.execute("select count(*) from holds where state != 'over'").fetchone()[0]
        rows = sum(database.execute(f"select count(*) from {table}").fetchone()[0] for table in HOLD_TABLES)
    return int(holds), int(rows)


def growth(samples: Sequence[Sample]) -> float:
    """MiB that the last quarter takes more than the second one, in their medians."""
    quarter = max(1, len(samples) // 4)
    early, late = samples[quarter : 2 * quarter] or samples, samples[-quarter:]
    return round(statistics.median(one.rss for one in late) - statistics.median(one.rss for one in early), 1)


def faults(samples: Sequence[Sample], idle: Sample, end: Sample, most: float) -> list[str]:
    """What has leaked: ``samples`` under traffic, ``idle`` before and ``end`` after it; ``most`` MiB of growth."""
    wrong = []
    if (grown := growth(samples)) > most:
        wrong.append(f"memory grew by {grown} MiB, more than {most}")
    for name in ("sockets", "files", "threads"):
        before, after = getattr(idle, name), getattr(end, name)
        if name == "threads":  # pools start theirs when they are first asked
            before = max(before, *(one.threads for one in samples[: len(samples) // 2 + 1]))
        if after > before + SPARE:
            wrong.append(f"{after} {name} are left, before it were {before}")
    if end.processes > idle.processes:
        wrong.append(f"{end.processes} processes are left, before it were {idle.processes}")
    if end.holds or end.rows:
        wrong.append(f"{end.holds} holds are pending still, with {end.rows} rows")
    return wrong


async def soak(
    folder: Path, seconds: float, senders: int, every: float, seed: int, most: float, *, gone: bool = True
) -> Soaked:
    """Open everything, drive it for so long, and look at it every ``every`` seconds. ``gone``: as of Traffic."""
    BY_LISTS.write_lists(folder)
    hosting, server, fetch = Hosting(BY_LISTS), Server(), free_port()
    result = Soaked()
    async with upstream(hosting) as media, upstream(server) as behind:
        hosting.port = media.port
        text = CONFIG.format(fetch=fetch, media=media.port, largest=LARGEST, lists=BY_LISTS.config)
        async with door(folder, text, behind.port) as running:
            began = time.monotonic()
            idle = await asyncio.to_thread(sample, running, began)
            traffics = [
                Traffic(running.port, fetch, hosting, random.Random(seed + number), count=number << 32, gone_too=gone)
                for number in range(senders)
            ]
            async with asyncio.TaskGroup() as group:
                for traffic in traffics:
                    group.create_task(traffic.run(lambda: time.monotonic() - began > seconds))
                while time.monotonic() - began < seconds:
                    await asyncio.sleep(every)
                    result.samples.append(await asyncio.to_thread(sample, running, began))
                    for served in (media, behind):
                        served.requests.clear()
            for traffic in traffics:
                await traffic.come()
            end = await settled(running, began, idle)
            result.wrong += faults(result.samples, idle, end, most)
            result.samples = [idle, *result.samples, end]
            if await running.stop() != 0:
                result.wrong.append("it did not end well")
    for traffic in traffics:
        for name, count in traffic.answers.items():
            result.answers[name] = result.answers.get(name, 0) + count
    result.arrived = dict(server.got)
    result.wrong += got_by(result)
    return result


async def settled(running: Door, began: float, idle: Sample) -> Sample:
    """The first moment at which nothing is left, or the last of ``SETTLED`` seconds."""
    until = time.monotonic() + SETTLED
    while True:
        now = await asyncio.to_thread(sample, running, began)
        if time.monotonic() > until or (now.holds == now.rows == 0 and now.sockets <= idle.sockets + SPARE):
            return now
        await asyncio.sleep(0.5)


def got_by(result: Soaked) -> list[str]:
    """What reached whom it must not, and what did not reach whom it has to."""
    wrong = [f"{kind}: {result.arrived[kind]} reached it" for kind in ("bad", "upload bad") if kind in result.arrived]
    bytes_of = (name for name in result.answers if name.endswith("forbidden bytes") or name == "upload forbidden 200")
    wrong += [f"{name}: {result.answers[name]}" for name in bytes_of]
    for kind in ("text", "fine", "late", "gone"):
        taken = sum(count for name, count in result.answers.items() if name.startswith(f"{kind} 2"))
        if result.arrived.get(kind, 0) < taken:
            wrong.append(f"{kind}: {result.arrived.get(kind, 0)} of {taken} arrived")
    return wrong


def table(samples: Sequence[Sample]) -> str:
    """At most twenty of the samples, one a line."""
    step = max(1, len(samples) // 20)
    shown = [*samples[:-1:step], samples[-1]]
    names = list(asdict(samples[0]))
    lines = ["  ".join(f"{name:>9}" for name in names)]
    lines += ["  ".join(f"{value:>9}" for value in asdict(one).values()) for one in shown]
    return "\n".join(lines)


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--hours", type=float, default=0.0)
    parser.add_argument("--quick", action="store_true", help="some seconds: that the soak itself works")
    parser.add_argument("--seconds", type=float, default=8.0, help="of --quick")
    parser.add_argument("--senders", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--most", type=float, default=GROWTH, help="MiB that memory may grow by")
    parser.add_argument("--json", action="store_true", help="print nothing but the JSON line")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 1: something is wrong, which is said."""
    options = arguments(argv)
    seconds = options.seconds if options.quick else options.hours * 3600 or options.minutes * 60
    every = max(0.5, min(30.0, seconds / 200))
    with tempfile.TemporaryDirectory() as folder:
        how = soak(Path(folder), seconds, options.senders, every, options.seed, options.most, gone=not options.quick)
        result = asyncio.run(how)
    say(options, table(result.samples))
    say(options, f"answers: {dict(sorted(result.answers.items()))}\narrived: {dict(sorted(result.arrived.items()))}")
    say(options, "\n".join(f"WRONG: {each}" for each in result.wrong) or "nothing is left, nothing got by")
    finish(
        {
            "soak_s": seconds,
            "growth_mib": growth(result.samples[1:-1] or result.samples),
            "answers": sum(result.answers.values()),
            "wrong": result.wrong,
        }
    )
    return 1 if result.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
