"""The core training function: R replicas of one configuration, trained together, one record per epoch.

run = train(config, data, seeds=range(8))
for record in run:
    print(record.epoch, record.active.mean())
print(run.result()["pruned_accuracy"]["mean"])
"""

import time
from collections import deque
from collections.abc import Hashable, Iterator, Sequence
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from pruning_core.config import TrialConfig, alpha_strategy
from pruning_core.data import Dataset, Part
from pruning_core.gate_names import gate_names
from pruning_core.history import QUANTITIES, STATES, EpochRecord, History, PrunedUnits, PrunerRecord
from pruning_core.inner_loop import InnerLoop, optimizer_of
from pruning_core.joined import kind
from pruning_core.metrics import ACCURACY, BESIDE, Metric, background_efficiency, measure, signal_class
from pruning_core.networks import GATED_MLP, NetworkFactory, NetworkSpec
from pruning_core.pruner import open_units
from pruning_core.replicas import ReplicaRandom, Replicas
from pruning_core.strategies import EpochMeans
from pruning_core.swap import SwapChain
from pruning_core.training_rows import rows_of

ONLY_TO_GO_ON = ("optimizer", "chain", "settled_tensors")


def default_device() -> torch.device:
    """`cuda` when there is one, otherwise the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def train(
    config: TrialConfig,
    data: Dataset,
    seeds: Sequence[int],
    network: NetworkSpec | NetworkFactory = GATED_MLP,
    device: torch.device | str | None = None,
    metric: Metric = ACCURACY,
) -> "Training":
    """Prepares the training of one replica per seed; iterate over the result to train.

    Parameters
    ----------
    config : TrialConfig
        Every hyperparameter.
    data : Dataset
        Training and validation part (a test part is not looked at).
    seeds : sequence of int
        One per replica: initial weights, order of the batches and random numbers of the chain follow from it.
    network : NetworkSpec or callable, default=GATED_MLP
        How a network is built, or just a function that builds one; it needs at least one `Pruner`.
    device : torch.device or str, optional
        `cuda` if there is one, else `cpu`, unless given.
    metric : Metric, optional
        What is measured at each epoch's end beside accuracy and balanced accuracy.

    Returns
    -------
    Training
        A `Training`: iterable over `EpochRecord`s, with `result()`, `state_dict()` and `accuracy()`.

    Examples
    --------
    >>> from pruning_core import TrialConfig, load_dataset, train
    >>> from pathlib import Path
    >>> data = load_dataset("wine", folder=Path())
    >>> run = train(TrialConfig(keep=4, epochs=3), data, seeds=range(2))
    >>> [record.epoch for record in run]
    [1, 2, 3]
    >>> len(run.result()["pruned_accuracy"]["per_seed"])
    2
    """
    return Training(config, data, seeds, network, device, metric)


class Training:
    """A training run that can be iterated over, saved, and gone on with. Made by `train`."""

    def __init__(
        self,
        config: TrialConfig,
        data: Dataset,
        seeds: Sequence[int],
        network: NetworkSpec | NetworkFactory = GATED_MLP,
        device: torch.device | str | None = None,
        metric: Metric = ACCURACY,
    ) -> None:
        device = torch.device(device) if device is not None else default_device()
        self.config = config
        self.metric = metric
        self.data = (data.pooled() if config.folds else data).to(device)
        features, classes = len(data.feature_names), len(data.class_names)
        self.network = network if isinstance(network, NetworkSpec) else NetworkSpec(network)
        build = partial(self.network.build, config, features, classes)
        self.replicas = Replicas(build, seeds, device, self.network.input_shape)
        if config.first_weight is not None:
            for weights_RN in self.replicas.pruner_weights:
                weights_RN.detach().fill_(config.first_weight)
        self.random = ReplicaRandom(seeds, device)
        self.strategy = alpha_strategy(config, len(seeds), device)
        self.strategy.begin(sum(pruner.units for pruner in self.replicas.pruners))
        train, rows, self.held_out_RB = rows_of(config, self.data, seeds)
        self.optimizer = optimizer_of(config, self.replicas, rows.steps)
        self.loop = InnerLoop.of(config, self.replicas, self.random, rows, self.optimizer)
        self.recent_gates: deque[Tensor] = deque(maxlen=config.settle_epochs)
        names = gate_names(self.replicas, train.x[:1].flatten(1), data.feature_names)
        pruners = [PrunedUnits(p.name, p.keep, of) for p, of in zip(self.replicas.pruners, names, strict=True)]
        beside = [each.name for each in self.metrics if each != ACCURACY]
        self.history = History(config, list(seeds), pruners, beside)
        self.settled_R = torch.zeros(len(seeds), dtype=torch.bool, device=device)
        self.settled_tensors: dict[str, Tensor] = {}
        self._remember_gates(epoch=0)

    @cached_property
    def kind(self) -> Hashable | None:
        """What runs must have in common to be trained in one batch (see `joined`); None for one that joins no other."""
        return kind(self.loop, self.network)

    @property
    def metrics(self) -> list[Metric]:
        """Everything that is measured, accuracy first."""
        return list(dict.fromkeys([*BESIDE, self.metric]))

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
        means = (classification_R, pruner_R, weight_variance_R, gate_variance_R, self._excess(gates_RN))
        self.strategy.update(EpochMeans(*(values_R.double() for values_R in means)))

        replicas = self.replicas
        measured = {
            f"{state}_{name}": value_R
            for state in STATES
            for name, value_R in self._validate(state == "pruned").items()
        }
        active_PR, fell_PR, complete_PR = self._pruners(gates_RN)
        values = {
            "classification_loss": classification_R,
            "selection_loss": selection_R,
            "rejection_loss": rejection_R,
            "total_loss": classification_R + alpha_R.float() * pruner_R,
            "alpha": alpha_R,
            "lambda_": lambda_R,
            "mu": mu_R,
            "active": active_PR.sum(0),
            "fell": fell_PR.sum(0),
            "complete": complete_PR.all(0),
            "drift": self._drift(gates_RN),
            "gate_variance": gate_variance_R,
            "weight_variance": weight_variance_R,
            "acceptance": acceptance_R,
            **measured,
        }
        names = [*QUANTITIES, *self.history.beside]
        rows = [values[q] for q in names]
        if len(replicas.pruners) > 1:
            rows += [row_R for of_pruner in zip(active_PR, fell_PR, complete_PR, strict=True) for row_R in of_pruner]
        table = torch.stack([row_R.double() for row_R in rows]).cpu().numpy()
        of_all, beside = dict(zip(QUANTITIES, table, strict=False)), table[len(QUANTITIES) : len(names)]
        pruners = tuple(PrunerRecord(*table[i : i + 3]) for i in range(len(names), len(table), 3))
        scores = dict(zip(self.history.beside, beside, strict=True))
        self.history.append(EpochRecord(len(self.history) + 1, **of_all, scores=scores, pruners=pruners))
        self._settle()
        self._remember_gates(len(self.history))

    def _pruners(self, gates_RN: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """How many gates of each pruner are open, how many fell in this epoch, and whether it is complete, each (P, R).

        A pruner is complete with exactly n open gates and all within `tolerance` of 0 or 1.
        """
        units = [pruner.units for pruner in self.replicas.pruners]
        fell_RN = (self.recent_gates[-1] > 0.5) & (gates_RN <= 0.5)
        decided_RN = torch.minimum(gates_RN, 1 - gates_RN) <= self.config.tolerance
        active_PR = torch.stack([of_pruner.sum(1) for of_pruner in (gates_RN > 0.5).split(units, dim=1)])
        fell_PR = torch.stack([of_pruner.sum(1) for of_pruner in fell_RN.split(units, dim=1)])
        decided_PR = torch.stack([of_pruner.all(1) for of_pruner in decided_RN.split(units, dim=1)])
        right_PR = torch.stack(
            [active_R == pruner.keep for active_R, pruner in zip(active_PR, self.replicas.pruners, strict=True)]
        )
        return active_PR, fell_PR, decided_PR & right_PR

    def _excess(self, gates_RN: Tensor) -> Tensor:
        """By how much the gates of all pruners sum up to more than n, as a share of N - n, (R,) in [0, 1]."""
        pruners = self.replicas.pruners
        of_pruners = gates_RN.double().split([pruner.units for pruner in pruners], dim=1)
        above = [(g_RN.sum(1) - pruner.keep).clamp_min(0) for g_RN, pruner in zip(of_pruners, pruners, strict=True)]
        return torch.stack(above).sum(0) / sum(pruner.units - pruner.keep for pruner in pruners)

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
        """The names of the units that the hard mask keeps, for each replica, pruner after pruner."""
        kept: list[list[str]] = [[] for _ in range(len(self.replicas))]
        for weights_RN, pruner in zip(self.replicas.pruner_weights, self.history.pruners, strict=True):
            for of_replica, units in zip(kept, open_units(weights_RN.detach(), pruner.keep).tolist(), strict=True):
                of_replica += [pruner.units[unit] for unit in units]
        return kept

    def _repr_html_(self) -> str:
        """The curves of the run so far, for a notebook."""
        return self.history._repr_html_()

    def result(self) -> dict[str, object]:
        """The run so far as the JSON of `deeppp trial --json`."""
        return self.history.result(self.selected())

    def accuracy(self, part: Part, pruned: bool = True) -> list[float]:
        """Accuracy of each replica on any part of the data; see `scores`."""
        return self.scores(part, pruned)[ACCURACY.name]

    def scores(self, part: Part, pruned: bool = True) -> dict[str, list[float]]:
        """Each of `metrics` on any part of the data, e.g. the test part after a search: a value per replica, by name.

        Parameters
        ----------
        part : Part
            Rows, which count as much as their `weight`, where the part has one.
        pruned : bool, default=True
            Under the hard mask instead of the gates as they are.
        """
        there = part.to(self.data.train.x.device)
        return {name: value_R.tolist() for name, value_R in self._measure(there, pruned).items()}

    def roc(self, part: Part, efficiencies: Sequence[float], pruned: bool = True) -> list[list[float]]:
        """The ROC curve of each replica on any part of the data, (R, K); empty unless there are two classes.

        Args:
            part: rows, which count as much as their `weight`, where the part has one.
            efficiencies: of the signal (see `signal_class`), in (0, 1).
            pruned: under the hard mask instead of the gates as they are.

        Returns:
            The background's efficiency at each of them.
        """
        signal = signal_class(self.data)
        if signal is None:
            return []
        there = part.to(self.data.train.x.device)
        answers = self.replicas.answers(there, pruned, with_logits=True)
        efficiency_K = torch.tensor(efficiencies, dtype=torch.float64)
        background_RK = background_efficiency(answers.log_odds(signal), there.y == signal, efficiency_K, there.weight)
        curves: list[list[float]] = background_RK.tolist()
        return curves

    def mistakes(self, part: Part, pruned: bool = True) -> Tensor:
        """The share of the replicas that is wrong about each row of a part, (B,) float64; see `scores`."""
        there = part.to(self.data.train.x.device)
        answers = self.replicas.answers(there, pruned, with_logits=True)
        assert answers.logits_RBC is not None
        return (answers.logits_RBC.argmax(2) != there.y).double().mean(0).cpu()

    def _validate(self, pruned: bool) -> dict[str, Tensor]:
        """Each metric on the validation part, or on the rows that each replica holds out."""
        return self._measure(self.data.pool or self.data.validation, pruned, self.held_out_RB)

    def _measure(self, part: Part, pruned: bool, rows_RB: Tensor | None = None) -> dict[str, Tensor]:
        with_logits = any(metric.needs_logits for metric in self.metrics)
        return measure(self.replicas.answers(part, pruned, with_logits, rows_RB), self.metrics)

    def state_dict(self) -> dict[str, object]:
        """Everything that `load_state_dict` needs to go on exactly where this run stands: tensors and numbers only."""
        return {
            # Copies: of a part of a joined stack, torch.save would write the whole stack.
            "parameters": {name: p.detach().clone() for name, p in self.replicas.parameters.items()},
            "buffers": {name: buffer.clone() for name, buffer in self.replicas.buffers.items()},
            "optimizer": self.optimizer.state_dict(),
            "strategy": self.strategy.state_dict(),
            "random": self.random.state_dict(),
            **({"chain": self.loop.chain.state_dict()} if isinstance(self.loop.chain, SwapChain) else {}),
            "recent_gates": list(self.recent_gates),
            "settled": self.settled_R,
            "settled_tensors": self.settled_tensors,
            "history": self.history.state_dict(),
        }

    def final_state(self) -> dict[str, object]:
        """What `load_state_dict` needs of a run that is over: its networks and its history, not its optimiser."""
        return {name: value for name, value in self.state_dict().items() if name not in ONLY_TO_GO_ON}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes back to the state that `state_dict` described; the configuration, data and seeds must be the same.

        After the `final_state` of a run it cannot be trained further.

        The state's tensors may lie on any device.
        """
        state = _moved(state, self.settled_R.device)
        with torch.no_grad():
            for name, parameter in self.replicas.parameters.items():
                parameter.copy_(state["parameters"][name])
            for name, buffer in self.replicas.buffers.items():
                buffer.copy_(state["buffers"][name])
        if "optimizer" in state:
            self.optimizer.load_state_dict(state["optimizer"])
        self.strategy.load_state_dict(state["strategy"])
        self.random.load_state_dict(state["random"])
        if isinstance(self.loop.chain, SwapChain) and "chain" in state:
            self.loop.chain.load_state_dict(state["chain"])
        self.recent_gates = deque(state["recent_gates"], maxlen=self.recent_gates.maxlen)
        self.settled_R, self.settled_tensors = state["settled"], state.get("settled_tensors", {})
        self.history.load_state_dict(state["history"])


def train_epoch(runs: Sequence[Training], loop: InnerLoop) -> None:
    """Trains one more epoch of every run, none of which is `finished`.

    Nothing is read back from the device before the epoch's end. The seconds that it takes are shared out among the
    replicas.

    Args:
        runs: the trainings.
        loop: that of the run, or of several runs the one that `joined.join` made of theirs.
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
