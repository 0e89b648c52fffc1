"""The picture of how many inputs are enough: the score against n, or against cost, with its band."""

from pathlib import Path

import numpy as np
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from pruning_core.metrics import Metric
from search.figures.style import DROPPED, INK, KEPT, MUTED, RULE, canvas, floor, label_values, legend, quiet, save
from search.trials.enough import Curve

ROOM_FOR_LABEL = 0.045


def score_within_band(path: Path, curve: Curve, metric: Metric) -> None:
    """Draws the curve: the mean score with one standard error on both sides, the line below the best, what is chosen.

    Points of which not every seed completed are hollow, and stand outside of the line.
    """
    figure = canvas(4.6)
    axes = figure.add_axes((0.085, 0.125, 0.895, 0.78))
    points = sorted(curve.counting, key=lambda point: point.cost)
    x, mean, error = np.array([(point.cost, point.mean, point.error) for point in points]).T.reshape(3, -1)
    axes.fill_between(x, mean - error, np.minimum(mean + error, metric.most), color=KEPT, alpha=0.18, lw=0)
    axes.plot(x, mean, "o-", color=KEPT, lw=1.6, ms=5, mec="white", mew=0.8)
    left_out = [point for point in curve.points if point not in points]
    axes.plot([p.cost for p in left_out], [p.mean for p in left_out], "o", color=MUTED, mfc="white", ms=5)
    keys = [("●", KEPT, "mean ± one standard error", INK)]
    chosen, best = curve.chosen, curve.best
    if chosen and best:
        axes.axhline(curve.line, color=INK, lw=1, ls=(0, (4, 3)))
        axes.plot([chosen.cost], [chosen.mean], "D", color=DROPPED, ms=10, mec="white", mew=1, zorder=5)
        keys.append(("╌", INK, "one standard error below the best", INK))
        keys.append(
            ("◆", DROPPED, f"n = {chosen.keep}, the {'cheapest' if curve.priced else 'smallest'} above it", INK)
        )
    if left_out:
        keys.append(("○", MUTED, "incomplete", INK))
    legend(figure, 0.085, keys)
    axes.set_xscale("log")
    quiet(axes, "y")
    label_values(axes.yaxis, 6, metric)
    axes.xaxis.set_major_locator(FixedLocator(_labelled([point.cost for point in curve.points])))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}" if value < 100 else f"{value:.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.margins(y=0.08)
    if points:
        axes.set_ylim(floor([point.mean - point.error for point in points]), None)
    axes.set_ylim(None, min(axes.get_ylim()[1], 1.02 * metric.most))
    axes.spines["bottom"].set(visible=True, color=RULE)
    what = "mean cost of the inputs that are kept" if curve.priced else "n, the inputs that are kept"
    axes.set_xlabel(what, color=MUTED, fontsize=10.5)
    axes.set_ylabel(f"pruned {metric.label}, validation", color=MUTED, fontsize=10.5)
    save(figure, path)


def _labelled(places: list[float]) -> list[float]:
    """Those places on a logarithmic axis that leave each other room for a label, from the left."""
    low, high = np.log(min(places)), np.log(max(places))
    labelled: list[float] = []
    for place in sorted(places):
        rounded = float(f"{place:.3g}")
        if not labelled or np.log(rounded / labelled[-1]) > ROOM_FOR_LABEL * max(high - low, 0.1):
            labelled.append(rounded)
    return labelled
