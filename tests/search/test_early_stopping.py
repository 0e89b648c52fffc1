"""Trials that a rule stops because others are better, in real searches through the command."""

from pathlib import Path

import pytest
from workplace import a_workplace

from search.study.early_stopping import STOPPING_RULES

pytestmark = pytest.mark.slow

RATES = (0.02, 0.01, 1e-6, 2e-6, 3e-6, 4e-6)
STUDY = f"""
name: wine
data: {{source: wine, keep: 4}}
training: {{epochs: 20, seeds: 2}}
strategies: [stepped]
space:
  {{learning_rate: {{choices: {[*RATES]}}}, growth: 1.5, step_epochs: 1, mu: one, lambda_start: 0.01,
   pruner_learning_rate: 0.2}}
search: {{trials: 6, sampler: grid, confirm_seeds: 1}}
"""


@pytest.mark.parametrize(
    "rule",
    [
        pytest.param(name, marks=() if name == "asha" else pytest.mark.long)
        for name, rule in STOPPING_RULES.items()
        if rule.ray
    ],
)
def test_the_worse_of_six_trials_are_stopped_and_the_search_ends_well(
    rule: str, tmp_path: Path, empty_store: Path
) -> None:
    workplace = a_workplace(tmp_path, empty_store, STUDY)
    result = workplace.run("--set", f"search.early_stopping={rule}")
    workplace.assert_agreement(6)
    trials, (_, children) = workplace.optuna(), workplace.mlflow()
    stopped = [trial.number for trial in trials if trial.state.name == "PRUNED"]
    assert 0 < len(stopped) == result["stopped"] < 6
    assert result["failed"] == 0
    assert result["winner"] == "stepped"
    for trial, child in zip(trials, children, strict=True):
        cut_off = trial.number in stopped
        assert trial.user_attrs.get("stopped") == (f"by {rule}" if cut_off else None)
        assert child.data.tags.get("stopped") == (f"by {rule}" if cut_off else None)
        assert (trial.user_attrs["epochs_run"] < 20) == cut_off
        if cut_off:
            assert trial.params["learning_rate"] < 0.01
