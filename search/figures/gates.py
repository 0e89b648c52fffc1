"""The pictures of a study: how the gates of a trial opened and closed, and how the strategies compare.

Each function draws one PNG, 1000 pixels wide, from plain numbers and returns nothing. Drawing goes through
matplotlib's objects and the Agg renderer, so that no display, no global state and no window is involved.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator
from numpy.typing import NDArray

logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)

# Okabe and Ito's colours, which stay apart for colour-blind readers and in print.
KEPT, DROPPED, VALIDATION, TEST = "#0072B2", "#D55E00", "#009E73", "#0072B2"
INK, MUTED, RULE = "#222222", "#707070", "#d8d8d8"

LINES = 200
POINTS = 400
DPI = 100
BESIDE = ("axes fraction", "data")
SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def gate_trajectories(
    path: Path,
    title: str,
    trial: Mapping[str, Any],
    history: Mapping[str, NDArray[Any]],
    gates: Mapping[str, NDArray[Any]],
) -> None:
    """Draws the gates of one trial over its epochs, in the manner of the deck.

    Above stand the gates of one seed, the typical one, with its alpha on a logarithmic scale; below, the
    number of active gates of every seed. Of a wide layer at most 200 gates are drawn, half of them kept ones.

    Args:
        path: the PNG to write.
        title: what was run and how it ended.
        trial: the content of `trial.json`.
        history: the arrays of `history.npz`, each (E, R), and `epoch` (E,).
        gates: the arrays of `gates.npz`: `gates` (E', R, N) in [0, 1], `epoch` (E',), `names` (N,).
    """
    completion: Sequence[int | None] = trial["completion_epoch"]
    seeds: Sequence[int] = trial["seeds"]
    typical = _typical(completion)
    gates_EN, gate_epochs, epochs = gates["gates"][:, typical], gates["epoch"], history["epoch"]
    selected_N = np.isin(gates["names"], trial["selected"][typical])
    units, keep = len(selected_N), int(selected_N.sum())
    figure = Figure(figsize=(10, 6.2), dpi=DPI, facecolor="white")
    above = figure.add_axes((0.075, 0.37, 0.845, 0.49))
    below = figure.add_axes((0.075, 0.09, 0.845, 0.22))
    last = max(float(gate_epochs[-1]), float(epochs[-1]), 1.0)

    every = -(-len(gate_epochs) // POINTS)
    rows = np.unique(np.append(np.arange(0, len(gate_epochs), every), len(gate_epochs) - 1))
    kept, dropped = _sample(selected_N)
    for columns, colour in ((dropped, DROPPED), (kept, KEPT)):
        values_nE = gates_EN[rows][:, columns].T.astype(float)
        lines = np.stack([np.broadcast_to(gate_epochs[rows], values_nE.shape), values_nE], axis=-1)
        opacity = float(np.clip(12 / max(len(columns), 1), 0.3, 0.9))
        above.add_collection(LineCollection(list(lines), colors=colour, linewidths=1.0, alpha=opacity))
    _frame(above, last, "gate  σ(wᵢ)")
    above.set_ylim(-0.03, 1.03)
    above.yaxis.set_major_locator(FixedLocator([0, 0.5, 1]))
    above.set_xticks([])
    shown_alpha = _draw_alpha(above, epochs, history["alpha"][:, typical])
    _mark_completion(above, completion[typical])

    counts = [np.column_stack([epochs, active_E]) for active_E in history["active"].T]
    below.add_collection(LineCollection(counts, colors=MUTED, linewidths=0.7, alpha=0.55))
    below.plot(epochs, history["active"][:, typical], color=INK, lw=1.4)
    _frame(below, last, "active gates")
    below.set_xlabel("epoch", color=MUTED, fontsize=11)
    below.set_ylim(0, units * 1.06)
    below.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    below.axhline(keep, color=KEPT, lw=1, ls=":")
    below.annotate(f"n = {keep}", (1, keep), (5, 0), xycoords=BESIDE, va="center",
                   textcoords="offset points", color=KEPT, fontsize=10, annotation_clip=False)  # fmt: skip
    done = [epoch for epoch in completion if epoch is not None]
    below.plot(done, [keep] * len(done), ls="none", marker="o", ms=5, mfc="white", mec=KEPT, zorder=4)
    _mark_completion(below, completion[typical])
    count = "one seed" if len(seeds) == 1 else f"all {len(seeds)} seeds"
    figure.text(0.075, 0.322, f"{count}; ○ marks completion", fontsize=10, color=MUTED)

    figure.text(0.075, 0.945, title, fontsize=14, fontweight="bold", color=INK)
    where = completion[typical]
    ending = f"complete at epoch {where:g}" if where is not None else "not complete"
    figure.text(0.075, 0.893, f"gates of seed {seeds[typical]}: {ending}", fontsize=11, color=MUTED)
    key = [(_counted(kept, keep, "kept"), KEPT), (_counted(dropped, units - keep, "dropped"), DROPPED)]
    right = 0.92
    for text, colour in reversed(key + ([("╌╌ α", INK)] if shown_alpha else [])):
        figure.text(right, 0.893, text, fontsize=11, color=colour, ha="right", fontweight="bold")
        right -= 0.011 * len(text) + 0.015
    _save(figure, path)


def strategy_summary(result: Mapping[str, Any], path: Path) -> None:
    """Draws how the best trial of each strategy fared: accuracies of its confirmation seeds, and its trials.

    Args:
        result: what `deeppp search --json` writes.
        path: the PNG to write.

    Raises:
        ValueError: `result` holds no strategy.
    """
    strategies: Mapping[str, Mapping[str, Any]] = result["strategies"]
    if not strategies:
        raise ValueError("a strategy summary needs at least one strategy, got none")
    names = sorted(strategies, key=lambda name: _merit(strategies[name]))
    height = 1.5 + 0.72 * len(names)
    figure = Figure(figsize=(10, height), dpi=DPI, facecolor="white")
    bottom, top = 0.62 / height, 1 - 0.88 / height
    left = figure.add_axes((0.115, bottom, 0.46, top - bottom))
    right = figure.add_axes((0.785, bottom, 0.2, top - bottom))

    for row, name in enumerate(names):
        for part, offset, colour in (("validation", 0.17, VALIDATION), ("test", -0.17, TEST)):
            _draw_accuracy(left, strategies[name].get(part), row + offset, colour)
    left.set_yticks(range(len(names)), names)
    left.set_xlabel("accuracy with the hard mask", color=MUTED, fontsize=11)
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
    _save(figure, path)


def _typical(completion: Sequence[float | None]) -> int:
    """The replica of median completion epoch; the first one when none is complete."""
    done = sorted((epoch, replica) for replica, epoch in enumerate(completion) if epoch is not None)
    return done[(len(done) - 1) // 2][1] if done else 0


def _sample(selected_N: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Which kept and which dropped gates to draw: evenly chosen ones, at most `LINES` together."""
    kept, dropped = np.flatnonzero(selected_N), np.flatnonzero(~selected_N)
    kept = kept[_evenly(len(kept), max(LINES // 2, LINES - len(dropped)))]
    return kept, dropped[_evenly(len(dropped), LINES - len(kept))]


def _evenly(count: int, limit: int) -> NDArray[np.intp]:
    """At most `limit` of the indices 0…count-1, evenly spread, the first and the last among them."""
    if count <= limit:
        return np.arange(count)
    return np.linspace(0, count - 1, limit).round().astype(np.intp)


def _counted(shown: NDArray[np.intp], of: int, what: str) -> str:
    return f"{of} {what}" if len(shown) == of else f"{len(shown)} of {of} {what}"


def _frame(axes: Axes, last: float, label: str) -> None:
    axes.set_xlim(0, last)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_ylabel(label, color=MUTED, fontsize=11)
    axes.tick_params(length=3, colors=MUTED, labelsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(RULE)


def _draw_alpha(axes: Axes, epochs: NDArray[Any], alpha_E: NDArray[Any]) -> bool:
    """Adds alpha as a dashed line, its decades written on the right; False where there is nothing to draw.

    The decades are laid out over 0…1 of the gates' own axis: a second axes would double the time to draw.
    """
    usable = np.isfinite(alpha_E) & (alpha_E > 0)
    if not usable.any():
        return False
    exponents = np.log10(np.where(usable, alpha_E, np.nan).astype(float))
    low = math.floor(np.nanmin(exponents))
    decades = max(math.ceil(np.nanmax(exponents)) - low, 1)
    axes.plot(epochs, (exponents - low) / decades, color=INK, lw=1.4, ls=(0, (5, 3)), zorder=3)
    for decade in range(0, decades + 1, -(-decades // 6)):
        power = "10" + str(low + decade).translate(SUPERSCRIPT)
        axes.annotate(power, (1, decade / decades), (7, 0), xycoords=BESIDE, fontsize=10, va="center",
                      textcoords="offset points", color=MUTED, annotation_clip=False)  # fmt: skip
    return True


def _mark_completion(axes: Axes, epoch: float | None) -> None:
    if epoch is not None:
        axes.axvline(epoch, color=KEPT, lw=1, ls=":")


def _merit(entry: Mapping[str, Any]) -> float:
    """Mean test accuracy, else validation accuracy, else -1: the order of the rows, best on top."""
    for part in ("test", "validation"):
        mean = (entry.get(part) or {}).get("mean")
        if mean is not None and math.isfinite(mean):
            return float(mean)
    return -1.0


def _draw_accuracy(axes: Axes, accuracy: Mapping[str, Any] | None, row: float, colour: str) -> None:
    """One accuracy: a point per seed, a bar of one deviation to either side, and the numbers beside them."""
    mean = float((accuracy or {}).get("mean") or math.nan)
    text, shade = "not measured", MUTED
    if accuracy is not None and math.isfinite(mean):
        spread = float(accuracy.get("std") or 0.0)
        values = [float(value) for value in accuracy.get("per_seed") or () if value is not None]
        axes.plot(values, [row] * len(values), ls="none", marker="o", ms=5, color=colour, alpha=0.3, mec="none")
        axes.plot([mean - spread, mean + spread], [row, row], color=colour, lw=2.2, solid_capstyle="round")
        axes.plot([mean], [row], marker="o", ms=9, color=colour, mec="white", mew=1.2)
        text, shade = f"{mean:.3f} ± {spread:.3f}", colour
    axes.annotate(text, (1, row), (16, 0), xycoords=BESIDE, textcoords="offset points", va="center",
                  fontsize=11, color=shade, annotation_clip=False)  # fmt: skip


def _save(figure: Figure, path: Path) -> None:
    FigureCanvasAgg(figure)
    figure.savefig(path, format="png", pil_kwargs={"compress_level": 2})
