"""A picture of how often two networks err along some inputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.ticker import MaxNLocator, PercentFormatter

from search.figures.style import INK, MUTED, RULE, canvas, legend, quiet, save

COLUMNS = 4
PRUNED, FULL = "#D55E00", "#222222"


@dataclass(frozen=True)
class Errors:
    """Along one input: raw values, how often the pruned and the full network err, and the error of the difference."""

    values: Sequence[float]
    pruned: Sequence[float]
    full: Sequence[float]
    error: Sequence[float]


def errors(path: Path, of_input: Mapping[str, Errors]) -> None:
    """Draws two lines for each input.

    Args:
        path: the PNG to write.
        of_input: by the label of the input.
    """
    rows = -(-len(of_input) // COLUMNS)
    height = 0.35 + 1.9 * rows
    figure = canvas(height)
    most = max(max(*each.pruned, *each.full) for each in of_input.values())
    for index, (label, each) in enumerate(of_input.items()):
        row, column = divmod(index, COLUMNS)
        bottom = 1 - (0.35 + 1.9 * (row + 1) - 0.4) / height
        axes = figure.add_axes((column / COLUMNS + 0.042, bottom, 1 / COLUMNS - 0.06, 1.15 / height))
        axes.plot(each.values, each.full, color=FULL, lw=1.4)
        axes.errorbar(each.values, each.pruned, yerr=each.error, color=PRUNED, lw=1.4, elinewidth=0.9)
        axes.set_title(label if len(label) <= 26 else label[:25] + "…", loc="left", fontsize=10, color=INK, pad=4)
        axes.set_ylim(0, 1.12 * most or 1)
        quiet(axes, "y")
        axes.yaxis.set_major_locator(MaxNLocator(3))
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.spines["bottom"].set(visible=True, color=RULE)
    figure.text(0.98, 1 - 0.17 / height, "share of wrong answers", color=MUTED, fontsize=10.5, ha="right", va="center")
    legend(figure, 0.02, [("━", PRUNED, "pruned", INK), ("━", FULL, "all inputs", INK)])
    save(figure, path)
