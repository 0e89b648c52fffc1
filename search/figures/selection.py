"""The picture of a selection: how often each input is kept, how often its decoys are, and what can stand in for it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from search.figures.style import DROPPED, INK, KEPT, MUTED, canvas, legend, quiet, save

MOST, OTHERS = 40, 10
ROW = 0.27


def shown(selection: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The inputs that the picture has: the kept ones and some more that are kept now and then, at most `MOST`."""
    inputs = selection["inputs"]
    more = [entry for entry in inputs[selection["keep"] :] if entry["frequency"] > 0 or entry.get("decoys", 0) > 0]
    return [*inputs[: selection["keep"]], *more[:OTHERS]][:MOST]


def selection_picture(path: Path, selection: Mapping[str, Any]) -> int:
    """Draws a line per input, the one that is kept most often on top.

    Args:
        path: the PNG to write.
        selection: the entry of that name in `deeppp search --json`.

    Returns:
        How many inputs are not shown.
    """
    entries = shown(selection)
    beside = "decoys" in selection
    height = 1.15 + ROW * len(entries)
    figure = canvas(height)
    axes = figure.add_axes((0.24, 0.55 / height, 0.36, ROW * len(entries) / height))
    claimed = set(selection["decoys"]["claimed"]) if beside else set()
    for row, entry in enumerate(entries):
        _draw(axes, entry, len(entries) - 1 - row, entry["name"] in claimed or not beside)
    if selection["keep"] < len(entries):
        axes.axhline(len(entries) - selection["keep"] - 0.5, color=MUTED, lw=0.8, ls=(0, (4, 3)))
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(-0.7, len(entries) - 0.3)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    axes.set_yticks([])
    quiet(axes, grid="x")
    axes.set_xlabel(f"kept by so many of {selection['replicas']} replicas", fontsize=10, color=MUTED)
    top = 1 - 0.5 / height
    if beside:
        figure.text(0.64, top, "q", fontsize=10, color=MUTED, style="italic", ha="center")
    figure.text(0.70, top, "can stand in for it (correlation)", fontsize=10, color=MUTED)
    keys = [("●", KEPT, "kept, with its 95 % interval", INK)]
    if beside:
        keys = [
            ("●", KEPT, "claimed at 10 %", INK),
            ("●", MUTED, "not claimed", INK),
            ("◆", DROPPED, "the most frequent of its decoys", INK),
        ]
    legend(figure, 0.02, keys)
    save(figure, path)
    return len(selection["inputs"]) - len(entries)


def _draw(axes: Axes, entry: Mapping[str, Any], row: int, strong: bool) -> None:
    colour = KEPT if strong else MUTED
    axes.plot([entry["low"], entry["high"]], [row, row], color=colour, lw=2, alpha=0.45, solid_capstyle="round")
    axes.plot([entry["frequency"]], [row], marker="o", ms=6.5, color=colour, mec="white", mew=0.8)
    if "decoys" in entry:
        axes.plot([entry["decoys"]], [row], marker="D", ms=4.5, color=DROPPED, mec="white", mew=0.6, ls="none")
    name = _short(entry["name"])
    axes.annotate(name, (0, row), (-12, 0), xycoords=("axes fraction", "data"), textcoords="offset points", ha="right",
                  va="center", fontsize=9.5, color=INK if entry["kept"] else MUTED, annotation_clip=False)  # fmt: skip
    if "q_value" in entry:
        _beside(axes, row, 40, f"{entry['q_value']:.2f}", INK if strong else MUTED, "center")
    twin = next(iter(entry.get("twins", ())), None)
    if twin:
        sign = f"{twin['correlation']:+.2f}".replace("-", "−")
        _beside(axes, row, 72, f"{_short(twin['name'])} ({sign})", MUTED, "left")


def _beside(axes: Axes, row: int, points: int, text: str, colour: str, where: str) -> None:
    axes.annotate(text, (1, row), (points, 0), xycoords=("axes fraction", "data"), textcoords="offset points", ha=where,
                  va="center", fontsize=9, color=colour, annotation_clip=False)  # fmt: skip


def _short(name: str) -> str:
    return name if len(name) <= 28 else f"{name[:27]}…"
