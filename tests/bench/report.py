"""What every benchmark shares: ``--quick``, ``--json``, and one JSON object of all figures as the last line."""

import argparse
import json
import os
import platform
import statistics
import sys
from collections.abc import Sequence


def arguments(description: str | None, argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The options that every benchmark has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="fewer rounds: under a minute, and noisier")
    parser.add_argument("--json", action="store_true", help="print nothing but the JSON line")
    return parser.parse_args(argv)


def say(options: argparse.Namespace, text: str) -> None:
    """Progress and tables, for people."""
    if not options.json:
        print(text, flush=True)


def finish(figures: dict[str, object]) -> None:
    """The last line."""
    machine = {"python": platform.python_version(), "cpus": len(os.sched_getaffinity(0)), "load": os.getloadavg()[0]}
    print(json.dumps({**figures, "machine": machine}), flush=True)
    sys.stdout.flush()


def median(values: Sequence[float]) -> float:
    """The median, to three digits after the point."""
    return round(statistics.median(values), 3)
