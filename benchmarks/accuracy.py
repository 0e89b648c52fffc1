"""Test accuracy of a searched pruning against inputs chosen by what people use today.

    pip install -c constraints.txt -e '.[benchmarks]'
    python benchmarks/accuracy.py [STUDY ...] [--splits 0 1 2 3 4] [--trials 60] [--output DIR] [--json FILE] [--quick]

A STUDY is a file, or one of the generated sets of `benchmarks/sets.py`; by default all of these and two real ones.
On each split of each study's data a search finds its winner, and so does one of random trials. Each other method
chooses as many inputs from the rows that are not test, as a search does; the winner's network, with plain inputs in
place of gates, is then trained on these alone: the same optimiser, rows, batches and seeds, and as many epochs as a
search's refit would take (`best_epoch`). A search's own network is the one that it registers, refitted or not. The test
part is read once for each. A finished split in DIR is not repeated, so a run can be stopped and started again; after a
change take another DIR.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.methods import (
    by_anova,
    by_l1_path,
    by_lassonet,
    by_recursive_elimination,
    by_stochastic_gates,
)
from benchmarks.sets import KINDS, write_set
from pruning_core.config import TrialConfig
from pruning_core.data import DataError, Dataset
from pruning_core.networks import GATED_MLP, NetworkSpec
from pruning_core.selection.refit import best_epoch, with_inputs, without_pruning
from pruning_core.training import train
from search.report.baselines import by_mutual_information, by_random_forest
from search.study import StudyError, load_trial
from search.study.sections import FIRST_FRESH_SEED
from search.study.trying import on
from search.trials.estimate import Estimate, estimate, gap, paired
from search.trials.result import pruned

HERE = Path(__file__).parent
STUDIES = (HERE / "digits.yaml", HERE / "breast_cancer.yaml")
WINNER, RANDOM, FULL = "searched winner", "random search's winner", "all inputs"
PRUNED, DEFAULTS = "searched winner, no refit", "defaults without a search, no refit"
BASELINES = ("ANOVA", "mutual information", "random forest", "RFE", "L1 path", "LassoNet", "STG")
METHODS = (WINNER, RANDOM, PRUNED, DEFAULTS, FULL, *BASELINES)


def search(study: Path, split: int, trials: int, sampler: str, folder: Path) -> dict[str, Any]:
    """Runs `deeppp search` as a process of its own; returns its JSON."""
    folder.mkdir(exist_ok=True)
    result = folder / "search.json"
    if not result.exists():
        command = [sys.executable, "-m", "search", "search", str(study.resolve()), "--trials", str(trials)]
        command += [
            "--set",
            f"data.split_seed={split}",
            "--set",
            f"search.sampler={sampler}",
            "--output",
            str(folder.resolve()),
            "--json",
            str(result.resolve()),
        ]
        with (folder / "search.log").open("w") as log:
            subprocess.run(command, check=True, stdout=log, stderr=log, cwd=HERE.parent)
    return dict(json.loads(result.read_text()))


def choose(method: str, data: Dataset, config: TrialConfig) -> list[int]:
    """The columns that a baseline chooses; one that needs no validation part sees all rows that a search sees."""
    rows = data.pooled() if config.folds else data
    match method:
        case "ANOVA":
            return by_anova(rows, config.keep)
        case "mutual information":
            return by_mutual_information(rows, config.keep)
        case "random forest":
            return by_random_forest(rows, config.keep)
        case "RFE":
            return by_recursive_elimination(rows, config.keep)
        case "L1 path":
            return by_l1_path(rows, config.keep)
        case "LassoNet":
            return by_lassonet(data, config.keep, config.hidden)
        case _:
            return by_stochastic_gates(data, config.keep, config)


def plain(columns: Sequence[int]) -> NetworkSpec:
    """The default network on some inputs, its first layer initialised as that of a network with no others."""
    gated = with_inputs(columns, GATED_MLP)

    def build(config: TrialConfig, features: int, classes: int) -> nn.Module:
        network = gated.build(config, features, classes)
        first = next(module for module in network.modules() if isinstance(module, nn.Linear))
        bound = 1 / math.sqrt(len(columns))
        nn.init.uniform_(first.weight, -bound, bound)
        nn.init.uniform_(first.bias, -bound, bound)
        return network

    return replace(gated, build=build)


def refit(columns: Sequence[int], config: TrialConfig, data: Dataset, seeds: Sequence[int]) -> dict[str, Any]:
    """Trains on some of the inputs, for as many epochs as a search's refit would."""
    assert data.test is not None
    run = train(without_pruning(config.used()), data.without_test(), seeds, network=plain(columns))
    test_ER = [run.accuracy(data.test, pruned=False) for _ in run]
    validation_ER = run.history.array("full_accuracy")
    epochs = best_epoch(validation_ER)
    return {
        "validation": float(validation_ER[epochs - 1].mean()),
        "test": sum(test_ER[epochs - 1]) / len(seeds),
        "epochs": epochs,
        "inputs": [data.feature_names[column] for column in columns],
    }


def without_search(config: TrialConfig, data: Dataset, seeds: Sequence[int]) -> dict[str, Any]:
    """What `deeppp trial` comes to with fresh seeds."""
    assert data.test is not None
    run = train(config, data.without_test(), seeds)
    for record in run:
        validation = record.pruned_accuracy
    test = run.accuracy(data.test)
    return {
        "validation": float(validation.mean()),
        "test": sum(test) / len(test),
        "complete": run.history.outcomes().count("complete") / len(test),
    }


def searched(found: Mapping[str, Any], network: Mapping[str, Any]) -> dict[str, Any]:
    """How a network of a search's winner fares."""
    best = found["strategies"][found["winner"]]
    return {
        "validation": network["validation"]["mean"],
        "test": network["test"]["mean"],
        "inputs": best["selected"],
        "complete": best["outcome"]["complete"],
        "strategy": found["winner"],
    }


