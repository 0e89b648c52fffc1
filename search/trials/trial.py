"""A trial in plain data, as the ledger tells it and, once MLflow has it, with what its run adds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pruning_core.config import ARGUMENT, search_ranges
from pruning_core.hyperparameters import Choices, Range

TrialEnding = Literal["ended", "stopped", "failed"]
"""How a trial ended: it came to its own end, was stopped before, or its training failed."""
SearchEnding = Literal["finished", "interrupted", "failed"]
FIXED_BY_ARM = ("strategy", "keep")


@dataclass(frozen=True)
class Trial:
    """A trial of a search.

    Args:
        number: in the ledger.
        params: its hyperparameters, those that its arm fixes among them.
        space: where each of them was searched.
        ending: None while it is on its way.
        score: what the study maximises, such as the pruned accuracy, on the validation part: the last that it reported,
            a mean over its seeds.
        complete: the fraction of its seeds that had completed when it ended.
        values: one per objective of the study, of a trial that came to its own end.
        standard_error: of the score: the standard deviation over the seeds by the root of their number; 0 of one seed.
        epochs_run: how long it trained.
        stopped: why it was stopped, or "".
        error: the traceback of its failure, or "".
        node: the host on which it ended, or "".
    """

    number: int
    params: Mapping[str, Any]
    space: Mapping[str, Range | Choices] = field(default_factory=dict)
    ending: TrialEnding | None = None
    score: float | None = None
    complete: float = 0.0
    values: tuple[float, ...] = ()
    standard_error: float = 0.0
    epochs_run: int = 0
    stopped: str = ""
    error: str = ""
    node: str = ""

    @property
    def strategy(self) -> str:
        return str(self.params["strategy"])

    @property
    def completed(self) -> bool:
        """Whether it came to its own end with every seed complete."""
        return self.ending == "ended" and self.complete == 1

    @property
    def searched(self) -> dict[str, Range | Choices]:
        """Where its hyperparameters were searched, without those that its arm fixes."""
        return {name: entry for name, entry in self.space.items() if name not in FIXED_BY_ARM}

    def has(self, keep: int) -> bool:
        """Whether it is one with this n; in a study about a single n trials do not name it, and all have it."""
        return bool(self.params.get("keep", keep) == keep)


def schedule(values: Mapping[str, Any]) -> str:
    """The hyperparameters among `values` that searches vary, in one line."""
    arguments = (name for name, value in values.items() if name.startswith(ARGUMENT) and not _is_nested(value))
    names = [*search_ranges(), *arguments]
    named = [(name, values[name]) for name in names if name in values]
    return "  ".join(f"{n} {v:.3g}" if isinstance(v, float) else f"{n} {v}" for n, v in named)


def _is_nested(value: Any) -> bool:
    return isinstance(value, list | tuple | Mapping)


def fitting(schedule: str, room: int) -> str:
    """As many hyperparameters of a `schedule` with a name before it, whole, as fit into so many letters."""
    parts = schedule.split("  ")
    while len(parts) > 2 and len("  ".join(parts)) > room:
        parts = [*parts[: -2 if parts[-1] == "…" else -1], "…"]
    return "  ".join(parts)


@dataclass(frozen=True)
class LoggedTrial(Trial):
    """A trial and what its run in MLflow adds; `run_id` is "" where there is none.

    `outcome` is that of all seeds, `mixed`, or `unknown` without a run; `completion_epoch` is the mean over the seeds
    that completed.
    """

    run_id: str = ""
    outcome: str = "unknown"
    drastic: bool = False
    completion_epoch: float | None = None

    @property
    def category(self) -> str:
        """What it counts as: `stopped`, `failed`, or else its outcome."""
        return self.outcome if self.ending == "ended" else str(self.ending)
