"""A trial in the terminal: a line per epoch, and what it came to."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from pruning_core.history import STATES, EpochRecord, History
from pruning_core.metrics import ACCURACY, METRICS, Metric
from pruning_core.progress import kept_most
from search.terminal.screen import console, plain_table

EPOCH_WIDTHS = {"epoch": 9, "L_cla": 8, "L_sel": 8, "L_rej": 8, "alpha": 10, "active": 8, "complete": 10}
EPOCH_WIDTHS |= {"pruned": 9, "full": 9}
"""The columns of `deeppp trial`, which together fit into a terminal of 80."""


class TrialDisplay:
    """A line per epoch, printed as it ends, and a summary."""

    def __init__(self, epochs: int, metric: Metric) -> None:
        self.epochs = epochs
        self.metric = metric
        if metric != ACCURACY:
            console.print(f"pruned, full: {metric.label}", style="dim")
        console.print(self._line(EPOCH_WIDTHS), style="dim")

    def epoch(self, record: EpochRecord) -> None:
        """Prints one epoch: means over the replicas."""
        replicas = len(record.complete)
        cells = [
            f"{record.epoch}/{self.epochs}",
            _loss(record.classification_loss.mean()),
            _loss(record.selection_loss.mean()),
            _loss(record.rejection_loss.mean()),
            f"{record.alpha.mean():.3g}",
            f"{record.active.mean():.1f}",
            f"{int(record.complete.sum())}/{replicas}",
            *(self.metric.text(record.quantity(f"{state}_{self.metric.name}").mean()) for state in STATES),
        ]
        style = "green" if record.complete.all() else ""
        console.print(self._line(cells), style=style)

    def _line(self, cells: Iterable[str]) -> str:
        return "".join(f"{cell:>{width}}" for cell, width in zip(cells, EPOCH_WIDTHS.values(), strict=True))

    def end(self, result: Mapping[str, Any], history: History, inputs: Sequence[str]) -> None:
        """Prints what the run has come to; of several pruners, which of the `inputs` are kept."""
        outcomes = ", ".join(f"{n} {Counter(history.outcomes())[n]}" for n in sorted(set(history.outcomes())))
        metrics = [METRICS[name] for name in METRICS if f"pruned_{name}" in result]
        epochs = [e for e in result["completion_epoch"] if e is not None]
        console.print()
        console.print(f"outcome                   {outcomes}")
        if epochs:
            console.print(f"completion epoch          {min(epochs)} ... {max(epochs)}")
        for metric in metrics:
            pruned = result[f"pruned_{metric.name}"]
            value = metric().text(pruned["mean"], pruned["std"])
            console.print(
                f"pruned {metric.name.replace('_', ' ')}".ljust(26) + f"{value} (validation, mean ± std over seeds)"
            )
        selected = result["selected"]
        if "pruners" in result:
            selected = [[name for name in names if name in inputs] for names in selected]
        if kept := ", ".join(kept_most(selected, len(selected[0]))):
            console.print(f"most often kept           {kept}", markup=False)
        if "pruners" in result:
            console.print(_pruners(result["pruners"], history))
        console.print(
            f"{result['seconds']:.1f} s, {result['replica_epochs_per_second']:.0f} replica-epochs/s",
            style="dim",
        )


def _pruners(result: Mapping[str, Any], history: History) -> Table:
    """A line for each of several pruners."""
    table = plain_table("pruner", ">keep", ">of", "outcome", ">completion epoch")
    for index, pruner in enumerate(history.pruners):
        outcomes = Counter(history.pruner_outcomes(index))
        epochs = [epoch for epoch in result[pruner.name]["completion_epoch"] if epoch is not None]
        when = f"{min(epochs)} ... {max(epochs)}" if epochs else "-"
        said = ", ".join(f"{outcome} {outcomes[outcome]}" for outcome in sorted(outcomes))
        table.add_row(Text(pruner.name), str(pruner.keep), str(len(pruner.units)), said, when)
    return table


def _loss(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:.1e}"
