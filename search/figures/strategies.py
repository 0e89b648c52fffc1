"""The picture of a search: how the best trial of each strategy fared, one PNG, 1000 pixels wide, from plain numbers."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pruning_core.metrics import Metric
from search.figures.style import INK, MUTED, RULE, TEST, VALIDATION, save_quickly
from search.trials.ranking import merit_of_confirmed
from search.trials.result import network_of

DPI = 100
BESIDE = ("axes fraction", "data")


def strategy_summary(result: Mapping[str, Any], path: Path, metric: Metric) -> None:
    """Draws how the best trial of each strategy fared: scores of its confirmation seeds, and its trials.

    The scores are those of the pruned or the refitted networks, the better on validation.

    Args:
        result: what `deeppp search --json` writes.
        path: the PNG to write.
        metric: what the scores are of.

    Raises:
        ValueError: `result` holds no strategy.
    """
    strategies: Mapping[str, Mapping[str, Any]] = result["strategies"]
    if not strategies:
        raise ValueError("a strategy summary needs at least one strategy, got none")
    names = sorted(strategies, key=lambda name: merit_of_confirmed(strategies[name]))
    height = 1.5 + 0.72 * len(names)
    figure = Figure(figsize=(10, height), dpi=DPI, facecolor="white")
    bottom, top = 0.62 / height, 1 - 0.88 / height
    left = figure.add_axes((0.115, bottom, 0.46, top - bottom))
    right = figure.add_axes((0.785, bottom, 0.2, top - bottom))

    for row, name in enumerate(names):
        for part, offset, colour in (("validation", 0.17, VALIDATION), ("test", -0.17, TEST)):
            _draw_score(left, strategies[name].get(part), row + offset, colour)
    left.set_yticks(range(len(names)), names)
    for row, name in enumerate(names):
        left.annotate(network_of(strategies[name]), (0, row), (-9, -14), xycoords=BESIDE, textcoords="offset points",
                      ha="right", va="center", fontsize=9, color=MUTED, annotation_clip=False)  # fmt: skip
    left.set_xlabel(f"{metric.label} with the hard mask", color=MUTED, fontsize=11)
    left.xaxis.set_major_locator(MaxNLocator(6))
    left.margins(x=0.06)

    for row, name in enumerate(names):
        trials, completed = int(strategies[name].get("trials", 0)), int(strategies[name].get("completed", 0))
        right.barh(row, trials, 0.5, color=RULE)
        right.barh(row, completed, 0.5, color=MUTED)
        right.annotate(f"{completed} of {trials}", (trials, row), (5, 0), textcoords="offset points",
                       va="center", fontsize=11, color=INK)  # fmt: skip
    right.set_yticks([])
    right.set_xticks([])
    most = max(int(entry.get("trials", 0)) for entry in strategies.values())
    right.set_xlim(0, 1.55 * max(most, 1))

    for axes in (left, right):
        axes.set_ylim(-0.6, len(names) - 0.4)
        axes.tick_params(length=0, colors=MUTED, labelsize=11)
        axes.spines[:].set_visible(False)
    left.tick_params(axis="y", labelsize=12, labelcolor=INK)
    for label in left.get_yticklabels():
        label.set_fontweight("bold" if label.get_text() == result.get("winner") else "normal")
    left.grid(axis="x", color=RULE, lw=0.8)
    left.set_axisbelow(True)

    line = 1 - 0.34 / height
    title = f"{result.get('study', 'study')}: the best trial of each strategy"
    figure.text(0.115, line, title, fontsize=14, fontweight="bold", color=INK)
    line = 1 - 0.66 / height
    figure.text(0.115, line, "validation", fontsize=11, color=VALIDATION, fontweight="bold")
    figure.text(0.21, line, "test", fontsize=11, color=TEST, fontweight="bold")
    figure.text(0.255, line, "of each confirmation seed", fontsize=11, color=MUTED)
    figure.text(0.595, line, "mean ± spread", fontsize=11, color=MUTED)
    figure.text(0.785, line, "trials completed", fontsize=11, color=MUTED)
    save_quickly(figure, path)


def _draw_score(axes: Axes, score: Mapping[str, Any] | None, row: float, colour: str) -> None:
    """One score: a point per seed, a bar of one deviation to either side, and the numbers beside them."""
    mean = float((score or {}).get("mean") or math.nan)
    text, shade = "not measured", MUTED
    if score is not None and math.isfinite(mean):
        spread = float(score.get("std") or 0.0)
        values = [float(value) for value in score.get("per_seed") or () if value is not None]
        axes.plot(values, [row] * len(values), ls="none", marker="o", ms=5, color=colour, alpha=0.3, mec="none")
        axes.plot([mean - spread, mean + spread], [row, row], color=colour, lw=2.2, solid_capstyle="round")
        axes.plot([mean], [row], marker="o", ms=9, color=colour, mec="white", mew=1.2)
        text, shade = f"{mean:.3f} ± {spread:.3f}", colour
    axes.annotate(text, (1, row), (16, 0), xycoords=BESIDE, textcoords="offset points", va="center",
                  fontsize=11, color=shade, annotation_clip=False)  # fmt: skip
