"""The report's section about where in the inputs' distribution the pruned network errs more than the full one."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pruning_core.data import Dataset
from search.figures.regions import Errors, errors
from search.report.baselines import sampled_test
from search.report.blocks import Picture, Section
from search.trials.estimate import points

REGIONS, SHOWN = 10, 8
CHANCE = 0.05
FEWEST_ROWS = 20

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Region:
    """Rows of the test part in which an input lies between two raw values, and how often two networks err there.

    `excess` is how much more often the pruned one does, above what it does everywhere, and `error` its standard error.
    """

    name: str
    low: float
    high: float
    share: float
    pruned: float
    full: float
    excess: float
    error: float

    @property
    def significance(self) -> float:
        """The excess in standard errors."""
        return self.excess / self.error if self.error else 0.0


def section(data: Dataset, kept: Sequence[str], pruned_B: Floats, full_B: Floats, folder: Path) -> Section:
    """The section.

    Args:
        data: the data with its test part.
        kept: the inputs that the winner keeps most often.
        pruned_B: the share of the seeds of which the pruned network is wrong about each of the `sampled_test` rows.
        full_B: the same of the network with all inputs.
        folder: for the picture.
    """
    of_input = regions(data, pruned_B, full_B)
    shown = sorted(of_input, key=lambda name: -_spread(of_input[name]))[:SHOWN]
    drawn = {}
    for name in shown:
        label = name if name in kept else f"{name} (dropped)"
        found = of_input[name]
        middles = [(region.low + region.high) / 2 for region in found]
        drawn[label] = Errors(middles, [r.pruned for r in found], [r.full for r in found], [r.error for r in found])
    path = folder / "regions.png"
    errors(path, drawn)
    caption = (
        f"How often the network errs on the test part, pruned and with all inputs, in up to {REGIONS} regions of an "
        f"input that hold equally many rows; bars are one standard error of the difference, over rows. Of "
        f"{len(of_input)} inputs, kept or dropped, those are drawn along which the difference varies most. "
        f"{sentence(of_input, pruned_B, full_B, data)}"
    )
    picture = Picture(path, "Lines: how often the pruned and the full network err along some inputs", caption)
    return Section("Where the pruned network errs", [picture])


def regions(data: Dataset, pruned_B: Floats, full_B: Floats) -> dict[str, list[Region]]:
    """The regions of every input, in which it has equally many test rows as far as equal values allow."""
    part = sampled_test(data)
    weight_B = np.ones(len(part.y)) if part.weight is None else part.weight.double().numpy()
    everywhere = float(np.average(pruned_B - full_B, weights=weight_B))
    found: dict[str, list[Region]] = {}
    count = max(2, min(REGIONS, len(part.y) // FEWEST_ROWS))
    x_BF = part.x.flatten(1)
    for column, name in enumerate(data.feature_names):
        raw_B = x_BF[:, column].double().numpy() * float(data.scale[column]) + float(data.mean[column])
        edges = np.unique(raw_B)
        if len(edges) > count:
            edges = np.unique(np.quantile(raw_B, np.linspace(0, 1, count + 1)))[:-1]
        region_B = np.searchsorted(edges, raw_B, side="right") - 1
        for index in np.unique(region_B):
            rows = region_B == index
            weight = weight_B[rows]
            if weight.sum() <= 0:
                continue
            more = pruned_B[rows] - full_B[rows]
            mean = float(np.average(more, weights=weight))
            error = float(np.sqrt((weight**2 * (more - mean) ** 2).sum()) / weight.sum())
            found.setdefault(name, []).append(
                Region(
                    name,
                    low=float(raw_B[rows].min()),
                    high=float(raw_B[rows].max()),
                    share=float(weight.sum() / weight_B.sum()),
                    pruned=float(np.average(pruned_B[rows], weights=weight)),
                    full=float(np.average(full_B[rows], weights=weight)),
                    excess=mean - everywhere,
                    error=error,
                )
            )
    return found


def sentence(of_input: dict[str, list[Region]], pruned_B: Floats, full_B: Floats, data: Dataset) -> str:
    """The region that stands out most, or that none does: so many regions are looked at that chance makes some."""
    from scipy import stats

    every = [region for of_one in of_input.values() for region in of_one]
    most = max(every, key=lambda region: region.significance)
    if most.significance < stats.norm.ppf(1 - CHANCE / len(every)):
        return f"In none of the {len(every):,} regions is the difference larger than chance makes it somewhere."
    weight = sampled_test(data).weight
    everywhere = [float(np.average(of, weights=weight)) for of in (pruned_B, full_B)]
    return (
        f"It stands out most where {most.name} lies from {most.low:.4g} to {most.high:.4g} ({points(most.share, 0)} % "
        f"of the rows): {points(most.pruned)} % are wrong instead of {points(most.full)} %; everywhere it is "
        f"{points(everywhere[0])} % instead of {points(everywhere[1])} %. Chance makes so much in less than one of "
        f"{1 / CHANCE:.0f} such pages with {len(every):,} regions."
    )


def _spread(of_one: Sequence[Region]) -> float:
    """By how much the difference varies along an input, in units of its error: chi squared per region."""
    return float(np.mean([region.significance**2 for region in of_one]))
