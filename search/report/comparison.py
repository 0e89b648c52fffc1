"""The report's section about the test part: the confirmed trials, the full network and other choices of inputs.

The networks that stand beside the winner are trained here, by `search.baselines`.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pruning_core.data import Dataset
from pruning_core.metrics import ACCURACY, Metric
from search.figures.results import Row, scores
from search.figures.style import colour_of
from search.report.baselines import Comparison, by_mutual_information, by_random_forest, fit, mistakes_of
from search.report.blocks import Block, Line, Picture, Section, Table, Text
from search.report.search_record import SearchRecord
from search.study import Study
from search.trials.estimate import count, estimate, gap, listing, paired, points
from search.trials.result import network_of, pruned

COLOURS = {"full": "#222222", "refitted": "#7A7A7A", "mutual information": "#A6761D", "random forest": "#7570B3"}
Networks = Mapping[str, Comparison]


def compare(search: SearchRecord, data: Dataset, say: Callable[[str], None]) -> dict[str, Comparison]:
    """Trains the networks that stand beside the winner: with all inputs, with the winner's, and with two rankings'.

    Of a network that drops no input there is the first one only. Gates behind hidden layers and on channels are open.
    They have the winner's network, training and confirmation seeds, and end as its refit does.
    """
    best = search.result["strategies"][search.result["winner"]]
    study = Study.model_validate(search.study)
    network, metric = study.network.spec, study.metric(data)
    keep, config = len(best["selected"]), best["config"]
    torch.set_num_threads(max(1, int(search.study["resources"]["cpu"])))
    choices: dict[str, Sequence[int]] = {"full": range(len(data.feature_names))}
    if keep:
        say("ranking the inputs by mutual information and by a random forest")
        choices["refitted"] = [data.feature_names.index(name) for name in best["selected"]]
        rows = data.pooled() if study.training.known_folds else data
        choices["mutual information"] = by_mutual_information(rows, keep)
        choices["random forest"] = by_random_forest(rows, keep)
    seeds = study.search.fresh_seeds[: len(best["test"]["per_seed"])]
    networks = {}
    for name, columns in choices.items():
        inputs = f"{len(columns)} inputs ({name})"
        say(f"training for comparison: {inputs}, {count(len(seeds), 'seed')}, {count(config['epochs'], 'epoch')}")
        networks[name] = fit(columns, config, data, seeds, network, metric)
    return networks


def mistakes_of_winner(
    search: SearchRecord, networks: Networks, data: Dataset, say: Callable[[str], None]
) -> NDArray[np.float64]:
    """The share of the confirmation seeds with which the winner is wrong about each of the `sampled_test` rows."""
    best = search.result["strategies"][search.result["winner"]]
    if network_of(best) == "refitted":
        return networks["refitted"].mistakes_B
    study = Study.model_validate(search.study)
    seeds = study.search.fresh_seeds[: len(best["test"]["per_seed"])]
    say(f"training the winner again, {count(len(seeds), 'seed')}, to see where it errs")
    return mistakes_of(best["config"], data, seeds, study.network.spec)


def _scores(entry: Mapping[str, Any]) -> tuple[list[float], list[float]]:
    """On the test and the validation part, a value per seed."""
    return entry["test"]["per_seed"], entry["validation"]["per_seed"]


def _label(name: str, network: Comparison, best: str) -> str:
    inputs = len(network.inputs)
    return {
        "full": f"all {inputs} inputs",
        "refitted": f"{inputs} most kept by {best}, refitted",
    }.get(name, f"{inputs} by {name}")


def summary(search: SearchRecord, networks: Networks) -> list[str]:
    """A sentence for the opening of the report, if there are networks to compare with."""
    if not networks:
        return []
    reached = {name: estimate(network.test, search.metric).short for name, network in networks.items()}
    if "refitted" not in networks:
        return [f"Without pruning, the same network reaches {reached['full']} on the test part."]
    rankings = [f"{reached[name]} by {name}" for name in ("mutual information", "random forest")]
    keep = len(networks["refitted"].inputs)
    return [
        f"Without pruning, the same network reaches {reached['full']} on the test part; with {keep} inputs "
        f"chosen beforehand, {listing(rankings)}."
    ]


def section(search: SearchRecord, networks: Networks, data: Dataset | None, why: str, folder: Path) -> Section:
    """The section.

    Args:
        search: a search with a winner.
        networks: what `compare` trained; empty where there is no data, and `why` then says so.
        data: the data with its test part.
        why: the reason why there is none.
        folder: for the picture.
    """
    best = str(search.result["winner"])
    confirmed: Mapping[str, Any] = search.result["strategies"]
    best_entry = confirmed[best]
    winners = best_entry["test"]["per_seed"]
    strategies = [s for s in search.strategies if s in confirmed]
    results = {s: _scores(confirmed[s]) for s in strategies}
    rows = [Row(s, results[s][0], colour_of(s)) for s in strategies]
    for name, network in networks.items():
        label, found = _label(name, network, best), (network.test, network.validation)
        if name == "refitted" and network_of(best_entry) == "refitted":  # the winner's own, which stands above
            label, found = f"{best} as pruned", _scores(pruned(best_entry))
        results[label] = found
        rows.append(Row(label, found[0], COLOURS[name]))
    path, metric = folder / "test.png", search.metric
    scores(path, rows, len(strategies), metric, float(np.mean(networks["full"].test)) if networks else None)
    lines = []
    for label, (test, validation) in results.items():
        difference = "–" if label == best else paired(test, winners, metric).short
        cells = [label, estimate(test, metric).short, difference, estimate(validation, metric).short]
        lines.append(Line(cells, marked=label == best))
    blocks: list[Block] = [
        Text(
            _verdict(best, best_entry, networks, metric)
            if networks
            else f"There are no other networks to compare with: {why}."
        ),
        Picture(
            path,
            f"Dots with intervals: {metric.label} on the test part",
            _caption(len(winners), networks, data, metric),
        ),
        Table(
            ("", "test", f"test minus {best}", "validation"),
            lines,
            "Means over the seeds with 95 % intervals. A difference is the mean of the differences seed by seed"
            f"{', in points' if metric.apart else ''}, since equal seeds mean equal initial weights and equal batches.",
        ),
    ]
    if model := search.result.get("model"):
        blocks.append(Text(_model(model, best_entry, metric, data)))
    return Section("The result on the test part", blocks)


def _model(model: Mapping[str, Any], entry: Mapping[str, Any], metric: Metric, data: Dataset | None) -> str:
    """Which of the winner's networks is registered, and how accurate that one is."""
    refitted = model.get("refitted", False)
    whose = "the refitted one" if refitted else "that"
    winners = entry["test" if metric == ACCURACY else "test_accuracy"]["per_seed"]
    accuracy, test = model["test_accuracy"], data.test if data else None
    rows = len(test.y) if test and test.weight is None else None
    right = f"{points(accuracy)} % of the test {'rows' if rows else 'part'}" + (
        f" ({round(accuracy * rows):,} of {rows:,})" if rows else ""
    )
    return (
        f"MLflow has one of these networks as the model {model['uri']}: {whose} of seed {model['seed']}, which of the "
        f"complete seeds is best on the validation part (accuracy {points(model['validation_accuracy'])} %). It is "
        f"right for {right}; the mean accuracy over {count(len(winners), 'seed')} is "
        f"{estimate(winners).short}. It takes the columns as they are in the data and gives class labels."
    )


