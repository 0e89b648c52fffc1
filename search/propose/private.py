"""The only file that uses what Optuna does not document: the table models of its relational storage.

Why: through `optuna.Trial` or `BaseStorage` the end of a trial is a dozen transactions, which is most of what the
driver does for a trial; through the tables it is one. What breaks when they change: `TableWriter`, at its first write;
`CallWriter` does the same with documented calls, for every storage.
"""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial
from sqlalchemy import Connection, Engine, delete, insert, update

CONSTRAINT_PREFIX = "constraints:"
TRIALS = models.BaseModel.metadata.tables["trials"]


@dataclass(frozen=True)
class Told:
    """What Optuna is told at the end of a trial: its objectives if it has any, and what was not reported before.

    Args:
        state: `COMPLETE`, `PRUNED` or `FAIL`.
        values: one per objective; of a pruned trial with a single one, its last report.
        reports: epoch -> score, finite.
        user_attrs: as Optuna has them.
        constraints: a trial is feasible if none is above 0.
    """

    state: TrialState
    values: list[float] = field(default_factory=list)
    reports: dict[int, float] = field(default_factory=dict)
    user_attrs: dict[str, Any] = field(default_factory=dict)
    constraints: dict[str, float] = field(default_factory=dict)


class LedgerWriter(Protocol):
    """The only one that writes trials to a ledger, in which a trial's id is not its number."""

    def begin(self, number: int, params: dict[str, Any], distributions: dict[str, BaseDistribution]) -> int:
        """Adds a running trial, the next one after those in the ledger; returns its id."""

    def report(self, trial_id: int, reports: dict[int, float], user_attrs: dict[str, Any]) -> None:
        """Adds to a running trial: epoch -> finite score, of epochs not reported before, and attributes."""

    def end(self, trial_id: int, told: Told) -> None:
        """Ends a running trial."""


def ledger_writer(storage: BaseStorage, name: str) -> LedgerWriter:
    """What suits a storage and the study of this name in it."""
    study_id = storage.get_study_id_from_name(name)
    return TableWriter(storage.engine, study_id) if isinstance(storage, RDBStorage) else CallWriter(storage, study_id)


def id_of(trial: Trial | FrozenTrial) -> int:
    """The id of a trial in its storage, which Optuna shows nowhere else."""
    return int(trial._trial_id)


def add_reports(trial: Trial, reports: dict[int, float]) -> None:
    """Gives a trial in memory its reports: `Trial.report` would ask for them in the order of their epochs."""
    for epoch, score in reports.items():
        trial.storage.set_trial_intermediate_value(id_of(trial), epoch, score)


def begun_trial(
    number: int, trial_id: int, params: dict[str, Any], distributions: dict[str, BaseDistribution]
) -> FrozenTrial:
    """A running trial as the storage would give it back."""
    trial = create_trial(state=TrialState.RUNNING, params=params, distributions=distributions)
    trial.number, trial._trial_id = number, trial_id
    return trial


class CallWriter:
    """Writes call by call.

    Args:
        storage: the ledger's.
        study_id: the ledger's in its storage.
    """

    def __init__(self, storage: BaseStorage, study_id: int) -> None:
        self.storage = storage
        self.study_id = study_id

    def begin(self, number: int, params: dict[str, Any], distributions: dict[str, BaseDistribution]) -> int:
        trial = create_trial(state=TrialState.RUNNING, params=params, distributions=distributions)
        return self.storage.create_new_trial(self.study_id, trial)

    def report(self, trial_id: int, reports: dict[int, float], user_attrs: dict[str, Any]) -> None:
        for epoch, score in reports.items():
            self.storage.set_trial_intermediate_value(trial_id, epoch, score)
        for key, value in user_attrs.items():
            self.storage.set_trial_user_attr(trial_id, key, value)

    def end(self, trial_id: int, told: Told) -> None:
        self.report(trial_id, told.reports, told.user_attrs)
        for name, value in told.constraints.items():
            self.storage.set_trial_system_attr(trial_id, f"{CONSTRAINT_PREFIX}{name}", value)
        self.storage.set_trial_state_values(trial_id, told.state, told.values or None)


class TableWriter:
    """Writes each time in one transaction, through the table models of Optuna.

    Args:
        engine: of the ledger's database.
        study_id: the ledger's in its database.
    """

    def __init__(self, engine: Engine, study_id: int) -> None:
        self.engine = engine
        self.study_id = study_id

    def begin(self, number: int, params: dict[str, Any], distributions: dict[str, BaseDistribution]) -> int:
        trial = {"number": number, "study_id": self.study_id, "state": TrialState.RUNNING, "datetime_start": _now()}
        with self.engine.begin() as connection:
            answer = connection.execute(insert(TRIALS).values(trial))
            trial_id = int(answer.inserted_primary_key[0])  # type: ignore[index]
            rows = [
                {
                    "param_name": name,
                    "param_value": distributions[name].to_internal_repr(value),
                    "distribution_json": distribution_to_json(distributions[name]),
                }
                for name, value in params.items()
            ]
            _insert(connection, models.TrialParamModel, trial_id, rows)
        return trial_id

    def report(self, trial_id: int, reports: dict[int, float], user_attrs: dict[str, Any]) -> None:
        with self.engine.begin() as connection:
            _add(connection, trial_id, reports, user_attrs)

    def end(self, trial_id: int, told: Told) -> None:
        values, system = models.TrialValueModel, models.TrialSystemAttributeModel
        finite = values.TrialValueType.FINITE
        ended = {"state": told.state, "datetime_complete": _now()}
        with self.engine.begin() as connection:
            _add(connection, trial_id, told.reports, told.user_attrs)
            rows = [{"objective": k, "value": value, "value_type": finite} for k, value in enumerate(told.values)]
            _insert(connection, values, trial_id, rows)
            rows = [
                {"key": f"{CONSTRAINT_PREFIX}{name}", "value_json": json.dumps(value)}
                for name, value in told.constraints.items()
            ]
            _insert(connection, system, trial_id, rows)
            connection.execute(update(TRIALS).where(TRIALS.c.trial_id == trial_id).values(ended))


def _add(connection: Connection, trial_id: int, reports: dict[int, float], user_attrs: dict[str, Any]) -> None:
    intermediate, user = models.TrialIntermediateValueModel, models.TrialUserAttributeModel
    finite = intermediate.TrialIntermediateValueType.FINITE
    rows: list[dict[str, Any]] = [
        {"step": epoch, "intermediate_value": score, "intermediate_value_type": finite}
        for epoch, score in reports.items()
    ]
    _insert(connection, intermediate, trial_id, rows)
    connection.execute(delete(user).where(user.trial_id == trial_id, user.key.in_(user_attrs)))
    _insert(connection, user, trial_id, [{"key": k, "value_json": json.dumps(v)} for k, v in user_attrs.items()])


def _insert(connection: Connection, table: Any, trial_id: int, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(insert(table), [{"trial_id": trial_id, **row} for row in rows])


def _now() -> datetime:
    """As Optuna's tables hold times."""
    return datetime.now(UTC).replace(tzinfo=None)
