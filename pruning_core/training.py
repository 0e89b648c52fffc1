"""The core training function: R replicas of one configuration, trained together, one record per epoch.

run = train(config, data, seeds=range(8))
for record in run:
    print(record.epoch, record.active.mean())
print(run.result()["pruned_accuracy"]["mean"])
"""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from pruning_core.config import LARGEST_DEFAULT_BATCH, TrialConfig, alpha_strategy
from pruning_core.data import Dataset, Part
from pruning_core.history import QUANTITIES, EpochRecord, History
from pruning_core.inner_loop import InnerLoop
from pruning_core.networks import NetworkFactory, gated_mlp
from pruning_core.pruner import open_units
from pruning_core.replicas import ReplicaRandom, Replicas
from pruning_core.strategies import EpochMeans


def default_device() -> torch.device:
    """`cuda` when there is one, otherwise the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def default_batch(config: TrialConfig, rows: int) -> int:
    """How many rows a training step takes at most: `batch_size`, or what stands for it where it is None."""
    return config.batch_size or min(LARGEST_DEFAULT_BATCH, -(-rows // 8))


def train(
    config: TrialConfig,
    data: Dataset,
    seeds: Sequence[int],
    network: NetworkFactory = gated_mlp,
    device: torch.device | str | None = None,
) -> "Training":
    """Prepares the training of one replica per seed; iterate over the result to train.

    Args:
        config: every hyperparameter.
        data: training and validation part (a test part is not looked at).
        seeds: one per replica: initial weights, order of the batches and random numbers of the chain follow from it.
        network: makes one network; it needs at least one `Pruner`.
        device: `cuda` if there is one, else `cpu`, unless given.

    Returns:
        A `Training`: iterable over `EpochRecord`s, with `result()`, `state_dict()` and `accuracy()`.
    """
    return Training(config, data, seeds, network, device)


class Training:
    """A training run that can be iterated over, saved, and gone on with. Made by `train`."""

    def __init__(
        self,
        config: TrialConfig,
        data: Dataset,
        seeds: Sequence[int],
        network: NetworkFactory = gated_mlp,
        device: torch.device | str | None = None,
    ) -> None:
        device = torch.device(device) if device is not None else default_device()
        self.config = config
        self.data = data.to(device)
        features, classes = len(data.feature_names), len(data.class_names)
        self.replicas = Replicas(lambda: network(config, features, classes), seeds, device)
        self.random = ReplicaRandom(seeds, device)
        self.strategy = alpha_strategy(config, len(seeds), device)
        train = self.data.train
        batch_size = default_batch(config, len(train.y))
        self.loop = InnerLoop(config, self.replicas, self.random, train.x, train.y, batch_size)
        self.units = [w.shape[1] for w in self.replicas.pruner_weights]
        self.recent_gates: deque[Tensor] = deque(maxlen=config.settle_epochs)
        self.history = History(
            config, list(seeds), _gate_names(self.units, data.feature_names), sum(self.replicas.keeps)
        )
        self.settled_R = torch.zeros(len(seeds), dtype=torch.bool, device=device)
        self.settled_tensors: dict[str, Tensor] = {}
        self._remember_gates(epoch=0)

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or all replicas have been complete for `settle_epochs` epochs."""
        return len(self.history) >= self.config.epochs or bool(self.settled_R.all())

    def __iter__(self) -> Iterator[EpochRecord]:
        while not self.finished:
            train_epoch([self], self.loop)
            yield self.history.records[-1]

    def _settle(self) -> None:
        """Notes which replicas have come to their end; their parameters stay what they are from here on."""
        settled_R = torch.from_numpy(self.history.settled()).to(self.settled_R.device)
        if not torch.equal(settled_R, self.settled_R):
            self.settled_R = settled_R
            self.settled_tensors = {name: t.detach().clone() for name, t in self.replicas.tensors.items()}

    @torch.no_grad()
    def _put_back_settled(self) -> None:
        """Undoes an epoch for the replicas that had settled: a result must not depend on slower neighbours."""
        for name, settled in self.settled_tensors.items():
            tensor = self.replicas.tensors[name]
            mask = self.settled_R.reshape(-1, *(1,) * (tensor.dim() - 1))
            tensor.copy_(torch.where(mask, settled, tensor))

    def end_epoch(self, means_KR: Tensor) -> None:
        """Takes in what `InnerLoop.epoch` returned for this run's replicas: measures, decides on alpha, records."""
        alpha_R, lambda_R, mu_R = self.strategy.alpha_R, self.strategy.lambda_R, self.strategy.mu_R
        classification_R, selection_R, rejection_R, acceptance_R = means_KR
        self._put_back_settled()

        weights_RN = torch.cat([w.detach() for w in self.replicas.pruner_weights], dim=1)
        gates_RN = torch.sigmoid(weights_RN)
        weight_variance_R, gate_variance_R = weights_RN.var(1, correction=0), gates_RN.var(1, correction=0)
        pruner_R = selection_R + self.config.rejection_weight * rejection_R
        measured = (classification_R, pruner_R, weight_variance_R, gate_variance_R)
        self.strategy.update(EpochMeans(*(values_R.double() for values_R in measured)))

        validation, replicas = self.data.validation, self.replicas
        values = {
            "classification_loss": classification_R,
            "selection_loss": selection_R,
            "rejection_loss": rejection_R,
            "total_loss": classification_R + alpha_R.float() * pruner_R,
            "alpha": alpha_R,
            "lambda_": lambda_R,
            "mu": mu_R,
            "active": (gates_RN > 0.5).sum(1),
            "fell": ((self.recent_gates[-1] > 0.5) & (gates_RN <= 0.5)).sum(1),
            "complete": self._complete(gates_RN),
            "drift": self._drift(gates_RN),
            "gate_variance": gate_variance_R,
            "weight_variance": weight_variance_R,
            "pruned_accuracy": replicas.accuracy(validation.x, validation.y, True, validation.weight),
            "full_accuracy": replicas.accuracy(validation.x, validation.y, False, validation.weight),
            "acceptance": acceptance_R,
        }
        table = torch.stack([values[q].double() for q in QUANTITIES]).cpu().numpy()
        self.history.append(EpochRecord(len(self.history) + 1, *table))
        self._settle()
        self._remember_gates(len(self.history))

    def _complete(self, gates_RN: Tensor) -> Tensor:
        """Whether each replica has exactly n open gates in each pruner, all within `tolerance` of 0 or 1, (R,)."""
        decided_R = (torch.minimum(gates_RN, 1 - gates_RN) <= self.config.tolerance).all(1)
        for part_RN, keep in zip(gates_RN.split(self.units, dim=1), self.replicas.keeps, strict=True):
            decided_R = decided_R & ((part_RN > 0.5).sum(1) == keep)
        return decided_R

    def _drift(self, gates_RN: Tensor) -> Tensor:
        """The largest move of a gate over the last `settle_epochs` epochs, (R,); infinite while there are fewer."""
        if len(self.recent_gates) < self.config.settle_epochs:
            return torch.full_like(gates_RN[:, 0], torch.inf)
        return (gates_RN - self.recent_gates[-self.config.settle_epochs]).abs().amax(1)

    def _remember_gates(self, epoch: int) -> None:
        gates_RN = torch.sigmoid(torch.cat([w.detach() for w in self.replicas.pruner_weights], dim=1))
        self.recent_gates.append(gates_RN)
        if epoch % self.history.gate_stride == 0:
            self.history.gates.append((epoch, gates_RN.half().cpu().numpy()))

    def selected(self) -> list[list[str]]:
        """The names of the units that the hard mask keeps, for each replica."""
        names, result = self.history.names, []
        for r in range(len(self.replicas)):
            kept, start = [], 0
            for weights_RN, keep in zip(self.replicas.pruner_weights, self.replicas.keeps, strict=True):
                kept += [names[start + int(i)] for i in open_units(weights_RN[r].detach(), keep)]
                start += weights_RN.shape[1]
            result.append(kept)
        return result

    def result(self) -> dict[str, object]:
        """The run so far as the JSON of `deeppp trial --json`."""
        return self.history.result(self.selected())

    def accuracy(self, part: Part) -> list[float]:
        """Accuracy of each replica under the hard mask on any part of the data, e.g. the test part after a search.

        Rows count as much as their `weight`, where the part has one.
        """
        there = part.to(self.data.train.x.device)
        return self.replicas.accuracy(there.x, there.y, pruned=True, weight=there.weight).tolist()

    def state_dict(self) -> dict[str, object]:
        """Everything that `load_state_dict` needs to go on exactly where this run stands: tensors and numbers only."""
        return {
            # Copies: of a part of a joined stack, torch.save would write the whole stack.
            "parameters": {name: p.detach().clone() for name, p in self.replicas.parameters.items()},
            "buffers": {name: buffer.clone() for name, buffer in self.replicas.buffers.items()},
            "optimizer": self.loop.optimizer.state_dict(),
            "strategy": self.strategy.state_dict(),
            "random": self.random.state_dict(),
            "recent_gates": list(self.recent_gates),
            "settled": self.settled_R,
            "settled_tensors": self.settled_tensors,
            "history": self.history.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes back to the state that `state_dict` described; the configuration, data and seeds must be the same.

        The state's tensors may lie on any device.
        """
        state = _moved(state, self.settled_R.device)
        with torch.no_grad():
            for name, parameter in self.replicas.parameters.items():
                parameter.copy_(state["parameters"][name])
        self.replicas.buffers = state["buffers"]
        self.loop.optimizer.load_state_dict(state["optimizer"])
        self.strategy.load_state_dict(state["strategy"])
        self.random.load_state_dict(state["random"])
        self.recent_gates = deque(state["recent_gates"], maxlen=self.recent_gates.maxlen)
        self.settled_R, self.settled_tensors = state["settled"], state["settled_tensors"]
        self.history.load_state_dict(state["history"])


def train_epoch(runs: Sequence[Training], loop: InnerLoop) -> None:
    """Trains one more epoch of every run, none of which is `finished`.

    Nothing is read back from the device before the epoch's end. The seconds that it takes are shared out among the
    replicas.

    Args:
        runs: the trainings.
        loop: that of the run, or of several runs the one that `InnerLoop.joined` made of theirs.
    """
    started = time.perf_counter()
    means_KR = loop.epoch(torch.cat([run.strategy.alpha_R for run in runs]))
    counts = [len(run.replicas) for run in runs]
    for run, means in zip(runs, means_KR.split(counts, dim=1), strict=True):
        run.end_epoch(means)
    seconds = time.perf_counter() - started
    for run, count in zip(runs, counts, strict=True):
        run.history.seconds += seconds * count / sum(counts)


def _moved(value: Any, device: torch.device) -> Any:
    """The same nested dictionaries, lists and tuples with their tensors on `device`."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return {key: _moved(item, device) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_moved(item, device) for item in value)
    return value


def _gate_names(units: list[int], feature_names: tuple[str, ...]) -> tuple[str, ...]:
    """Feature names for a pruner as wide as the input, `pruner1.7` and the like for the others."""
    names: list[str] = []
    for i, width in enumerate(units):
        inputs = i == 0 and width == len(feature_names)
        names += feature_names if inputs else [f"pruner{i}.{unit}" for unit in range(width)]
    return tuple(names)
