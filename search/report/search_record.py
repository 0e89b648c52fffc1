"""A search read back from its stores: its trials from the ledger, how each of them ended from MLflow.

The ledger says which trials there are, their hyperparameters and their scores; the MLflow run of a trial adds its
outcome and its completion epoch, and the parent run the study and the confirmed winners. Reading writes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pruning_core.metrics import Metric
from search.propose.ledger import read_ledger
from search.record.store import LoggedRun, Store
from search.stores.addresses import Stored
from search.stores.opening import existing_store
from search.study.objectives import metric_in
from search.trials.overview import Overview
from search.trials.ranking import merit_of_confirmed
from search.trials.trial import LoggedTrial, Trial


@dataclass(frozen=True)
class SearchRecord:
    """A search: `study` is the resolved study, `result` the content of search.json as far as the search came."""

    label: str
    study: Mapping[str, Any]
    result: Mapping[str, Any]
    trials: tuple[LoggedTrial, ...]
    parent: LoggedRun
    children: Mapping[int, LoggedRun]
    store: Store

    @property
    def finished(self) -> bool:
        """Whether the search came to its end."""
        return self.parent.status == "FINISHED"

    @property
    def metric(self) -> Metric:
        """What the search maximises."""
        return metric_in(self.study["search"])

    @property
    def tags(self) -> Mapping[str, str]:
        """Of the search's run."""
        return self.parent.tags

    def artifact(self, trial: Trial, name: str, folder: Path) -> Path | None:
        """A file of a trial's run, from the output folder, which may have been moved, else brought into `folder`."""
        run = self.children.get(trial.number)
        return self.store.artifact(run, name, folder) if run else None

    @cached_property
    def overview(self) -> Overview:
        """The trials at a glance, strategy by strategy."""
        return Overview.of(self.trials, self.strategies, lambda trial: trial.strategy)

    @property
    def strategies(self) -> tuple[str, ...]:
        """The study's strategies, the winner first and the others as they were confirmed: best first."""
        confirmed = self.result.get("strategies", {})

        def rank(strategy: str) -> tuple[float, float]:
            return merit_of_confirmed(confirmed[strategy]) if strategy in confirmed else (-1.0, -1.0)

        return tuple(sorted(self.study["strategies"], key=rank, reverse=True))

    @property
    def pruners(self) -> Mapping[str, Mapping[str, Any]]:
        """What the confirmation of the best trial says of each pruner; empty where there is one, or no confirmation."""
        confirmed: Mapping[str, Any] = self.result.get("strategies") or {}
        best: Mapping[str, Any] = confirmed.get(str(self.result.get("winner")), {})
        return best.get("pruners") or {}

    @property
    def keeps(self) -> tuple[int, ...]:
        """Every n of the search, the first one first."""
        keep = self.study["data"]["keep"]
        return tuple(keep) if isinstance(keep, list) else (keep,)

    def at(self, keep: int) -> "SearchRecord":
        """What a search over several n did at one of them, as a search of its own."""
        nothing: dict[str, Any] = {"strategies": {}, "winner": None}
        mine = self.result.get("keeps", {}).get(str(keep), nothing)
        model = self.result.get("model") if keep == self.keeps[0] else None
        return replace(
            self,
            study={**self.study, "data": {**self.study["data"], "keep": keep}},
            result={**self.result, **mine, "model": model},
            trials=tuple(trial for trial in self.trials if trial.has(keep)),
        )

    def of(self, strategy: str) -> list[LoggedTrial]:
        """The trials of one strategy."""
        return [trial for trial in self.trials if trial.strategy == strategy]


def read_search(name: str, stored: Stored) -> SearchRecord:
    """Reads a search back.

    Args:
        name: of a study, which stands for its latest search, or a search's label such as `quick-2`; `quick-1` is
            the first one.
        stored: where its results are.

    Raises:
        StudyError: a store cannot be opened, or holds no such search.
    """
    ledger = read_ledger(name, existing_store(stored.storage, stored.output, "optuna.db"))
    store = Store(stored.tracking_uri, stored.output)
    parent, children = store.search(str(ledger.study["name"]), ledger.label)
    return SearchRecord(
        label=ledger.label,
        study=store.json(parent, "study.json") or ledger.study,
        result=store.json(parent, "search.json"),
        trials=tuple(_logged(t, children.get(t.number)) for t in ledger.trials if t.ending),
        parent=parent,
        children=children,
        store=store,
    )


def _logged(trial: Trial, run: LoggedRun | None) -> LoggedTrial:
    told = {field.name: getattr(trial, field.name) for field in fields(Trial)}
    if run is None:
        return LoggedTrial(**told)
    return LoggedTrial(
        **told,
        run_id=run.run_id,
        outcome=run.tags.get("outcome", "unknown"),
        drastic=run.tags.get("drastic") == "true",
        completion_epoch=run.metrics.get("completion_epoch"),
    )
