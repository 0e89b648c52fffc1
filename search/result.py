"""What a search has come to: the numbers of `deeppp search --json`, and from them trials, network and page."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pruning_core.data import Dataset
from search.propose.ledger import Ledger, read_ledger
from search.report.page import write_report
from search.stores.addresses import Stored
from search.stores.opening import existing_store
from search.study import Study, StudyError
from search.study.objectives import metric_name
from search.train.confirmation import Confirmed, winner
from search.trials.checkpoint import search_folder
from search.trials.network import WINNER, RawNetwork, raw_network, read_network
from search.trials.overview import Overview
from search.trials.pareto import pareto_set
from search.trials.result import at, by_keep
from search.trials.trial import Trial

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class SearchResult:
    """A search that is over.

    Parameters
    ----------
    json : mapping
        What `deeppp search --json` writes.
    stored : Stored
        Where everything about it lies.
    data : Dataset
        What it trained on.

    Examples
    --------
    >>> from search import run_study
    >>> result = run_study("studies/quick.yaml", trials=12)  # doctest: +SKIP
    >>> result.winner, result.trials.accuracy.max(), result.network().columns  # doctest: +SKIP
    """

    json: Mapping[str, Any]
    stored: Stored
    data: Dataset

    @property
    def winner(self) -> str | None:
        """The strategy that completes with every fresh seed and is best on validation, if any."""
        found: str | None = self.json["winner"]
        return found

    @property
    def strategies(self) -> Mapping[str, Mapping[str, Any]]:
        """The best trial of each strategy, confirmed with fresh seeds, as the JSON has it."""
        found: Mapping[str, Mapping[str, Any]] = self.json["strategies"]
        return found

    @property
    def trials(self) -> "pd.DataFrame":
        """All trials, one per row under their numbers: how each ended, its score, and its hyperparameters.

        `accuracy`, or another metric that the study maximises, is that of the pruned networks on the validation part, a
        mean over the seeds, and `complete` the fraction of the seeds that completed. A hyperparameter that a trial does
        not have is missing in its row.
        """
        import pandas as pd

        url = existing_store(self.stored.storage, self.stored.output, "optuna.db")
        found = read_ledger(self.json["study"], url).trials
        rows = [
            {
                "ending": trial.ending,
                "complete": trial.complete,
                metric_name(self.json["objective"]): trial.score,
                "epochs_run": trial.epochs_run,
                **trial.params,
            }
            for trial in found
        ]
        return pd.DataFrame(rows, index=pd.Index([trial.number for trial in found], name="trial"))

    @property
    def selection(self) -> "pd.DataFrame":
        """The inputs, those that most replicas of the winner keep first: one per row, under their names.

        `frequency` is the share of the replicas that keep an input, with its 95 % interval from `low` to `high`; `kept`
        are the n most frequent. With `search.decoys`, `q_value` is the smallest rate of false discoveries at which the
        input is claimed. `twins` are those that can stand in for a kept one. See `search.trials.selection`.

        Raises
        ------
        StudyError
            There is no winner, or it drops no inputs.
        """
        import pandas as pd

        found = self.json.get("selection")
        if found is None:
            raise StudyError(f"the search {self.json['study']} has selected no inputs")
        return pd.DataFrame(found["inputs"]).set_index("name")

    def network(self) -> RawNetwork:
        """The winner's pruned network: raw (B, n) float32 of its `columns`, in their order, -> logits (B, C).

        Raises
        ------
        StudyError
            There is no winner, or no seed of it that completed and can be compacted.
        """
        kept = read_network(search_folder(self.stored.output, self.json["study"]) / WINNER)
        if kept is None:
            raise StudyError(f"the search {self.json['study']} has no pruned network: no seed of a winner completed")
        return raw_network(kept, self.data)

    def report(self, to: Path | str | None = None) -> Path:
        """Writes the page about the search and returns where it is.

        Parameters
        ----------
        to : Path or str, optional
            The page; None stands for `output`/reports/LABEL.html.
        """
        return write_report(self.json["study"], self.stored, to=Path(to) if to else None, say=lambda line: None)

    def __repr__(self) -> str:
        trials, winner = self.json["trials"], self.winner
        return f"SearchResult({self.json['study']!r}: {trials} trials, winner {winner!r})"

    def _repr_html_(self) -> str:
        """The table of strategies and the winner's gates, for a notebook."""
        from search.report.notebook import result_html

        return result_html(self.json, self._gate_picture())

    def _gate_picture(self) -> bytes | None:
        """The picture of the winner's trial, where MLflow has one."""
        from search.record.store import Store

        run_id = self.strategies[self.winner]["run_id"] if self.winner else None
        if run_id is None:
            return None
        try:
            store = Store(self.stored.tracking_uri, self.stored.output)
            with tempfile.TemporaryDirectory() as folder:
                picture = store.artifact(store.run(run_id), "gates.png", Path(folder))
                return picture.read_bytes() if picture else None
        except StudyError:
            return None


