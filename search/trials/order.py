"""What the driver tells a worker (the order) and what the worker answers (the report)."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

NAN = float("nan")


@dataclass(frozen=True)
class Terms:
    """What holds for every trial of a search.

    Args:
        folder: of the search.
        threads: of the CPU that a training step may use.
        device: `cpu` or `cuda`.
        cpu, gpu: what a worker occupies.
        together: how many trials share a worker.
        stop_hopeless: whether a trial is given up that cannot come to a complete end any more.
        report_after: the seconds that pass before the next tenth of the epochs is reported.
    """

    folder: str
    threads: int = 1
    device: str = "cpu"
    cpu: float = 1
    gpu: float = 0
    together: int = 1
    stop_hopeless: bool = False
    report_after: float = 0


@dataclass(frozen=True)
class Order:
    """One trial to be trained: its number in the ledger, its `TrialConfig` in JSON, the terms of its search."""

    number: int
    hyperparameters: str
    terms: Terms

    def as_text(self) -> str:
        """The order in JSON: Tune copies and flattens a dictionary, and leaves a text alone."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> "Order":
        """What `as_text` wrote."""
        values = json.loads(text)
        return cls(**{**values, "terms": Terms(**values["terms"])})


@dataclass(frozen=True)
class Report:
    """How a trial stands after an epoch.

    `total_loss`, `score` (what the study maximises) and `active` are means over the replicas, `standard_error` is that
    of the score, `completed` is the fraction of the replicas that are complete, and in `completion_epoch`, a mean, an
    incomplete one counts as if it completed at the end of `epochs`. `curve` holds pairs of epoch and score, at each
    tenth of `epochs` and now. `ended` says that this is the last report; then `stopped` says why the trial was given
    up, or "", and `error` is the traceback of what the training raised, or "": the trial's own failure.
    """

    epoch: int
    total_loss: float
    score: float
    standard_error: float
    curve: tuple[tuple[int, float], ...]
    completed: float
    completion_epoch: float
    active: float
    ended: bool
    stopped: str = ""
    error: str = ""

    @classmethod
    def failure(cls, error: str) -> "Report":
        """The last report of a trial whose training raised an error."""
        return cls(0, NAN, NAN, NAN, (), 0.0, NAN, NAN, ended=True, error=error)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as Tune takes them."""
        return asdict(self)

    @classmethod
    def read(cls, result: Mapping[str, Any]) -> "Report":
        """What `as_dict` made, from a dictionary that may hold more."""
        return cls(**{field.name: result[field.name] for field in fields(cls)})
