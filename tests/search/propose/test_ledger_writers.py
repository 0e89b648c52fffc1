"""A trial that is written into a database's tables at once is the trial that Optuna's own calls would have made."""

from datetime import datetime, timedelta
from pathlib import Path

import optuna
import pytest
from ledger_essence import essence
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from search.propose.ledger import Ledger
from search.propose.private import CallWriter, TableWriter, Told, ledger_writer

PARAMS = {"strategy": "plateau", "growth": 1.5, "patience": 7, "keep": 16}
DISTRIBUTIONS = {
    "strategy": CategoricalDistribution(["stepped", "plateau"]),
    "growth": FloatDistribution(1.02, 10.0, log=True),
    "patience": IntDistribution(1, 20),
    "keep": CategoricalDistribution([8, 16]),
}
ENDINGS = [
    Told(TrialState.COMPLETE, [0.9], {32: 0.8, 40: 0.9}, {"node": "here", "epochs_run": 40}, {"incomplete": 0.25}),
    Told(TrialState.PRUNED, [0.7], {32: 0.7}, {"stopped": "collapsed and frozen"}, {"incomplete": 1.0}),
    Told(TrialState.FAIL, user_attrs={"error": "a traceback\nof two lines", "noted": 2}),
    Told(TrialState.PRUNED),
]


def written(storage: optuna.storages.BaseStorage, directions: list[StudyDirection]) -> list[FrozenTrial]:
    """The trials of a study, not the first of its storage, of which the last is still running."""
    optuna.create_study(study_name="another", storage=storage).ask()
    ledger = Ledger(optuna.create_study(study_name="s", storage=storage, directions=directions), storage)
    for number, ending in enumerate(ENDINGS):
        assert ledger.begin(PARAMS, DISTRIBUTIONS) == number
        ledger.report(number, {8: 0.4, 16: 0.5}, {"noted": 1})
        ledger.end(number, ending)
    ledger.begin(PARAMS, DISTRIBUTIONS)
    stored = ledger.study.get_trials()
    assert [essence(trial) for trial in ledger.entries] == [essence(trial) for trial in stored]
    return stored


def test_tables_hold_what_calls_would_have_written(tmp_path: Path) -> None:
    by_calls = written(JournalStorage(JournalFileBackend(str(tmp_path / "journal"))), [StudyDirection.MAXIMIZE])
    in_tables = written(RDBStorage(f"sqlite:///{tmp_path / 'optuna.db'}"), [StudyDirection.MAXIMIZE])
    assert [essence(trial) for trial in in_tables] == [essence(trial) for trial in by_calls]
    now, soon = datetime.now(), timedelta(minutes=1)
    for table, call in zip(in_tables, by_calls, strict=True):
        assert table.datetime_start is not None
        assert abs(now - table.datetime_start) < soon
        assert (table.datetime_complete is None) == (call.datetime_complete is None)
        assert table.datetime_complete is None or table.datetime_start <= table.datetime_complete <= now


def test_what_writes_suits_the_storage(tmp_path: Path) -> None:
    journal = JournalStorage(JournalFileBackend(str(tmp_path / "journal")))
    for storage, kind in ((journal, CallWriter), (RDBStorage(f"sqlite:///{tmp_path / 'optuna.db'}"), TableWriter)):
        optuna.create_study(study_name="s", storage=storage)
        assert isinstance(ledger_writer(storage, "s"), kind)


def test_the_end_of_a_trial_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    storage = RDBStorage(f"sqlite:///{tmp_path / 'optuna.db'}")
    ledger = optuna.create_study(study_name="s", storage=storage)
    writer = ledger_writer(storage, "s")
    trial_id = writer.begin(0, PARAMS, DISTRIBUTIONS)
    writer.report(trial_id, {32: 0.5}, {})
    with pytest.raises(Exception, match="UNIQUE"):
        writer.end(trial_id, Told(TrialState.COMPLETE, [0.9], {16: 0.4, 32: 0.5}, {"node": "here"}))
    (trial,) = ledger.get_trials()
    assert trial.state == TrialState.RUNNING
    assert trial.intermediate_values == {32: 0.5}
    assert trial.user_attrs == {}