def _verdict(best: str, entry: Mapping[str, Any], networks: Networks, metric: Metric) -> str:
    full, winners, as_pruned = networks["full"], entry["test"]["per_seed"], pruned(entry)["test"]["per_seed"]
    if "refitted" not in networks:
        return (
            f"With all gates open the same network reaches {estimate(full.test, metric)}; pruned by {best}, without "
            f"any retraining, it is {gap(paired(full.test, as_pruned, metric))}."
        )
    refitted = networks["refitted"]
    sentences = [
        f"With all {len(full.inputs)} inputs the same network reaches {estimate(full.test, metric)}; pruned by {best} "
        f"to {len(refitted.inputs)}, without any retraining, it is {gap(paired(full.test, as_pruned, metric))}.",
        f"Trained from the start on those inputs alone that {best} keeps most often, it reaches "
        f"{estimate(refitted.test, metric).short}.",
    ]
    for name in ("mutual information", "random forest"):
        other = networks[name]
        sentences.append(
            f"Compared with the inputs that rank highest by {name} ({estimate(other.test, metric).short}), "
            f"{best}, {network_of(entry)}, is {gap(paired(other.test, winners, metric))}."
        )
    return " ".join(sentences)


def _caption(seeds: int, networks: Networks, data: Dataset | None, metric: Metric) -> str:
    shown = (
        f"{metric.title} on the test part: a point for each of {count(seeds, 'seed')}, the mean and its 95 % interval."
    )
    if not networks or data is None or data.test is None:
        return shown
    rows, mean = len(data.test.y), float(np.mean(networks["full"].test))
    sampling = ""
    if metric == ACCURACY:
        half = 1.96 * np.sqrt(mean * (1 - mean) / rows)
        sampling = (
            f" The intervals are about seeds; that the test part has {count(rows, 'row')} adds some ± {points(half)} "
            "points to each, mostly in common."
        )
    return (
        f"{shown} The dashed line is the full network. Networks in the lower group see their inputs from the start, "
        f"but for one as it was pruned; all have the same initial weights and the same batches.{sampling}"
    )