def summarise(
    study: Study,
    ledger: Ledger,
    confirmed: Mapping[int, Mapping[str, Confirmed]],
    selections: Mapping[int, Mapping[str, Any]],
    seconds: float,
) -> dict[str, Any]:
    """The search in numbers: the JSON of `deeppp search --json`, but for where it is stored, and the run ids.

    Args:
        study: the study file.
        ledger: the search's trials.
        confirmed: for every n the best of each strategy.
        selections: for every n with a winner that drops inputs, what can be said of those that it keeps.
        seconds: that this run of the search took.
    """
    trials = ledger.trials
    overview = Overview.of(trials, list(study.arms), lambda trial: study.arm(trial.params))
    replica_epochs = overview.epochs_run * study.training.seeds
    replica_epochs += sum(c.replica_epochs for best in confirmed.values() for c in best.values())
    seconds += ledger.earlier_seconds
    results = {
        keep: _result(study, [trial for trial in trials if trial.has(keep)], best) for keep, best in confirmed.items()
    }
    for keep, selection in selections.items():
        results[keep]["selection"] = selection
    first, *others = results.values()
    return {
        "study": ledger.label,
        "objective": study.search.score,
        **({"keep": ledger.curve.as_json()} if ledger.curve else {}),
        **({"start_from": ledger.start.as_json()["taken"]} if ledger.start.taken else {}),
        "trials": len(trials),
        "failed": overview.failed,
        "stopped": overview.stopped,
        "errors": overview.errors,
        "seconds": seconds,
        "replica_epochs": replica_epochs,
        "replica_epochs_per_second": replica_epochs / seconds,
        **first,
        **({"keeps": {str(keep): result for keep, result in results.items()}} if others else {}),
    }


def largest_class_warnings(result: Mapping[str, Any], data: Dataset) -> list[str]:
    """That whoever always answers with the largest class is right no less often than a winner, if it is so.

    Args:
        result: the JSON of `deeppp search --json`.
        data: that the search trained on.
    """
    part = data.validation
    sizes = np.bincount(part.y.cpu().numpy(), None if part.weight is None else part.weight.cpu().numpy())
    share, name = float(sizes.max() / sizes.sum()), data.class_names[int(sizes.argmax())]
    warnings = []
    for keep, each in by_keep(result).items():
        mean = each["strategies"][each["winner"]]["validation"]["mean"] if each["winner"] else 1.0
        if share >= mean:
            warnings.append(
                f"to answer {name} in every row is right in {100 * share:.1f} % of the validation part, no less than "
                f"{each['winner']}, which wins{at(keep)} with {100 * mean:.1f} %: accuracy says little here, and "
                "data.class_weight: balanced trains for all classes alike"
            )
    return warnings


def _result(study: Study, trials: Sequence[Trial], confirmed: Mapping[str, Confirmed]) -> dict[str, Any]:
    """What came out for one n: `strategies`, `winner` and, of two objectives, `pareto`."""
    overview = Overview.of(trials, study.strategies, lambda trial: trial.strategy)
    strategies = {
        strategy: {
            "trials": overview.arms[strategy].trials,
            "completed": overview.arms[strategy].completed,
            f"search_{metric_name(study.search.score)}": best.trial.score,
            **best.as_json(),
            "run_id": None,
        }
        for strategy, best in confirmed.items()
    }
    result: dict[str, Any] = {"strategies": strategies, "winner": winner(confirmed)}
    return result | ({"pareto": pareto_set(trials, study.search.score)} if len(study.search.objectives) > 1 else {})
