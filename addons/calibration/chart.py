"""Draws how the scores of ordinary media lie, and where the thresholds fall: one picture for all concepts."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from addons.calibration.thresholds import Threshold

_BINS = 60
_COLUMNS = 2
_WIDTH, _HEIGHT = 6.0, 2.6
"""Inches of one concept's panel."""


def draw(
    path: Path, scores: Mapping[str, Sequence[float]], thresholds: Sequence[Threshold], now: Mapping[str, float]
) -> None:
    """Write a PNG with a histogram for each of ``thresholds``: files by score, counted on a logarithmic scale.

    ``scores`` by symbol; ``now``: the thresholds that the policy has at present, by symbol.
    """
    # Late, and without pyplot: that would look for a screen and keep every figure.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = -(-len(thresholds) // _COLUMNS)
    figure = Figure(figsize=(_WIDTH * min(_COLUMNS, len(thresholds)), _HEIGHT * rows), layout="constrained")
    FigureCanvasAgg(figure)
    for number, chosen in enumerate(thresholds, 1):
        axes = figure.add_subplot(rows, min(_COLUMNS, len(thresholds)), number)
        axes.hist(scores[chosen.symbol], bins=_BINS, range=(0, 1), color="#7a9cc6")
        axes.set_yscale("symlog", linthresh=1)
        axes.set_xlim(0, 1)
        axes.set_title(f"{chosen.symbol}, {chosen.files:,} files", fontsize=9, loc="left")
        axes.tick_params(labelsize=8)
        if chosen.symbol in now:
            axes.axvline(now[chosen.symbol], color="#888888", linestyle=":", label=f"now {now[chosen.symbol]:g}")
        if chosen.score is not None:
            rate = f"{chosen.rate.low:.2%} to {chosen.rate.high:.2%}"
            axes.axvline(chosen.score, color="#b03030", label=f"{chosen.score:g}: {rate} above")
        if chosen.symbol in now or chosen.score is not None:
            axes.legend(fontsize=8, frameon=False, loc="upper right")
    figure.savefig(path, dpi=110)
