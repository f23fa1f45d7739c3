"""What ``robustness`` counts of copies and of pictures in no list, and the shares and spreads of it."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.bench.copies import COPIES


@dataclass(slots=True)
class Copies:
    """What was found of one kind of copy, over all pictures."""

    by_digest: list[bool] = field(default_factory=list)
    matched: list[bool] = field(default_factory=list)
    matched_turned: list[bool] = field(default_factory=list)
    bits: list[int] = field(default_factory=list)
    bits_turned: list[int] = field(default_factory=list)
    drift: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    kept: list[bool] = field(default_factory=list)
    """Of the pictures that the demo drops, whether it drops the copy."""

    def figures(self) -> dict[str, Any]:
        """Shares, bits, and the mean and 99th percentile of each symbol's change."""
        return {
            "by_digest": share_of(self.by_digest),
            "recall": share_of(self.matched),
            "recall_variants": share_of(self.matched_turned),
            "bits": spread(self.bits),
            "bits_variants": spread(self.bits_turned),
            "clip": change(self.drift, "clip."),
            "nudity": change(self.drift, "nudity."),
            "forbidden_kept": share_of(self.kept),
            "drift": {symbol: change(self.drift, symbol) for symbol in sorted(self.drift)},
        }


@dataclass(slots=True)
class Kind:
    """What was found of one kind of picture."""

    pictures: int = 0
    listed: int = 0
    matched: list[bool] = field(default_factory=list)
    others: int = 0
    false: list[bool] = field(default_factory=list)
    false_turned: list[bool] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        """Recall over all kinds of copies; false matches among those others that have a PDQ hash."""
        return {
            "pictures": self.pictures,
            "listed": self.listed,
            "recall": share_of(self.matched),
            "others": self.others,
            "others_hashed": len(self.false),
            "false": share_of(self.false),
            "false_variants": share_of(self.false_turned),
        }


@dataclass(slots=True)
class Found:
    """All that is counted. ``dropped``: known pictures that the demo's policy drops."""

    copies: defaultdict[str, Copies] = field(default_factory=lambda: defaultdict(Copies))
    kinds: defaultdict[str, Kind] = field(default_factory=lambda: defaultdict(Kind))
    dropped: int = 0

    def figures(self) -> dict[str, Any]:
        """All of them, as JSON has them."""
        drift: dict[str, list[float]] = defaultdict(list)
        for copies in self.copies.values():
            for symbol, changes in copies.drift.items():
                drift[symbol].extend(changes)
        kinds = self.kinds.values()
        return {
            "pictures": sum(kind.pictures for kind in kinds),
            "listed": sum(kind.listed for kind in kinds),
            "others": sum(kind.others for kind in kinds),
            "others_hashed": sum(len(kind.false) for kind in kinds),
            "false": share_of([one for kind in kinds for one in kind.false]),
            "false_variants": share_of([one for kind in kinds for one in kind.false_turned]),
            "dropped": self.dropped,
            "copies": {name: self.copies[name].figures() for name in COPIES},
            "kinds": {name: kind.figures() for name, kind in self.kinds.items()},
            "symbols": {symbol: change(drift, symbol) for symbol in sorted(drift)},
        }


def share_of(those: Sequence[bool]) -> float | None:
    """How many of them, 0…1; None of none."""
    return round(sum(those) / len(those), 4) if those else None


def spread(bits: Sequence[int]) -> list[float] | None:
    """Median and 99th percentile."""
    return [round(float(np.percentile(bits, part)), 1) for part in (50, 99)] if bits else None


def change(drift: dict[str, list[float]], prefix: str) -> list[float] | None:
    """Mean and 99th percentile of the changes of all symbols that begin so."""
    values = [value for symbol, changes in drift.items() if symbol.startswith(prefix) for value in changes]
    return [round(float(np.mean(values)), 4), round(float(np.percentile(values, 99)), 4)] if values else None