def measure(path: Path, split: int, trials: int, folder: Path) -> dict[str, Any]:
    """All methods on one split; kept in `folder`, with the search."""
    result = folder / "accuracy.json"
    if result.exists():
        return dict(json.loads(result.read_text()))
    folder.mkdir(parents=True, exist_ok=True)
    name, started = f"{path.stem}, split {split}", time.monotonic()

    def say(what: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {name}: {what}", file=sys.stderr, flush=True)

    overrides = [f"data.split_seed={split}"]
    study, defaults = load_trial(path, overrides)
    data = study.load_data()
    defaults = defaults.model_copy(update={"folds": on(study, data).training.known_folds})
    say(f"searching, {trials} trials")
    found = search(path, split, trials, "tpe", folder)
    drawn = search(path, split, trials, "random", folder / "random")
    best, of_random = (each["strategies"][each["winner"]] for each in (found, drawn))
    config = TrialConfig(**best["config"])
    seeds = range(FIRST_FRESH_SEED, FIRST_FRESH_SEED + len(best["test"]["per_seed"]))
    torch.set_num_threads(study.resources.threads)
    methods: dict[str, dict[str, Any]] = {
        WINNER: searched(found, best),
        RANDOM: searched(drawn, of_random),
        PRUNED: searched(found, pruned(best)),
    }
    for method in (DEFAULTS, FULL, *BASELINES):
        say(method)
        if method == DEFAULTS:
            methods[method] = without_search(defaults, data, seeds)
        else:
            columns: Sequence[int] = range(len(data.feature_names))
            if method != FULL:
                columns = choose(method, data, config)
            methods[method] = refit(columns, config, data, seeds)
    outcome = {"study": study.name, "split_seed": split, "trials": found["trials"], "methods": methods}
    outcome["seconds"] = time.monotonic() - started
    result.write_text(json.dumps(outcome, indent=1))
    return outcome


@dataclass(frozen=True)
class Compared:
    """One study's methods over its splits: test accuracy, and what it is above the searched winner's, split by split.

    `behind` is how far the winner is behind the best of the seven, `strongest`, and `gain` by how much it is above the
    defaults where it is not refitted either.
    """

    splits: int
    test: dict[str, Estimate]
    validation: dict[str, Estimate]
    above_winner: dict[str, Estimate]
    gain: Estimate
    strongest: str

    @property
    def behind(self) -> Estimate:
        return self.above_winner[self.strongest]

    def ahead_of(self, method: str) -> Estimate:
        """How far the winner is ahead of a method."""
        return replace(self.above_winner[method], mean=-self.above_winner[method].mean)


def compare(splits: Sequence[Mapping[str, Any]]) -> Compared:
    """Puts together what `measure` returned for the splits of one study."""
    test = {method: [split["methods"][method]["test"] for split in splits] for method in METHODS}

    def over(found: Estimate) -> Estimate:
        """Without the interval of two splits, which is nine standard deviations to each side and says nothing."""
        return found if len(splits) > 2 else replace(found, half=None)

    return Compared(
        splits=len(splits),
        test={method: over(estimate(values)) for method, values in test.items()},
        validation={m: over(estimate([split["methods"][m]["validation"] for split in splits])) for m in METHODS},
        above_winner={method: over(paired(values, test[WINNER])) for method, values in test.items()},
        gain=over(paired(test[PRUNED], test[DEFAULTS])),
        strongest=max(BASELINES, key=lambda method: sum(test[method])),
    )


def page(study: str, compared: Compared) -> str:
    """The Markdown table of one study and a sentence on how its winner stands to the best baseline."""
    lines = [
        f"### {study}, {compared.splits} split{'s' * (compared.splits > 1)}",
        "",
        "| method | test accuracy | minus the winner's | validation |",
        "| --- | --- | --- | --- |",
    ]
    for method in METHODS:
        difference = "" if method == WINNER else compared.above_winner[method].short
        lines.append(
            f"| {method} | {compared.test[method].short} | {difference} | {compared.validation[method].short} |"
        )
    sentence = f"Compared with the best of the seven, {compared.strongest}, the winner is {gap(compared.behind)}."
    return "\n".join([*lines, "", sentence, ""])


def main() -> None:
    """Measures, and prints a table for each study."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("studies", nargs="*", default=[*STUDIES, *KINDS], metavar="STUDY", help="files, or sets")
    parser.add_argument(
        "--splits", type=int, nargs="+", default=range(5), metavar="SEED", help="values of data.split_seed"
    )
    parser.add_argument("--trials", type=int, default=60, help="of each search (default 60)")
    parser.add_argument("--output", type=Path, default=Path("runs/accuracy"), metavar="DIR")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, but for the inputs")
    parser.add_argument("--quick", action="store_true", help="one split and 3 trials of breast cancer; nothing is kept")
    options = parser.parse_args()
    if find_spec("lassonet") is None:
        parser.error("LassoNet is missing: pip install -c constraints.txt -e '.[benchmarks]'")
    if options.quick:
        options.studies, options.splits, options.trials = [STUDIES[1]], [0], 3
    figures: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        output = Path(temporary) if options.quick else options.output
        for study in options.studies:
            path = write_set(study, output / "sets") if study in KINDS else Path(study)
            try:
                done = [measure(path, seed, options.trials, output / f"{path.stem}-{seed}") for seed in options.splits]
            except (StudyError, DataError) as error:
                parser.error(str(error))
            print(page(path.stem, compare(done)), flush=True)
            figures += done
    if options.json:
        for split in figures:
            for method in split["methods"].values():
                method.pop("inputs", None)
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
