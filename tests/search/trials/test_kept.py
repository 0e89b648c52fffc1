"""Which trials keep their networks on the disk."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from search.trials.checkpoint import STATE, trial_folder
from search.trials.kept import CANDIDATES, KeptNetworks
from search.trials.ranking import ranked
from search.trials.trial import Trial, TrialEnding

ARMS = ("stepped", "plateau")


@st.composite
def trials(draw: DrawFn) -> list[Trial]:
    endings: st.SearchStrategy[TrialEnding] = st.sampled_from(["ended", "stopped", "failed"])
    return [
        Trial(
            number,
            {"strategy": draw(st.sampled_from(ARMS))},
            ending=draw(endings),
            score=draw(st.sampled_from([0.1, 0.5, 0.9])),
            complete=draw(st.sampled_from([0.0, 1.0])),
        )
        for number in range(draw(st.integers(0, 14)))
    ]


def left_in(folder: Path) -> set[int]:
    return {int(path.parts[-3].removeprefix("trial_")) for path in folder.glob(f"trial_*/checkpoint_*/{STATE}")}


def with_states(folder: Path, over: list[Trial]) -> Path:
    for trial in over:
        checkpoint = trial_folder(folder, trial.number) / "checkpoint_000003"
        checkpoint.mkdir(parents=True)
        (checkpoint / STATE).write_text("tensors")
        (checkpoint / "trial.json").write_text("{}")
    return folder


@given(over=trials())
def test_the_default_and_the_few_best_of_each_arm_keep_them_then_the_best_and_the_confirmed(
    over: list[Trial], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = with_states(tmp_path_factory.mktemp("search"), over)
    best = [ranked([trial for trial in over if trial.strategy == arm]) for arm in ARMS]
    first = {arm: next((trial.number for trial in over if trial.strategy == arm), None) for arm in ARMS}
    defaults = {trial.number for trial in over if trial.number in first.values() and trial.ending != "failed"}
    kept = KeptNetworks(folder, lambda trial: trial.strategy, lambda trial: trial.number in first.values())
    for trial in over:
        kept.add(trial)
    assert left_in(folder) == {trial.number for of_arm in best for trial in of_arm[:CANDIDATES]} | defaults
    confirmed = [of_arm[-1].number for of_arm in best if 1 < len(of_arm) <= CANDIDATES]
    kept.reduce_to(confirmed)
    assert left_in(folder) == {of_arm[0].number for of_arm in best if of_arm} | set(confirmed)
    assert len(list(folder.glob("trial_*/checkpoint_*/trial.json"))) == len(over)


def test_a_search_that_goes_on_knows_those_that_were_kept(tmp_path: Path) -> None:
    over = [Trial(n, {"strategy": "stepped"}, ending="ended", score=n / 10, complete=1.0) for n in range(6)]
    folder = with_states(tmp_path, over)
    KeptNetworks(folder, lambda trial: trial.strategy, lambda _: False, over[:5])
    assert left_in(folder) == {2, 3, 4, 5}
    KeptNetworks(folder, lambda trial: trial.strategy, lambda _: False, over[:5]).add(over[5])
    assert left_in(folder) == {3, 4, 5}
