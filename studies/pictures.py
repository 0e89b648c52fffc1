"""The pictures of FINDINGS.md, drawn from finished searches in the style of the report."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from pruning_core.metrics import ACCURACY
from pruning_core.strategies import STRATEGIES
from search.figures.style import (
    DROPPED,
    INK,
    KEPT,
    MUTED,
    OUTCOME_COLOURS,
    canvas,
    colour_of,
    label_values,
    legend,
    quiet,
    save,
)
from studies.searches import Trial

SHADES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")


def slopes(path: Path, entries: Sequence[Mapping[str, float]], moves: Sequence[Mapping[str, Any]]) -> None:
    """Left: the slope of L_pru at the starting point against N; right: when gates start to move in training."""
    figure = canvas(3.6)
    left, right = figure.add_axes((0.08, 0.15, 0.4, 0.68)), figure.add_axes((0.58, 0.15, 0.4, 0.68))
    units = [e["units"] for e in entries]
    left.plot(units, [e["selection"] for e in entries], color=MUTED, lw=1.5, ls=(0, (4, 3)))
    for k, (kind, mark) in enumerate((("plain", "o"), ("modified", "s"))):
        left.plot(units, [e[kind] for e in entries], color=SHADES[k], marker=mark, ms=5, lw=1.5)
    left.set_xscale("log")
    left.set_yscale("log")
    left.set_xlabel("N", color=MUTED)
    left.set_title("N times the slope of L_pru at the start", fontsize=10.5, loc="left", color=INK)
    rows = [row for row in moves if row["initial_weight"] == 3]
    for k, kind in enumerate(("plain", "modified")):
        places = np.arange(len(rows)) + 0.36 * k - 0.18
        right.bar(places, [row[kind]["first_move"] for row in rows], 0.34, color=SHADES[k])
    right.set_xticks(range(len(rows)), [f"{row['data']}\nN = {row['units']}" for row in rows])
    right.set_title("epoch at which the mean gate has fallen by 0.05", fontsize=10.5, loc="left", color=INK)
    for axes in (left, right):
        quiet(axes, "y")
    legend(
        figure,
        0.08,
        [
            ("●", SHADES[0], "plain", INK),
            ("■", SHADES[1], "modified", INK),
            ("╌╌", MUTED, "L_sel alone", INK),
        ],
    )
    save(figure, path)


def outcomes_by_alpha(path: Path, by_rate: Mapping[float, Sequence[Mapping[str, Any]]]) -> None:
    """What becomes of the replicas under each fixed alpha, and how many gates fall in the most drastic epoch."""
    figure = canvas(3.5)
    for k, (rate, rows) in enumerate(sorted(by_rate.items())):
        axes = figure.add_axes((0.07 + 0.49 * k, 0.16, 0.42, 0.64))
        bottom = np.zeros(len(rows))
        for outcome in ("too little", "undecided", "complete", "collapsed"):
            shares = np.array([row["outcome"][outcome] for row in rows])
            axes.bar(range(len(rows)), shares, 0.9, bottom=bottom, color=OUTCOME_COLOURS[outcome])
            bottom += shares
        axes.plot(range(len(rows)), [row["drasticness"] for row in rows], color=INK, marker="o", ms=4, lw=1.5)
        axes.set_xticks(range(0, len(rows), 2), [f"{row['alpha']:g}" for row in rows[::2]])
        axes.set_xlabel("α", color=MUTED)
        axes.set_title(f"pruner step size {rate:g}", fontsize=10.5, loc="left", color=INK)
        quiet(axes)
        label_values(axes.yaxis, 5, ACCURACY)
    keys = [("■", OUTCOME_COLOURS[name], name, INK) for name in ("too little", "undecided", "complete", "collapsed")]
    legend(figure, 0.07, [*keys, ("●", INK, "drasticness", INK)])
    save(figure, path)


def gates_side_by_side(path: Path, trials: Mapping[str, Trial]) -> None:
    """The gates of the first replica of each trial over the epochs; blue are those that are kept in the end."""
    figure = canvas(2.9)
    width = 0.92 / len(trials)
    for k, (title, trial) in enumerate(trials.items()):
        axes = figure.add_axes((0.06 + k * width, 0.16, width - 0.05, 0.66))
        gates_EN = trial.gates["gates"][:, 0].astype(float)
        kept_N = np.isin(trial.gates["names"], trial.result["selected"][0])
        for members_N, colour in ((~kept_N, DROPPED), (kept_N, KEPT)):
            lines = [np.column_stack([trial.gates["epoch"], line_E]) for line_E in gates_EN.T[members_N]]
            axes.add_collection(LineCollection(lines, colors=colour, linewidths=0.9, alpha=0.6))
        axes.set_xlim(0, float(trial.gates["epoch"][-1]))
        axes.set_ylim(-0.03, 1.03)
        axes.set_title(title, fontsize=10.5, loc="left", color=INK)
        axes.set_xlabel("epoch", color=MUTED)
        quiet(axes, "y")
    legend(figure, 0.06, [("━", KEPT, "kept", INK), ("━", DROPPED, "dropped", INK)])
    save(figure, path)


def alphas(path: Path, trials: Mapping[str, Trial]) -> None:
    """alpha over the epochs (mean over replicas) and, below, the number of active gates."""
    figure = canvas(3.6)
    above, below = figure.add_axes((0.08, 0.5, 0.9, 0.36)), figure.add_axes((0.08, 0.13, 0.9, 0.3))
    for colour, trial in zip(SHADES, trials.values(), strict=False):
        epochs = trial.history["epoch"]
        above.plot(epochs, trial.history["alpha"].mean(1), color=colour, lw=1.6)
        below.plot(epochs, trial.history["active"].mean(1), color=colour, lw=1.6)
    above.set_yscale("log")
    above.set_ylabel("α", color=MUTED)
    below.set_ylabel("active gates", color=MUTED)
    below.set_xlabel("epoch", color=MUTED)
    for axes in (above, below):
        quiet(axes, "y")
    legend(figure, 0.08, [("━", colour, name, INK) for colour, name in zip(SHADES, trials, strict=False)])
    save(figure, path)


def acceptance(path: Path, trials: Mapping[str, Trial]) -> None:
    """The chain's fraction of accepted proposals over the epochs, and the active gates."""
    figure = canvas(2.8)
    panels = figure.add_axes((0.08, 0.17, 0.4, 0.66)), figure.add_axes((0.57, 0.17, 0.4, 0.66))
    titles = ("accepted proposals", "active gates")
    for axes, quantity, title in zip(panels, ("acceptance", "active"), titles, strict=True):
        for colour, trial in zip(SHADES, trials.values(), strict=False):
            axes.plot(trial.history["epoch"], trial.history[quantity].mean(1), color=colour, lw=1.5)
        axes.set_title(title, fontsize=10.5, loc="left", color=INK)
        axes.set_xlabel("epoch", color=MUTED)
        quiet(axes, "y")
    label_values(panels[0].yaxis, 5, ACCURACY)
    legend(figure, 0.08, [("━", colour, name, INK) for colour, name in zip(SHADES, trials, strict=False)])
    save(figure, path)


