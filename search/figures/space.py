"""Pictures of the search space: importance, slices, parallel coordinates, what completed trials had.

Each shows the trials of one strategy, since the space is conditional.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from pruning_core.hyperparameters import Choices, Range
from pruning_core.metrics import Metric
from search.figures.style import (
    DROPPED,
    INK,
    KEPT,
    MUTED,
    RULE,
    SUPERSCRIPT,
    canvas,
    floor,
    label_values,
    legend,
    quiet,
    save,
)
from search.trials.trial import Trial

COLUMNS = 4
BINS = 10
BEST_TRIALS = 5
PALE, GREY = "#9CC8E3", "#C4C4C4"


class Scale:
    """Where the values of one hyperparameter lie on an axis from 0 to 1, logarithmic if it is searched so."""

    def __init__(self, searched: Range | Choices) -> None:
        self.choices: list[Any] | None = None
        self.log = self.integer = False
        if isinstance(searched, Choices):
            self.choices = list(searched.values)
            self.ends = (-0.5, len(self.choices) - 0.5)
        else:
            low, high = float(searched.low), float(searched.high)
            self.log, self.integer = searched.log, searched.integer
            self.ends = (np.log10(low), np.log10(high)) if self.log else (low, high)

    def place(self, value: Any) -> float:
        """From 0 to 1; 0.5 where there is a single value."""
        low, high = self.ends
        if self.choices is not None:
            position = float(self.choices.index(value))
        else:
            position = float(np.log10(value)) if self.log else float(value)
        return (position - low) / (high - low) if high > low else 0.5

    def ticks(self) -> list[tuple[float, str]]:
        """A few places and their labels."""
        if self.choices is not None:
            return [(self.place(choice), str(choice)) for choice in self.choices]
        low, high = self.ends
        if self.log:
            decades = range(int(np.ceil(low - 1e-9)), int(np.floor(high + 1e-9)) + 1)
            if len(decades) > 2:
                every = -(-len(decades) // 5)
                return [(self.place(10.0**d), "10" + str(d).translate(SUPERSCRIPT)) for d in decades[::every]]
            steps = [m * 10.0**d for d in range(int(np.floor(low)), int(np.ceil(high)) + 1) for m in (1, 2, 5)]
            values = [v for v in steps if low - 1e-9 <= np.log10(v) <= high + 1e-9]
            values = values[:: -(-len(values) // 4)] if len(values) > 4 else values
        else:
            values = list(MaxNLocator(4, integer=self.integer).tick_values(low, high))
            values = [v for v in values if low - 1e-9 <= v <= high + 1e-9]
        return [(self.place(v), f"{v:g}") for v in values]

    def edges(self) -> list[float]:
        """The limits of the bins of a histogram: one bin per choice or small integer, ten otherwise."""
        low, high = self.ends
        bins = len(self.choices) if self.choices is not None else BINS
        if self.integer and not self.log and high - low < BINS:
            width = max(high - low, 1)
            return [(k - 0.5) / width for k in range(int(high - low) + 2)]
        return list(np.linspace(0, 1, bins + 1))


def scales(trials: Sequence[Trial]) -> dict[str, Scale]:
    """The searched hyperparameters of these trials, in the order in which they were drawn."""
    found: dict[str, Scale] = {}
    for trial in trials:
        for name, searched in trial.searched.items():
            if name not in found:
                found[name] = Scale(searched)
    return found


def importances(path: Path, found: Mapping[str, Mapping[str, float]]) -> None:
    """Draws the importances of each strategy's hyperparameters side by side."""
    across = min(3, len(found))
    lines = [list(found.items())[k : k + across] for k in range(0, len(found), across)]
    inches = [0.6 + 0.27 * max(len(shares) for _, shares in line) for line in lines]
    height = sum(inches)
    figure = canvas(height)
    for line, panels in enumerate(lines):
        rows = max(len(shares) for _, shares in panels)
        bottom = 1 - (sum(inches[: line + 1]) - 0.15) / height
        for column, (strategy, shares) in enumerate(panels):
            axes = figure.add_axes((column / across + 0.155, bottom, 1 / across - 0.195, 0.27 * rows / height))
            axes.barh(range(len(shares)), list(shares.values()), 0.66, color=KEPT)
            for row, share in enumerate(shares.values()):
                axes.annotate(_share(share), (share, row), (4, 0), textcoords="offset points", va="center",
                              fontsize=9.5, color=INK)  # fmt: skip
            axes.set_yticks(range(len(shares)), list(shares))
            axes.set_ylim(rows - 0.4, -0.6)
            axes.set_xlim(0, max(*shares.values(), 0.01) * 1.2)
            axes.set_xticks([])
            quiet(axes)
            axes.tick_params(axis="y", labelsize=9.5, labelcolor=INK)
            axes.set_title(strategy, loc="left", fontsize=11.5, fontweight="bold", color=INK)
    save(figure, path)


