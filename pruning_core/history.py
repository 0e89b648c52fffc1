"""What a training run leaves behind: one `EpochRecord` per epoch, and the `History` that collects them.

A history turns into the trial's JSON (`History.result`) and into the files of a finished trial (`History.write`).
"""

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pruning_core import progress
from pruning_core.config import TrialConfig

Floats = NDArray[np.floating]
GATE_NUMBERS = 2**22


@dataclass(frozen=True)
class EpochRecord:
    """One epoch of R replicas; every array has shape (R,). Losses are means over the epoch's training steps.

    `alpha`, `lambda_` and `mu` are those that the epoch trained with; everything about gates is as the epoch left
    them. Accuracies are fractions of the validation part: `pruned_accuracy` under the hard mask, `full_accuracy`
    with the gates as they are. `acceptance` is the chain's fraction of accepted proposals (NaN without a chain).
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


QUANTITIES = tuple(f.name for f in fields(EpochRecord) if f.name != "epoch")


class History:
    """The records of a run and the trajectories of its gates.

    Args:
        config: the trial's configuration.
        seeds: one per replica.
        names: one per gate, over all pruners.
        keep: n, summed over all pruners.
    """

    def __init__(self, config: TrialConfig, seeds: list[int], names: tuple[str, ...], keep: int) -> None:
        self.config = config
        self.seeds = seeds
        self.names = names
        self.keep = keep
        self.records: list[EpochRecord] = []
        self.gates: list[tuple[int, NDArray[np.float16]]] = []
        self.gate_stride = -(-len(seeds) * len(names) * config.epochs // GATE_NUMBERS)
        self.seconds = 0.0

    def __len__(self) -> int:
        return len(self.records)

    def array(self, quantity: str) -> Floats:
        """One quantity over the epochs so far, (E, R)."""
        return np.stack([getattr(record, quantity) for record in self.records])

    def append(self, record: EpochRecord) -> None:
        """Takes in an epoch. For a replica that had settled before it, the last record is repeated."""
        if self.records:
            settled_R = self.settled()
            last = self.records[-1]
            record = EpochRecord(
                record.epoch,
                **{q: np.where(settled_R, getattr(last, q), getattr(record, q)) for q in QUANTITIES},
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
            self.keep,
            len(self.names),
            last.total_loss,
            last.active,
            last.complete.astype(bool),
            last.drift,
            last.lambda_,
        )

    def outcomes(self) -> list[str]:
        """The outcome of each replica, as things stand."""
        last = self.records[-1]
        return [
            progress.outcome(bool(complete), int(active), self.keep)
            for complete, active in zip(last.complete, last.active, strict=True)
        ]

    def result(self, selected: list[list[str]]) -> dict[str, object]:
        """The trial as the JSON of `deeppp trial --json`.

        Args:
            selected: names of the kept units of each replica.
        """
        outcomes = self.outcomes()
        replicas = len(self.seeds)
        return {
            "config": self.config.used(),
            "seeds": self.seeds,
            "outcome": {name: outcomes.count(name) / replicas for name in progress.OUTCOMES},
            "pruned_accuracy": progress.summary(self.records[-1].pruned_accuracy),
            "full_accuracy": progress.summary(self.records[-1].full_accuracy),
            "completion_epoch": progress.completion_epochs(self.array("complete").astype(bool)),
            "drasticness": [float(d) for d in progress.drasticness(self.array("fell"), len(self.names) - self.keep)],
            "selected": selected,
            "epochs_run": len(self),
            "seconds": self.seconds,
            "replica_epochs_per_second": len(self) * replicas / max(self.seconds, 1e-9),
        }

    def write(self, folder: Path, selected: list[list[str]]) -> None:
        """Writes `trial.json`, `history.npz` (quantities (E, R)) and `gates.npz` (gates (E', R, N)) into `folder`.

        Uncompressed: a search writes them every few seconds, and compression would take longer than all the rest.
        """
        arrays: dict[str, NDArray[Any]] = {q.rstrip("_"): self.array(q).astype(np.float32) for q in QUANTITIES}
        if not self.config.chain:
            del arrays["acceptance"]
        arrays["epoch"] = np.array([record.epoch for record in self.records])
        np.savez(folder / "history.npz", allow_pickle=False, **arrays)
        np.savez(
            folder / "gates.npz",
            allow_pickle=False,
            epoch=[epoch for epoch, _ in self.gates],
            gates=np.stack([gates for _, gates in self.gates]),
            names=self.names,
        )
        (folder / "trial.json").write_text(json.dumps(self.result(selected), indent=1))

    def state_dict(self) -> dict[str, Any]:
        """The records and gates as tensors and numbers."""
        return {
            "records": {q: torch.from_numpy(self.array(q)) for q in QUANTITIES} if self.records else {},
            "gate_epochs": [epoch for epoch, _ in self.gates],
            "gates": torch.from_numpy(np.stack([gates for _, gates in self.gates])),
            "seconds": self.seconds,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes back to the state that `state_dict` described."""
        records = {q: values.cpu().numpy() for q, values in state["records"].items()}
        epochs = len(records["total_loss"]) if records else 0
        self.records = [EpochRecord(e + 1, **{q: v[e] for q, v in records.items()}) for e in range(epochs)]
        self.gates = list(zip(state["gate_epochs"], state["gates"].cpu().numpy(), strict=True))
        self.seconds = state["seconds"]
