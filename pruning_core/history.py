"""What a training run leaves behind: one `EpochRecord` per epoch, and the `History` that collects them.

A history turns into the trial's JSON (`History.result`) and into the files of a finished trial (`History.write`).
Legend: R replicas, E epochs, P pruners, N gates over all pruners.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pruning_core import progress
from pruning_core.config import TrialConfig
from pruning_core.curves import Panel, curves_html

Floats = NDArray[np.floating]
GATE_NUMBERS = 2**22


@dataclass(frozen=True)
class PrunedUnits:
    """What a history must know of a pruner: its name, n, and the names of its N units."""

    name: str
    keep: int
    units: tuple[str, ...]


@dataclass(frozen=True)
class PrunerRecord:
    """One pruner at an epoch's end, each (R,): how many gates are open, how many fell, whether it is complete."""

    active: Floats
    fell: Floats
    complete: Floats


@dataclass(frozen=True)
class EpochRecord:
    """One epoch of R replicas; every array has shape (R,). Losses are means over the epoch's training steps.

    `alpha`, `lambda_` and `mu` are those that the epoch trained with; everything about gates is as the epoch left
    them, and over all pruners. Accuracies are fractions of the validation part: `pruned_accuracy` under the hard mask,
    `full_accuracy` with the gates as they are. `acceptance` is the chain's fraction of accepted proposals (NaN without
    a chain). `scores` has the other metrics by name, such as `pruned_auc`, as far as they were measured. `pruners` has
    a record for each pruner where there are several, and is empty where there is one.
    """

    epoch: int
    classification_loss: Floats
    selection_loss: Floats
    rejection_loss: Floats
    total_loss: Floats
    alpha: Floats
    lambda_: Floats
    mu: Floats
    active: Floats
    fell: Floats
    complete: Floats
    drift: Floats
    gate_variance: Floats
    weight_variance: Floats
    pruned_accuracy: Floats
    full_accuracy: Floats
    acceptance: Floats
    scores: Mapping[str, Floats] = field(default_factory=dict)
    pruners: tuple[PrunerRecord, ...] = ()

    def quantity(self, name: str) -> Floats:
        """One of the quantities or of the scores."""
        value: Floats = self.scores[name] if name in self.scores else getattr(self, name)
        return value

    def of_pruner(self, index: int) -> PrunerRecord:
        """The record of one pruner."""
        return self.pruners[index] if self.pruners else PrunerRecord(self.active, self.fell, self.complete)


QUANTITIES = tuple(f.name for f in fields(EpochRecord) if f.name not in ("epoch", "scores", "pruners"))
STATES = ("pruned", "full")
PRUNER_QUANTITIES = tuple(f.name for f in fields(PrunerRecord))


