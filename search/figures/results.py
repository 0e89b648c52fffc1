"""Pictures of outcomes and results: how trials ended, score against speed, test results, stability.

Each function draws one PNG, 2000 pixels wide and few in colours, from plain trials.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from pruning_core.metrics import ACCURACY, Metric
from search.figures.style import (
    DARK,
    INK,
    KEPT,
    MUTED,
    OUTCOME_COLOURS,
    RULE,
    canvas,
    colour_of,
    floor,
    label_values,
    legend,
    marker_of,
    quiet,
    save,
    strategy_keys,
)
from search.trials.estimate import estimate
from search.trials.pareto import Timed, front
from search.trials.trial import LoggedTrial

CHOSEN, NOT_CHOSEN = "#7A7A7A", "#D5D5D5"
MOST_INPUTS = 48


@dataclass(frozen=True)
class Row:
    """A line of the picture of test scores: one value per seed."""

    label: str
    values: Sequence[float]
    colour: str


def outcomes(path: Path, trials: Mapping[str, Sequence[LoggedTrial]]) -> None:
    """Draws a bar per strategy whose pieces are the endings of its trials; hatched pieces were drastic."""
    height = 1.0 + 0.52 * len(trials)
    figure = canvas(height)
    axes = figure.add_axes((0.1, 0.42 / height, 0.88, 1 - 0.98 / height))
    total = max(map(len, trials.values()), default=1) or 1
    seen: set[str] = set()
    for row, mine in enumerate(trials.values()):
        counts = Counter((t.category, t.drastic and t.ending == "ended") for t in mine)
        left = 0
        for name, drastic in [(name, drastic) for name in OUTCOME_COLOURS for drastic in (False, True)]:
            number = counts[name, drastic]
            if not number:
                continue
            seen |= {name, "drastic"} if drastic else {name}
            bar = axes.barh(row, number, 0.66, left, color=OUTCOME_COLOURS[name], edgecolor="white", lw=1)
            if drastic:
                bar.patches[0].set_hatch("////")
            if number > 0.02 * total:
                shade = "white" if name in DARK and not drastic else INK
                text = axes.text(
                    left + number / 2, row, str(number), ha="center", va="center", color=shade, fontsize=10
                )
                if drastic:
                    text.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 1.5, "alpha": 0.85})
            left += number
    axes.set_yticks(range(len(trials)), list(trials))
    axes.set_ylim(len(trials) - 0.5, -0.5)
    axes.set_xlim(0, total)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, steps=[1, 2, 5, 10]))
    quiet(axes)
    axes.tick_params(axis="y", labelsize=12, labelcolor=INK)
    axes.set_xlabel("trials", color=MUTED, fontsize=10.5)
    names = [name for name in [*OUTCOME_COLOURS, "drastic"] if name in seen]
    legend(figure, 0.1, [("▨" if n == "drastic" else "■", OUTCOME_COLOURS.get(n, KEPT), n, INK) for n in names])
    save(figure, path)


def pareto(path: Path, trials: Mapping[str, Sequence[Timed]], metric: Metric) -> int:
    """Draws the score against completion epoch, and the front; returns how many trials lie below the frame."""
    figure = canvas(4.6)
    axes = figure.add_axes((0.075, 0.115, 0.905, 0.79))
    shown = {name: [t for t in mine if t.completed and t.completion_epoch is not None] for name, mine in trials.items()}
    everyone = [t for mine in shown.values() for t in mine]
    low = floor([t.score or 0.0 for t in everyone])
    for name, mine in shown.items():
        if not mine:
            continue
        x, y = np.array([[t.completion_epoch, t.score] for t in mine], dtype=float).T
        size, opacity = (34, 0.75) if len(everyone) < 150 else (16, 0.55)
        colour = colour_of(name)
        axes.scatter(x[y >= low], y[y >= low], size, colour, marker=marker_of(name), alpha=opacity, lw=0)
        axes.plot(x[y < low], np.full((y < low).sum(), low), "v", ms=5, color=colour, alpha=opacity, clip_on=False)
    best = front(everyone)
    xs, ys = [t.completion_epoch or 0.0 for t in best], [t.score or 0.0 for t in best]
    last = max(t.completion_epoch or 0.0 for t in everyone)
    axes.step([*xs, last], [*ys, ys[-1]], where="post", color=INK, lw=1.1)
    labelled = -np.inf
    for trial in best:
        place = (trial.completion_epoch or 0.0, trial.score or 0.0)
        if place[0] - labelled < 0.05 * (last - xs[0]) and trial is not best[-1]:
            continue
        labelled = place[0]
        axes.annotate(f"#{trial.number}", place, (0, 6), textcoords="offset points", fontsize=9, color=INK, ha="center")
    legend(figure, 0.075, [*strategy_keys([n for n in shown if shown[n]]), ("─", INK, "Pareto front", INK)])
    axes.set_ylim(low, None)
    axes.margins(x=0.03, y=0.08)
    quiet(axes, "y")
    label_values(axes.yaxis, 6, metric)
    axes.xaxis.set_major_locator(MaxNLocator(10, integer=True, steps=[1, 2, 5, 10]))
    axes.spines["bottom"].set(visible=True, color=RULE)
    axes.set_xlabel("completion epoch, mean over the seeds", color=MUTED, fontsize=10.5)
    axes.set_ylabel(f"pruned {metric.label}, validation", color=MUTED, fontsize=10.5)
    save(figure, path)
    return sum((t.score or 0.0) < low for t in everyone)


def score_against_n(
    path: Path, results: Mapping[str, Mapping[int, Sequence[float]]], full: Sequence[float], metric: Metric
) -> None:
    """Draws the test score against n, a line per strategy: a point per seed, means with their 95 % intervals.

    Args:
        path: the PNG to write.
        results: test scores of each strategy by n, one per seed.
        full: those of the network with all of its inputs, which become a horizontal line; may be empty.
        metric: what they are of.
    """
    figure = canvas(4.6)
    axes = figure.add_axes((0.085, 0.115, 0.895, 0.79))
    keeps = sorted({keep for by_n in results.values() for keep in by_n})
    apart = 0.02 * (keeps[-1] - keeps[0]) / max(len(results), 1)
    for index, (name, by_n) in enumerate(results.items()):
        colour, aside = colour_of(name), (index - (len(results) - 1) / 2) * apart
        estimates = {keep: estimate(of_seeds, metric) for keep, of_seeds in by_n.items()}
        x = [keep + aside for keep in by_n]
        for place, of_seeds in zip(x, by_n.values(), strict=True):
            axes.plot([place - apart / 4] * len(of_seeds), of_seeds, "o", ms=4, color=colour, alpha=0.3, mec="none")
        means = np.array([e.mean for e in estimates.values()])
        halves = np.array([e.half or 0.0 for e in estimates.values()])
        ends = np.stack([halves, np.minimum(halves, metric.most - means)])
        axes.errorbar(x, means, ends, color=colour, lw=1.6, elinewidth=2, marker=marker_of(name), ms=7,
                      mec="white", mew=0.8)  # fmt: skip
    keys = strategy_keys(list(results))
    if full:
        axes.axhline(float(np.mean(full)), color=INK, lw=1, ls=(0, (4, 3)))
        keys.append(("╌", INK, "all inputs", INK))
    legend(figure, 0.085, keys)
    quiet(axes, "y")
    label_values(axes.yaxis, 6, metric)
    axes.set_xticks(keeps)
    axes.set_ylim(None, min(axes.get_ylim()[1], 1.01 * metric.most))
    axes.spines["bottom"].set(visible=True, color=RULE)
    axes.set_xlabel("n, the inputs that are kept", color=MUTED, fontsize=10.5)
    axes.set_ylabel(f"{metric.label} on the test part", color=MUTED, fontsize=10.5)
    save(figure, path)


def scores(path: Path, rows: Sequence[Row], strategies: int, metric: Metric, reference: float | None) -> None:
    """Draws test scores: a point per seed, the mean with its 95 % interval.

    The first `strategies` rows stand apart from the others; `reference` is a vertical line.
    """
    height = 0.85 + 0.4 * len(rows)
    figure = canvas(height)
    axes = figure.add_axes((0.28, 0.5 / height, 0.57, 1 - 0.6 / height))
    means = [estimate(row.values, metric) for row in rows]
    lows = [mean.mean - (mean.half or 0.0) for mean in means]
    highest = max(max(row.values) for row in rows)
    least = min(min(row.values) for row in rows)
    low = least if highest - least < 1.5 * (highest - min(lows)) else min(lows)
    low -= 0.03 * (highest - low)
    if reference is not None:
        axes.axvline(reference, color=MUTED, lw=0.8, ls=(0, (4, 3)))
    places = [index + (0.5 if index >= strategies else 0.0) for index in range(len(rows))]
    for line, row, mean in zip(places, rows, means, strict=True):
        of_seeds = np.asarray(row.values, dtype=float)
        spread = line + 0.16 * np.sin(2.4 * np.arange(len(of_seeds)))
        inside = of_seeds >= low
        axes.plot(of_seeds[inside], spread[inside], "o", ms=4, color=row.colour, alpha=0.3, mec="none")
        axes.plot(np.full((~inside).sum(), low), spread[~inside], "<", ms=4, color=row.colour, alpha=0.3, mec="none")
        if mean.half is not None:
            ends = [mean.mean - mean.half, mean.mean + mean.half]
            axes.plot(ends, [line, line], color=row.colour, lw=2.4, solid_capstyle="butt")
        axes.plot(mean.mean, line, "o", ms=7.5, color=row.colour, mec="white", mew=1)
        axes.annotate(mean.short, (1, line), (14, 0), xycoords=("axes fraction", "data"), va="center",
                      textcoords="offset points", fontsize=10.5, color=row.colour, annotation_clip=False)  # fmt: skip
    axes.set_yticks(places, [row.label for row in rows])
    axes.set_ylim(places[-1] + 0.6, -0.6)
    axes.set_xlim(low - 0.01 * (highest - low), highest + 0.02 * (highest - low) + 1e-3)
    quiet(axes, "x")
    label_values(axes.xaxis, 7, metric)
    axes.tick_params(axis="y", labelsize=10.5, labelcolor=INK)
    axes.set_xlabel(f"{metric.label} on the test part", color=MUTED, fontsize=10.5)
    save(figure, path)


def stability(path: Path, frequencies: Mapping[str, Mapping[str, float]], keep: int) -> int:
    """Draws how often each input is kept: bars for the first strategy, marks for the others.

    Returns how many inputs it leaves out of those that were kept at all.
    """
    best, *others = frequencies
    kept = sorted(frequencies[best].items(), key=lambda item: -item[1])
    names = [name for name, _ in kept[:MOST_INPUTS]]
    columns = 1 if len(names) <= 16 else 2
    rows = -(-len(names) // columns)
    height = 0.75 + 0.235 * rows
    figure = canvas(height)
    for column in range(columns):
        part = names[column * rows : (column + 1) * rows]
        width = 0.98 / columns
        axes = figure.add_axes((width * column + 0.15, 0.32 / height, width - 0.17, 0.235 * rows / height))
        _frequencies(axes, part, rows, frequencies, names[:keep])
    legend(figure, 0.15, [("█", CHOSEN, f"{best} (light: not among its {keep})", INK), *strategy_keys(others)])
    save(figure, path)
    return len(kept) - len(names)


def _frequencies(
    axes: Axes, names: Sequence[str], rows: int, frequencies: Mapping[str, Mapping[str, float]], chosen: Sequence[str]
) -> None:
    best, *others = frequencies
    shades = [CHOSEN if name in chosen else NOT_CHOSEN for name in names]
    shares: NDArray[Any] = np.array([frequencies[best].get(name, 0.0) for name in names])
    axes.barh(range(len(names)), shares, 0.72, color=shades)
    for other in others:
        marks = [frequencies[other].get(name, 0.0) for name in names]
        axes.plot(marks, range(len(names)), marker_of(other), color=colour_of(other),
                  ms=4.5, mec="white", mew=0.6, ls="none", clip_on=False)  # fmt: skip
    axes.set_yticks(range(len(names)), [name if len(name) <= 20 else name[:19] + "…" for name in names])
    axes.set_ylim(rows - 0.4, -0.6)
    axes.set_xlim(0, 1)
    quiet(axes, "x")
    label_values(axes.xaxis, 4, ACCURACY)
    axes.tick_params(axis="y", labelsize=9.5, labelcolor=INK)
