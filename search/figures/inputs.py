"""Pictures of the inputs themselves: how the kept ones are distributed in each class, and what correlates with what."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator
from numpy.typing import NDArray

from search.figures.style import INK, MUTED, PALETTE, RULE, canvas, legend, quiet, save

COLUMNS = 4
BINS = 30
SHARE_OUTSIDE = 0.005
MOST_KEPT, MOST_OTHERS = 20, 30

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Values:
    """Raw values of F inputs in B rows, their names, the rows' classes and weights, and the classes' names."""

    x_BF: Floats
    names: Sequence[str]
    y_B: NDArray[np.integer]
    weight_B: Floats
    classes: Sequence[str]


def distributions(path: Path, values: Values) -> None:
    """Draws a histogram of each input, a line per class, each with the same area.

    Args:
        path: the PNG to write.
        values: of the inputs to be drawn; the outermost half per cent at either end is left out.
    """
    across = min(COLUMNS, len(values.names))
    rows = -(-len(values.names) // across)
    height = 0.35 + 1.75 * rows
    figure = canvas(height)
    for index, name in enumerate(values.names):
        row, column = divmod(index, across)
        width = 1 / across
        axes = figure.add_axes(
            (column * width + 0.02, 1 - (0.35 + 1.75 * (row + 1) - 0.45) / height, width - 0.04, 1.0 / height)
        )
        _histograms(axes, values, values.x_BF[:, index])
        axes.set_title(_short(name), loc="left", fontsize=10, fontweight="bold", color=INK, pad=4)
    keys = [("━", PALETTE[c % len(PALETTE)], name, INK) for c, name in enumerate(values.classes)]
    legend(figure, 0.02, keys)
    save(figure, path)


def _histograms(axes: Axes, values: Values, x_B: Floats) -> None:
    low, high = np.quantile(x_B, [SHARE_OUTSIDE, 1 - SHARE_OUTSIDE])
    different = np.unique(x_B)
    if low == high:
        low, high = different[0], different[-1]
    if len(different) <= BINS:
        middles = (different[1:] + different[:-1]) / 2
        edges = np.concatenate([[2 * different[0] - middles[0]], middles, [2 * different[-1] - middles[-1]]])
    else:
        edges = np.linspace(low, high, BINS + 1)
    for c in range(len(values.classes)):
        mine = values.y_B == c
        heights, _ = np.histogram(x_B[mine], edges, weights=values.weight_B[mine])
        area = values.weight_B[mine].sum()
        axes.stairs(heights / (area or 1.0) / np.diff(edges), edges, color=PALETTE[c % len(PALETTE)], lw=1.4)
    axes.set_xlim(edges[0], edges[-1])
    quiet(axes)
    axes.yaxis.set_major_locator(NullLocator())
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.spines["bottom"].set(visible=True, color=RULE)


def correlations(path: Path, correlation_FF: Floats, names: Sequence[str], kept: Sequence[int]) -> int:
    """Draws how each kept input correlates with the other kept ones, and with those dropped ones that follow it most.

    Args:
        path: the PNG to write.
        correlation_FF: Pearson's correlations of all inputs, in [-1, 1].
        names: of the F inputs.
        kept: the indices of the kept ones, the most frequently kept first.

    Returns:
        How many dropped inputs it leaves out.
    """
    shown = list(kept[:MOST_KEPT])
    dropped = [f for f in range(len(names)) if f not in set(kept)]
    dropped.sort(key=lambda f: -np.abs(correlation_FF[shown, f]).max())
    others = dropped[:MOST_OTHERS]
    columns = shown + others
    height = 1.55 + 0.27 * len(shown)
    figure = canvas(height)
    cell = min(0.8 / (len(columns) + 0.5), 0.045)
    axes = figure.add_axes((0.16, 0.1 / height, cell * (len(columns) + 0.5), 0.27 * len(shown) / height))
    for row, of in enumerate(shown):
        for column, with_ in enumerate(columns):
            place = column + (0.5 if column >= len(shown) else 0.0)
            _cell(axes, place, row, 1.0 if of == with_ else float(correlation_FF[of, with_]))
    axes.set_xlim(0, len(columns) + 0.5)
    axes.set_ylim(len(shown), 0)
    quiet(axes)
    axes.tick_params(labelsize=9, labelcolor=INK)
    axes.xaxis.tick_top()
    places = [column + 0.5 + (0.5 if column >= len(shown) else 0.0) for column in range(len(columns))]
    axes.set_xticks(places, [_short(names[f]) for f in columns], rotation=55, ha="left", rotation_mode="anchor")
    axes.set_yticks(np.arange(len(shown)) + 0.5, [_short(names[f]) for f in shown])
    save(figure, path)
    return len(dropped) - len(others)


def _cell(axes: Axes, x: float, y: float, value: float) -> None:
    """A square whose colour says the sign and whose depth says the size of a correlation."""
    colour = "#0072B2" if value > 0 else "#D55E00"
    axes.fill([x, x + 1, x + 1, x], [y, y, y + 1, y + 1], color=colour, alpha=abs(value), lw=0)
    if abs(value) >= 0.3:
        text = f"{abs(value):.1f}".lstrip("0").replace("1.0", "1")
        shade = "white" if abs(value) > 0.6 else INK
        axes.text(x + 0.5, y + 0.55, text, fontsize=7, ha="center", va="center", color=shade)


def _short(name: str) -> str:
    return name if len(name) <= 18 else name[:17] + "…"


@dataclass(frozen=True)
class Curve:
    """A network's background efficiencies, mean and standard deviation over the seeds, (K,) each, and its colour."""

    mean_K: Floats
    std_K: Floats
    colour: str


def rejections(path: Path, curves: Mapping[str, Curve], efficiency_K: Floats, least: float) -> None:
    """Draws background rejection against signal efficiency, a line per network.

    Args:
        path: the PNG to write.
        curves: by label.
        efficiency_K: the signal efficiencies.
        least: the background efficiency below which nothing can be told, which ends the lines.
    """
    figure = canvas(4.4)
    axes = figure.add_axes((0.075, 0.125, 0.905, 0.775))
    for curve in curves.values():
        seen = curve.mean_K > least
        axes.plot(efficiency_K[seen], 1 / curve.mean_K[seen], color=curve.colour, lw=1.6)
        more_K, less_K = (np.clip(curve.mean_K + side * curve.std_K, least, None)[seen] for side in (1, -1))
        axes.fill_between(efficiency_K[seen], 1 / more_K, 1 / less_K, color=curve.colour, alpha=0.15, lw=0)
    axes.plot(efficiency_K, 1 / efficiency_K, color=MUTED, lw=0.8, ls=(0, (4, 3)))
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    axes.set_xlim(0, 1)
    axes.set_ylim(0.95, None)
    quiet(axes, "y")
    axes.spines["bottom"].set(visible=True, color=RULE)
    axes.set_xlabel("signal efficiency", color=MUTED, fontsize=10.5)
    axes.set_ylabel("background rejection, 1 / efficiency", color=MUTED, fontsize=10.5)
    keys = [("━", curve.colour, label, INK) for label, curve in curves.items()]
    legend(figure, 0.075, [*keys, ("╌", MUTED, "chance", INK)])
    save(figure, path)