def ranking(path: Path, tables: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> None:
    """Test accuracy of each strategy's confirmed best trial on each data set, with its interval over seeds."""
    figure = canvas(2.9)
    width = 0.94 / len(tables)
    for k, (name, entries) in enumerate(tables.items()):
        axes = figure.add_axes((0.06 + k * width, 0.14, width - 0.06, 0.68))
        order = [s for s in STRATEGIES if s in entries]
        for place, strategy in enumerate(order):
            _interval(axes, place, entries[strategy], colour_of(strategy))
        axes.set_xticks([])
        axes.set_xlim(-0.6, len(order) - 0.4)
        axes.set_title(name.replace("_", " "), fontsize=10.5, loc="left", color=INK)
        quiet(axes, "y")
        label_values(axes.yaxis, 5, ACCURACY)
    present = [s for s in STRATEGIES if any(s in entries for entries in tables.values())]
    keys = [("●", colour_of(s), s, INK) for s in present]
    legend(figure, 0.06, [*keys, ("○", MUTED, "not every seed complete", INK)])
    save(figure, path)


def _interval(axes: Axes, place: float, entry: Mapping[str, Any], colour: str) -> None:
    test, whole = entry["test"], entry["complete"] == 1
    axes.errorbar(place, test.mean, yerr=test.half, color=colour, lw=1.8, capsize=0)
    axes.plot(place, test.mean, "o", ms=7, color=colour, mfc=colour if whole else "white", mew=1.5)


def best_found(path: Path, found: Mapping[str, Mapping[str, Any]]) -> None:
    """The best feasible trial of each repeated study, by sampler."""
    figure = canvas(1.7)
    axes = figure.add_axes((0.12, 0.32, 0.84, 0.6))
    names = list(found)
    for place, name in enumerate(names):
        values = found[name]["best"]
        axes.plot(values, np.full(len(values), place), "o", ms=7, color=SHADES[place], alpha=0.6, mec="none")
        axes.plot([found[name]["median"]] * 2, [place - 0.25, place + 0.25], color=INK, lw=2)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlabel("best validation accuracy among trials of which every seed completes", color=MUTED)
    quiet(axes, "x")
    label_values(axes.xaxis, 6, ACCURACY)
    save(figure, path)
