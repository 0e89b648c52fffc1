"""The picture of a trial: how its gates opened and closed, one PNG, 1000 pixels wide, from plain numbers."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator
from numpy.typing import NDArray

from search.figures.style import DROPPED, INK, KEPT, MUTED, RULE, SUPERSCRIPT, save_quickly

LINES = 200
POINTS = 400
DPI = 100
BESIDE = ("axes fraction", "data")


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
    starts: dict[float, list[str]] = {}
    for name in filter(lambda name: name.startswith("active."), history):
        active_E = history[name][:, typical]
        below.plot(epochs, active_E, color=INK, lw=0.8)
        near = (start for start in starts if abs(start - active_E[0]) < units / 16)  # one would hide the other
        starts.setdefault(next(near, float(active_E[0])), []).append(name.removeprefix("active."))
    for start, pruners in starts.items():
        below.annotate(", ".join(pruners), (epochs[0], start), (3, 3), textcoords="offset points", color=MUTED,
                       fontsize=9, bbox={"fc": "white", "ec": "none", "pad": 0}, zorder=5)  # fmt: skip
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
    save_quickly(figure, path)


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