def _share(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.01 else "< 1 %"


def _panels(count: int, inches: float) -> tuple[Figure, list[Axes]]:
    """A figure with a grid of `count` panels, each `inches` high and with room for its name and ticks."""
    rows = -(-count // COLUMNS)
    pitch = inches + 0.62
    height = rows * pitch + 0.32
    figure = canvas(height)
    axes = []
    for index in range(count):
        row, column = divmod(index, COLUMNS)
        bottom = 1 - (0.32 + (row + 1) * pitch - 0.3) / height
        axes.append(figure.add_axes((0.062 + 0.2365 * column, bottom, 0.2, inches / height)))
    return figure, axes


def _label(axes: Axes, name: str, scale: Scale) -> None:
    places, labels = zip(*scale.ticks(), strict=True) if scale.ticks() else ((), ())
    axes.set_xticks(places, [label if len(label) <= 12 else label[:11] + "…" for label in labels])
    axes.set_xlim(-0.04, 1.04)
    axes.set_title(name, loc="left", fontsize=10, fontweight="bold", color=INK, pad=4)
    axes.spines["bottom"].set(visible=True, color=RULE)


def slices(path: Path, trials: Sequence[Trial], order: Sequence[str], metric: Metric) -> int:
    """Draws the score against each hyperparameter in `order`; returns how many trials lie below the frame."""
    shown = [t for t in trials if t.score is not None]
    found = scales(shown)
    low, high = _limits(shown)
    figure, panels = _panels(len(order), 1.45)
    size = 20 if len(shown) < 150 else 9
    for index, (axes, name) in enumerate(zip(panels, order, strict=True)):
        quiet(axes, "y")
        for completed, colour in ((False, DROPPED), (True, KEPT)):
            mine = [t for t in shown if t.completed == completed and name in t.params]
            x = np.array([_spread(t, name, found[name]) for t in mine])
            y = np.array([t.score or 0.0 for t in mine])
            marker = "o" if completed else "x"
            axes.scatter(x[y >= low], y[y >= low], size, colour, marker=marker, alpha=0.7, lw=0 if completed else 1)
            axes.scatter(x[y < low], np.full((y < low).sum(), low), size, colour, marker="v", alpha=0.7, clip_on=False)
        axes.set_ylim(low, high)
        label_values(axes.yaxis, 4, metric)
        if index % COLUMNS:
            axes.tick_params(labelleft=False)
        _label(axes, name, found[name])
    legend(figure, 0.062, [("●", KEPT, "every seed complete", INK), ("×", DROPPED, "not every seed", INK)])
    save(figure, path)
    return sum((t.score or 0.0) < low for t in shown)


def _limits(trials: Sequence[Trial]) -> tuple[float, float]:
    """The lower and upper end of an axis for the trials' scores."""
    scores = [t.score or 0.0 for t in trials]
    low, most = floor(scores), max(scores)
    return low, most + 0.06 * (most - low)


def _spread(trial: Trial, name: str, scale: Scale) -> float:
    """A trial's place on an axis; trials with the same choice or integer lie side by side."""
    step = (trial.number * 0.618034) % 1 - 0.5
    width = 0.0
    if scale.choices is not None:
        width = 0.5 / len(scale.choices)
    elif scale.integer:
        width = 0.04
    return scale.place(trial.params[name]) + width * step


def separation(path: Path, trials: Sequence[Trial]) -> None:
    """Draws the distribution of each hyperparameter: completed trials upwards, the others downwards."""
    found = scales(trials)
    figure, panels = _panels(len(found), 1.2)
    for axes, (name, scale) in zip(panels, found.items(), strict=True):
        edges = np.asarray(scale.edges())
        most = 1
        for completed, colour, sign in ((True, KEPT, 1), (False, DROPPED, -1)):
            mine = [t for t in trials if t.completed == completed and name in t.params]
            places = [scale.place(t.params[name]) for t in mine]
            counts, _ = np.histogram(np.clip(places, edges[0], edges[-1]), edges)
            axes.bar(edges[:-1], sign * counts, np.diff(edges) * 0.92, align="edge", color=colour)
            most = max(most, int(counts.max(initial=0)))
        axes.set_ylim(-1.08 * most, 1.08 * most)
        quiet(axes)
        axes.yaxis.set_major_locator(FixedLocator([-most, 0, most]))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{abs(value):g}"))
        axes.axhline(0, color=MUTED, lw=0.8)
        _label(axes, name, scale)
        axes.set_xlim(min(-0.02, edges[0]), max(1.02, edges[-1]))
        axes.spines["bottom"].set_visible(False)
    keys = [("■", KEPT, "upwards: trials with every seed complete", INK), ("■", DROPPED, "downwards: the others", INK)]
    legend(figure, 0.062, keys)
    save(figure, path)


def parallel(path: Path, trials: Sequence[Trial], order: Sequence[str], metric: Metric) -> None:
    """Draws each trial as a line through its hyperparameters, in `order`, to its score on the right.

    Every trial must have all of them.
    """
    shown = sorted((t for t in trials if t.score is not None), key=lambda t: (t.completed, t.score))
    found = scales(shown)
    low, high = _limits(shown)
    figure = canvas(4.1)
    axes = figure.add_axes((0.125, 0.18, 0.8, 0.7))
    completed = [t for t in shown if t.completed]
    best = {t.number for t in completed[-max(BEST_TRIALS, len(completed) // 10) :]}
    opacity = float(np.clip(40 / len(shown), 0.35, 0.9))
    styles = {GREY: (0.7, opacity), PALE: (0.8, opacity), KEPT: (1.5, 0.9)}
    lines: dict[str, list[list[tuple[float, float]]]] = {colour: [] for colour in styles}
    for trial in shown:
        path_of_trial = [(float(i), _spread(trial, name, found[name])) for i, name in enumerate(order)]
        path_of_trial.append((float(len(order)), (max(trial.score or 0.0, low) - low) / (high - low)))
        lines[KEPT if trial.number in best else PALE if trial.completed else GREY].append(path_of_trial)
    for colour, (width, alpha) in styles.items():
        axes.add_collection(LineCollection(lines[colour], colors=colour, linewidths=width, alpha=alpha))
    for index, name in enumerate(order):
        axes.axvline(index, color=MUTED, lw=0.8)
        for place, label in found[name].ticks():
            axes.annotate(label, (index, place), (3, 0), textcoords="offset points", fontsize=8, color=INK, va="center",
                          bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.75})  # fmt: skip
    axes.axvline(len(order), color=INK, lw=1.2)
    for value in MaxNLocator(6).tick_values(low, high):
        if low <= value <= high:
            place = (value - low) / (high - low)
            text = f"{metric.factor * value:g}{metric.sign}"
            axes.annotate(text, (len(order), place), (6, 0), textcoords="offset points", fontsize=9.5,
                          color=INK, va="center", annotation_clip=False)  # fmt: skip
    axes.set_xlim(-0.1, len(order))
    axes.set_ylim(-0.04, 1.04)
    axes.set_yticks([])
    axes.set_xticks(range(len(order) + 1), [*order, metric.label], rotation=18, ha="right", rotation_mode="anchor")
    quiet(axes)
    axes.tick_params(axis="x", labelsize=9.5, labelcolor=INK, pad=4)
    texts = {PALE: "every seed complete", KEPT: f"the {len(best)} best of those", GREY: "not every seed"}
    if not lines[PALE]:
        texts[KEPT] = texts[PALE]
    legend(figure, 0.125, [("━", colour, texts[colour], INK) for colour in texts if lines[colour]])
    save(figure, path)
