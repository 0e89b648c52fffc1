"""Writes trials into the ledger: a trial's beginning and its end are one transaction each.

Through `optuna.Trial` the end alone would be a dozen transactions, and most of what the driver does for a trial. A
database takes it through Optuna's own table models, any other storage call by call.
"""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

import optuna
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages._rdb import models
from optuna.trial import TrialState
from sqlalchemy import Connection, Engine, delete, insert, update

CONSTRAINT_PREFIX = "constraints:"
TRIALS = models.BaseModel.metadata.tables["trials"]


@dataclass(frozen=True)
class Ending:
    """How a trial ends: its objectives if it has any, and what had not been reported before.

    Args:
        state: `COMPLETE`, `PRUNED` or `FAIL`.
        values: one per objective; of a pruned trial with a single one, its last report.
        reports: epoch -> pruned accuracy, finite.
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
        """Adds to a running trial: epoch -> finite pruned accuracy, of epochs not reported before, and attributes."""

    def end(self, trial_id: int, ending: Ending) -> None:
        """Ends a running trial."""


def ledger_writer(ledger: optuna.Study) -> LedgerWriter:
    """What suits the storage of a search's Optuna study."""
    backend = getattr(ledger._storage, "_backend", ledger._storage)
    if isinstance(backend, RDBStorage):
        return TableWriter(backend.engine, ledger._study_id)
    return CallWriter(ledger._storage, ledger._study_id)


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
        trial = optuna.trial.create_trial(state=TrialState.RUNNING, params=params, distributions=distributions)
        return self.storage.create_new_trial(self.study_id, trial)

    def report(self, trial_id: int, reports: dict[int, float], user_attrs: dict[str, Any]) -> None:
        for epoch, accuracy in reports.items():
            self.storage.set_trial_intermediate_value(trial_id, epoch, accuracy)
        for key, value in user_attrs.items():
            self.storage.set_trial_user_attr(trial_id, key, value)

    def end(self, trial_id: int, ending: Ending) -> None:
        self.report(trial_id, ending.reports, ending.user_attrs)
        for name, value in ending.constraints.items():
            self.storage.set_trial_system_attr(trial_id, f"{CONSTRAINT_PREFIX}{name}", value)
        self.storage.set_trial_state_values(trial_id, ending.state, ending.values or None)


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

    def end(self, trial_id: int, ending: Ending) -> None:
        values, system = models.TrialValueModel, models.TrialSystemAttributeModel
        finite = values.TrialValueType.FINITE
        ended = {"state": ending.state, "datetime_complete": _now()}
        with self.engine.begin() as connection:
            _add(connection, trial_id, ending.reports, ending.user_attrs)
            rows = [{"objective": k, "value": value, "value_type": finite} for k, value in enumerate(ending.values)]
            _insert(connection, values, trial_id, rows)
            rows = [
                {"key": f"{CONSTRAINT_PREFIX}{name}", "value_json": json.dumps(value)}
                for name, value in ending.constraints.items()
            ]
            _insert(connection, system, trial_id, rows)
            connection.execute(update(TRIALS).where(TRIALS.c.trial_id == trial_id).values(ended))


def _add(connection: Connection, trial_id: int, reports: dict[int, float], user_attrs: dict[str, Any]) -> None:
    intermediate, user = models.TrialIntermediateValueModel, models.TrialUserAttributeModel
    finite = intermediate.TrialIntermediateValueType.FINITE
    rows: list[dict[str, Any]] = [
        {"step": epoch, "intermediate_value": accuracy, "intermediate_value_type": finite}
        for epoch, accuracy in reports.items()
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
