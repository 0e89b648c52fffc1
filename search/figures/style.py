"""How pictures look: colours, frames, legends, and how they are written.

Drawing goes through matplotlib's objects and the Agg renderer, so that no display, no global state and no window is
involved.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from PIL import Image

from pruning_core.metrics import Metric
from pruning_core.strategies import STRATEGIES

# Okabe and Ito's colours, which stay apart for colour-blind readers and in print.
KEPT, DROPPED, VALIDATION, TEST = "#0072B2", "#D55E00", "#009E73", "#0072B2"
INK, MUTED, RULE = "#222222", "#707070", "#d8d8d8"
SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

DPI, COLOURS = 200, 96
PALETTE = ("#CC79A7", "#56B4E9", "#0072B2", "#D55E00", "#009E73", "#E69F00", "#7F3C8D", "#666666")
MARKERS = {"D": "◆", "v": "▼", "o": "●", "s": "■", "^": "▲", "P": "✚", "X": "✖", "h": "⬢"}
OUTCOME_COLOURS = {
    "complete": "#0072B2",
    "mixed": "#7CC0EA",
    "undecided": "#F0E442",
    "too little": "#E69F00",
    "collapsed": "#D55E00",
    "stopped": "#B5B5B5",
    "failed": "#4A4A4A",
    "unknown": "#F2F2F2",
}
DARK = ("complete", "collapsed", "failed")


def colour_of(strategy: str) -> str:
    """The colour of a strategy on the page: by its place among all, of one that is not known here by its name."""
    return PALETTE[_place(strategy)]


def marker_of(strategy: str) -> str:
    """The marker of a strategy, in matplotlib's words."""
    return list(MARKERS)[_place(strategy)]


def _place(strategy: str) -> int:
    known = list(STRATEGIES)
    return (known.index(strategy) if strategy in known else len(known) + sum(strategy.encode())) % len(PALETTE)


def canvas(height: float, width: float = 10.0) -> Figure:
    """An empty white figure, measured in inches."""
    return Figure(figsize=(width, height), dpi=DPI, facecolor="white")


def save(figure: Figure, path: Path) -> None:
    """Writes a PNG with a palette, a third of the size of one in full colour."""
    agg = FigureCanvasAgg(figure)
    agg.draw()
    picture = Image.fromarray(np.asarray(agg.buffer_rgba())[..., :3])
    picture = picture.quantize(COLOURS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    palette = np.array(picture.getpalette())
    picture.putpalette(np.where(palette > 250, 255, palette).tolist())
    picture.save(path, dpi=(DPI, DPI))


def quiet(axes: Axes, grid: str = "") -> None:
    """No frame, small grey ticks, and thin lines across one axis (`x` or `y`) if wanted."""
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, colors=MUTED, labelsize=9.5)
    axes.set_axisbelow(True)
    if grid == "x":
        axes.xaxis.grid(True, color=RULE, lw=0.7)
    if grid == "y":
        axes.yaxis.grid(True, color=RULE, lw=0.7)


def label_values(axis: Any, steps: int, metric: Metric) -> None:
    """Labels an axis of a metric's values, of fractions in per cent."""
    axis.set_major_locator(MaxNLocator(steps, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{metric.factor * value:g}{metric.sign}"))


def legend(figure: Figure, left: float, entries: Sequence[tuple[str, str, str, str]]) -> None:
    """Writes a line of (sign, its colour, text, its colour) along the top of a figure."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    line = 1 - 0.17 / figure.get_figheight()
    for sign, shade, text, colour in entries:
        for part, paint, gap in ((sign, shade, 0.006), (text, colour, 0.026)):
            written = figure.text(left, line, part, color=paint, fontsize=10.5, va="center_baseline")
            left += written.get_window_extent(renderer).width / figure.bbox.width + gap


def floor(scores: Sequence[float]) -> float:
    """Where an axis of scores begins: at the least, unless a few stragglers would squeeze all the others."""
    least, usual, most = np.min(scores), np.quantile(scores, 0.1), np.max(scores)
    low = least if most - least <= 2.5 * (most - usual) or len(scores) < 10 else usual - 0.25 * (most - usual)
    return float(low - 0.04 * max(most - low, 0.01))


def strategy_keys(names: Sequence[str]) -> list[tuple[str, str, str, str]]:
    return [(MARKERS[marker_of(name)], colour_of(name), name, INK) for name in names]


def save_quickly(figure: Figure, path: Path) -> None:
    """Writes a PNG in full colour, which takes a third of the time: for the pictures that every trial gets."""
    FigureCanvasAgg(figure)
    figure.savefig(path, format="png", pil_kwargs={"compress_level": 2})
