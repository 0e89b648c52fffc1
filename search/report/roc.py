"""The report's section about two classes: background rejection against signal efficiency, on the test part."""

from pathlib import Path

import numpy as np

from pruning_core.data import Dataset
from pruning_core.metrics import signal_class
from search.figures.inputs import Curve, rejections
from search.figures.style import colour_of
from search.report.blocks import Line, Picture, Section, Table
from search.report.comparison import COLOURS, Networks
from search.report.search_record import SearchRecord
from search.trials.result import network_of

SHOWN = (0.3, 0.5, 0.7, 0.9)
LABELS = {"full": "all inputs", "refitted": "the same inputs, refitted"}


def section(search: SearchRecord, networks: Networks, data: Dataset, folder: Path) -> Section:
    """The section.

    Args:
        search: a search with a winner, on data of two classes.
        networks: what `comparison.compare` trained.
        data: the data with its test part.
        folder: for the picture.
    """
    best = str(search.result["winner"])
    entry = search.result["strategies"][best]
    told = entry["roc"]
    efficiency = np.array(told["signal_efficiency"])
    curves = {
        best: Curve(
            np.array(told["background_efficiency"]), np.array(told["background_efficiency_std"]), colour_of(best)
        )
    }
    for name, network in networks.items():
        own = name == "refitted" and network_of(entry) == "refitted"
        if network.roc and not own:
            roc_RK = np.array(network.roc)
            curves[LABELS.get(name, name)] = Curve(roc_RK.mean(0), roc_RK.std(0), COLOURS[name])
    signal = signal_class(data)
    assert signal is not None
    assert data.test is not None
    weight = np.ones(len(data.test.y)) if data.test.weight is None else data.test.weight.double().numpy()
    weight = weight[data.test.y.numpy() != signal]
    least = float((weight**2).sum() / weight.sum() ** 2)
    path = folder / "roc.png"
    rejections(path, curves, efficiency, least)
    lines = []
    for label, curve in curves.items():
        background = np.interp(SHOWN, efficiency, curve.mean_K)
        cells = [f"{1 / value:,.1f}" if value > least else f"> {1 / least:,.0f}" for value in background]
        lines.append(Line([label, *cells], marked=label == best))
    caption = (
        f"Background rejection against signal efficiency on the test part, {data.class_names[signal]} being the "
        "signal: one over the mean of the background efficiencies of the seeds, and a band of one standard deviation. "
        "A line ends where less than one background row would pass."
    )
    table = Table(
        ("signal efficiency", *(f"{100 * value:.0f} %" for value in SHOWN)),
        lines,
        "The rejection at some efficiencies.",
    )
    return Section("Background rejection", [Picture(path, "Curves: background rejection", caption), table])