class History:
    """The records of a run and the trajectories of its gates.

    Args:
        config: the trial's configuration.
        seeds: one per replica.
        pruners: those of the network, in order.
        metrics: the names of those that are measured beside accuracy.

    Attributes:
        names: one per gate, over all pruners.
        beside: the scores of every record, by name: each metric under the hard mask and with the gates as they are.
    """

    def __init__(
        self, config: TrialConfig, seeds: list[int], pruners: Sequence[PrunedUnits], metrics: Sequence[str] = ()
    ) -> None:
        self.config = config
        self.seeds = seeds
        self.pruners = list(pruners)
        self.names = tuple(name for pruner in pruners for name in pruner.units)
        self.metrics = ("accuracy", *metrics)
        self.beside = tuple(f"{state}_{metric}" for metric in metrics for state in STATES)
        self.records: list[EpochRecord] = []
        self.gates: list[tuple[int, NDArray[np.float16]]] = []
        self.gate_stride = -(-len(seeds) * len(self.names) * config.epochs // GATE_NUMBERS)
        self.seconds = 0.0

    def __len__(self) -> int:
        return len(self.records)

    def array(self, quantity: str) -> Floats:
        """One quantity, or one score, over the epochs so far, (E, R)."""
        return np.stack([record.quantity(quantity) for record in self.records])

    def pruner_array(self, index: int, quantity: str) -> Floats:
        """One quantity of one pruner (`PRUNER_QUANTITIES`) over the epochs so far, (E, R)."""
        return np.stack([getattr(record.of_pruner(index), quantity) for record in self.records])

    def append(self, record: EpochRecord) -> None:
        """Takes in an epoch. For a replica that had settled before it, the last record is repeated."""
        if self.records:
            settled_R = self.settled()
            last = self.records[-1]
            record = EpochRecord(
                record.epoch,
                **{q: np.where(settled_R, getattr(last, q), getattr(record, q)) for q in QUANTITIES},
                scores={q: np.where(settled_R, last.scores[q], record.scores[q]) for q in self.beside},
                pruners=tuple(
                    PrunerRecord(*(np.where(settled_R, getattr(old, q), getattr(new, q)) for q in PRUNER_QUANTITIES))
                    for old, new in zip(last.pruners, record.pruners, strict=True)
                ),
            )
        self.records.append(record)

    def settled(self) -> NDArray[np.bool_]:
        """Which replicas, (R,), have been complete for `settle_epochs` epochs and so come to their end."""
        last = self.records[-self.config.settle_epochs :]
        if len(last) < self.config.settle_epochs:
            return np.zeros(len(self.seeds), dtype=bool)
        return np.all([record.complete for record in last], axis=0)

    def hopeless(self) -> str | None:
        """Why the trial cannot come to a complete end any more, or None (see `progress.hopeless`)."""
        last = self.records[-1]
        return progress.hopeless(
            self.config,
            [
                progress.OpenGates(last.of_pruner(index).active, pruner.keep, len(pruner.units))
                for index, pruner in enumerate(self.pruners)
            ],
            last.total_loss,
            last.complete.astype(bool),
            last.drift,
            last.lambda_,
        )

    def _repr_html_(self) -> str:
        """The curves of the run, for a notebook: accuracies on the validation part, and open gates."""
        if not self.records:
            return "<div>no epoch has been trained yet</div>"
        keep, complete = sum(pruner.keep for pruner in self.pruners), int(self.records[-1].complete.sum())
        accuracies = {"pruned": self.array("pruned_accuracy"), "full": self.array("full_accuracy")}
        return curves_html(
            f"{self.config.strategy}: {complete} of {len(self.seeds)} replicas complete after {len(self)} epochs",
            [
                Panel("validation accuracy", accuracies, 1.0),
                Panel(f"open gates (n = {keep})", {"": self.array("active")}, float(len(self.names))),
            ],
        )

    def outcomes(self) -> list[str]:
        """The outcome of each replica, the worst of its pruners', as things stand."""
        of_pruners = [self.pruner_outcomes(index) for index in range(len(self.pruners))]
        return [progress.worst(of_replica) for of_replica in zip(*of_pruners, strict=True)]

    def pruner_outcomes(self, index: int) -> list[str]:
        """The outcome of one pruner in each replica, as things stand."""
        last, keep = self.records[-1].of_pruner(index), self.pruners[index].keep
        return [
            progress.outcome(bool(complete), int(active), keep)
            for complete, active in zip(last.complete, last.active, strict=True)
        ]

    def result(self, selected: list[list[str]]) -> dict[str, object]:
        """The trial as the JSON of `deeppp trial --json`; with several pruners, `pruners` tells of each by name.

        Args:
            selected: names of the kept units of each replica, pruner after pruner.
        """
        replicas = len(self.seeds)
        drasticness_PR = np.stack([self._drasticness(index) for index in range(len(self.pruners))])
        result = {
            "config": self.config.used(),
            "seeds": self.seeds,
            "outcome": _shares(self.outcomes()),
            **{
                name: progress.summary(self.records[-1].quantity(name))
                for name in (f"{state}_{metric}" for metric in self.metrics for state in STATES)
            },
            "completion_epoch": progress.completion_epochs(self.array("complete").astype(bool)),
            "drasticness": [float(d) for d in drasticness_PR.max(0)],
            "selected": selected,
            "epochs_run": len(self),
            "seconds": self.seconds,
            "replica_epochs_per_second": len(self) * replicas / max(self.seconds, 1e-9),
        }
        if len(self.pruners) > 1:
            result["pruners"] = self._result_of_pruners(selected)
        return result

    def _result_of_pruners(self, selected: list[list[str]]) -> dict[str, dict[str, object]]:
        result: dict[str, dict[str, object]] = {}
        start = 0
        for index, pruner in enumerate(self.pruners):
            result[pruner.name] = {
                "outcome": _shares(self.pruner_outcomes(index)),
                "completion_epoch": progress.completion_epochs(self.pruner_array(index, "complete").astype(bool)),
                "drasticness": [float(d) for d in self._drasticness(index)],
                "selected": [names[start : start + pruner.keep] for names in selected],
            }
            start += pruner.keep
        return result

    def _drasticness(self, index: int) -> Floats:
        pruner = self.pruners[index]
        return progress.drasticness(self.pruner_array(index, "fell"), len(pruner.units) - pruner.keep)

    def write(self, folder: Path, selected: list[list[str]]) -> None:
        """Writes `trial.json`, `history.npz` (quantities (E, R)) and `gates.npz` (gates (E', R, N)) into `folder`.

        With several pruners, `history.npz` has `active.NAME`, `fell.NAME` and `complete.NAME` of each besides the sums
        over all, and `gates.npz` has the name of each gate's pruner in `pruner`, (N,).

        Uncompressed: a search writes them every few seconds, and compression would take longer than all the rest.
        """
        quantities = (*QUANTITIES, *self.beside)
        arrays: dict[str, NDArray[Any]] = {q.rstrip("_"): self.array(q).astype(np.float32) for q in quantities}
        if not self.config.chain:
            del arrays["acceptance"]
        arrays["epoch"] = np.array([record.epoch for record in self.records])
        of_gates: dict[str, Any] = {}
        if len(self.pruners) > 1:
            of_gates["pruner"] = [pruner.name for pruner in self.pruners for _ in pruner.units]
            for index, pruner in enumerate(self.pruners):
                for q in PRUNER_QUANTITIES:
                    arrays[f"{q}.{pruner.name}"] = self.pruner_array(index, q).astype(np.float32)
        np.savez(folder / "history.npz", allow_pickle=False, **arrays)
        np.savez(
            folder / "gates.npz",
            allow_pickle=False,
            epoch=[epoch for epoch, _ in self.gates],
            gates=np.stack([gates for _, gates in self.gates]),
            names=self.names,
            **of_gates,
        )
        (folder / "trial.json").write_text(json.dumps(self.result(selected), indent=1))

    def state_dict(self) -> dict[str, Any]:
        """The records and gates as tensors and numbers."""
        several = range(len(self.pruners) if self.records and len(self.pruners) > 1 else 0)
        return {
            "records": {q: torch.from_numpy(self.array(q)) for q in (*QUANTITIES, *self.beside)}
            if self.records
            else {},
            "pruners": [
                {q: torch.from_numpy(self.pruner_array(index, q)) for q in PRUNER_QUANTITIES} for index in several
            ],
            "gate_epochs": [epoch for epoch, _ in self.gates],
            "gates": torch.from_numpy(np.stack([gates for _, gates in self.gates])),
            "seconds": self.seconds,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes back to the state that `state_dict` described; of a score that it lacks nothing is known then."""
        records = {q: values.cpu().numpy() for q, values in state["records"].items()}
        pruners = [{q: values.cpu().numpy() for q, values in of.items()} for of in state.get("pruners", [])]
        epochs = len(records["total_loss"]) if records else 0
        unknown_ER = np.full((epochs, len(self.seeds)), np.nan)
        scores = {q: records.pop(q, unknown_ER) for q in self.beside}
        self.records = [
            EpochRecord(
                e + 1,
                **{q: values[e] for q, values in records.items()},
                scores={q: values[e] for q, values in scores.items()},
                pruners=tuple(PrunerRecord(**{q: values[e] for q, values in of.items()}) for of in pruners),
            )
            for e in range(epochs)
        ]
        self.gates = list(zip(state["gate_epochs"], state["gates"].cpu().numpy(), strict=True))
        self.seconds = state["seconds"]


def _shares(outcomes: list[str]) -> dict[str, float]:
    return {name: outcomes.count(name) / len(outcomes) for name in progress.OUTCOMES}
