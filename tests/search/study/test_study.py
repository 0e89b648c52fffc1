"""The study file: what may be written, what is refused and how, and which trials follow from it."""

import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from pruning_core.config import TrialConfig
from pruning_core.data import DataError
from pruning_core.hyperparameters import Choices, Range
from search.study import Study, StudyError, load_study, load_trial

QUICK = Path(__file__).parents[3] / "studies" / "quick.yaml"
SHORTEST = "name: short\ndata: {source: digits, keep: 16}\n"


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(text: str) -> Path:
        path = tmp_path / "study.yaml"
        path.write_text(text)
        return path

    return write


def test_the_quick_study_is_the_documented_one() -> None:
    study = load_study(QUICK)
    assert (study.name, study.data.source, study.data.keep, study.network.hidden) == (
        "quick",
        "digits",
        16,
        (64,),
    )
    training = study.training
    assert (training.epochs, training.batch_size, training.seeds, training.settle_epochs) == (160, 64, 8, 10)
    assert study.strategies == ("stepped", "plateau", "markov")
    assert study.space == {
        "lambda_start": Range(1e-4, 10, log=True),
        "growth": Range(1.02, 10, log=True),
        "plateau_threshold": Range(1e-4, 0.5, log=True),
        "delta": Range(0.01, 3, log=True),
        "mu": Choices(("frozen", "windowed", "one")),
    }
    assert (study.search.trials, study.search.sampler, study.search.confirm_seeds) == (40, "tpe", 16)
    assert (study.resources.cpu, study.resources.gpu) == (1, 0)
    assert study.warnings == []
    assert study.text == QUICK.read_text()


def test_only_name_and_data_are_required_and_a_trial_then_has_the_defaults_of_the_library(write: Any) -> None:
    study, config = load_trial(write(SHORTEST))
    assert config == TrialConfig(keep=16)
    assert study.trial_config() == config
    assert study.search.early_stopping == "hopeless"
    assert load_study(write(SHORTEST + "training:\nspace:\nsearch:\n")).model_dump() == study.model_dump()


def test_a_study_over_several_n_has_an_arm_for_each_strategy_and_n(write: Any) -> None:
    study, config = load_trial(write(SHORTEST + "strategies: [stepped, markov]"), ["data.keep=[20, 5]"])
    assert config.keep == 20
    assert study.arms == {
        "stepped n=20": {"strategy": "stepped", "keep": 20},
        "markov n=20": {"strategy": "markov", "keep": 20},
        "stepped n=5": {"strategy": "stepped", "keep": 5},
        "markov n=5": {"strategy": "markov", "keep": 5},
    }
    assert [study.arm(fixed) for fixed in study.arms.values()] == list(study.arms)
    assert study.trial_config({"strategy": "markov", "keep": 5}).keep == 5
    assert Study.model_validate(study.model_dump(mode="json")).arms == study.arms
    one = study.at(5)
    assert list(one.arms) == ["stepped", "markov"]
    assert one.trial_config().keep == 5
    assert load_study(write(SHORTEST), ["data.keep=[5]"]).data.keep == 5
    with pytest.raises(DataError, match=r"data.keep = 64 must lie in 1 ... 59, as 'digits' has 60"):
        load_study(write(SHORTEST), ["data.keep=[5, 64]"]).load_data()


def test_a_study_can_be_written_down_and_read_again(write: Any) -> None:
    text = SHORTEST + "space: {growth: {low: 2, high: 3}, mu: {choices: [one]}, patience: {low: 1, high: 4}, window: 5}"
    study = load_study(write(text), ["network.hidden=[8, 4]", "data.split=[0.5, 0.25, 0.25]"])
    again = Study.model_validate(study.model_dump(mode="json"))
    assert again.model_dump() == study.model_dump()
    assert again.space == study.space
    assert again.space["patience"] == Range(1, 4, integer=True)
    assert yaml.safe_load(yaml.safe_dump(study.model_dump(mode="json"))) == study.model_dump(mode="json")


def test_a_path_counts_from_the_study_file(write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rows.csv").write_text("a,b,y\n" + "\n".join(f"{i},{i % 7},{i % 2}" for i in range(30)))
    monkeypatch.chdir("/")
    study = load_study(write("name: file\ndata: {source: rows.csv, target: y, keep: 1}"))
    assert study.load_data().feature_names == ("a", "b")
    assert Study.model_validate(study.model_dump(mode="json")).load_data().fingerprint == study.load_data().fingerprint


@pytest.mark.parametrize("number", ["1e-3", "1E-3", ".001", "1.0e-3", "+1.e-03", "0.001"])
def test_numbers_are_numbers_however_they_are_written(write: Any, number: str) -> None:
    study = load_study(write(f"{SHORTEST}space: {{lambda_start: {{low: {number}, high: 1e0}}}}"))
    assert study.space["lambda_start"] == Range(0.001, 1)
    assert load_study(write(f"{SHORTEST}space: {{delta: {{choices: [{number}, 1]}}}}")).space == {
        "delta": Choices((0.001, 1.0))
    }
    assert load_study(write(SHORTEST), [f"space.delta={number}"]).space == {"delta": 0.001}
    assert load_trial(write(SHORTEST), [f"delta={number}"])[1].delta == 0.001


def test_names_that_look_like_numbers_stay_names(write: Any) -> None:
    for name in ("2024", "1.5", "1e5", "2024-01"):
        assert load_study(write(SHORTEST), [f"name={name}"]).name == name


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("training.epochs=80", "training.epochs", 80),
        ("epochs=80", "training.epochs", 80),
        ("keep=4", "data.keep", 4),
        ("hidden=[8, 8]", "network.hidden", (8, 8)),
        ("network={hidden: [8]}", "network.hidden", (8,)),
        ("strategies=[markov]", "strategies", ("markov",)),
        ("strategy=markov", "strategies", ("markov",)),
        ("space.growth.high=3", "space.growth", Range(1.02, 3, log=True)),
        ("space.mu=one", "space.mu", "one"),
        ("growth=2", "space.growth", 2.0),
        ("window=3", "space.window", 3),
        ("resources.gpu=0.25", "resources.gpu", 0.25),
        ("data.impute=mean", "data.impute", "mean"),
        ("data.split_seed=4", "data.split_seed", 4),
        ("name=other", "name", "other"),
    ],
)
def test_overrides_reach_every_key(override: str, key: str, value: Any) -> None:
    found: Any = load_study(QUICK, [override])
    for part in key.split("."):
        found = found[part] if isinstance(found, dict) else getattr(found, part)
    assert found == value


def test_the_last_override_wins_and_the_original_text_is_kept(write: Any) -> None:
    study = load_study(write(SHORTEST), ["growth=2", "space.growth=3", "space.mu=one"])
    assert study.space == {"growth": 3.0, "mu": "one"}
    assert study.text == SHORTEST


def test_in_a_trial_a_bare_name_sets_the_trial_and_not_the_space() -> None:
    study, config = load_trial(QUICK, ["growth=20", "lambda_max=5", "strategy=plateau", "epochs=3", "keep=4"])
    assert (config.growth, config.lambda_max, config.strategy) == (20, 5, "plateau")
    assert (config.epochs, config.keep, study.data.keep) == (3, 4, 4)
    assert study.space == load_study(QUICK).space


def test_fixed_values_reach_every_trial_and_a_trial_s_own_values_win(write: Any) -> None:
    text = """
strategies: [plateau]
space: {growth: 2, window: 3, batch_size: 16}
training: {seeds: 4, tolerance: 0.1, batch_size: 64}
"""
    study = load_study(write(SHORTEST + text))
    config = study.trial_config()
    assert (config.strategy, config.growth, config.window, config.batch_size) == ("plateau", 2, 3, 16)
    assert (config.seeds, config.tolerance) == (4, 0.1)
    changed = study.trial_config({"growth": 3, "strategy": "ratio", "seeds": 1})
    assert (changed.growth, changed.strategy, changed.seeds, changed.window) == (3, "ratio", 1, 3)
    assert study.trial_config(changed.model_dump(mode="json")) == changed


def test_what_no_strategy_uses_is_a_warning(write: Any) -> None:
    study = load_study(
        write(SHORTEST + "strategies: [markov]\nspace: {pruner_learning_rate: 0.1, patience: 2, delta: 1}")
    )
    assert len(study.warnings) == 1
    assert "space.pruner_learning_rate" in study.warnings[0]
    assert "markov" in study.warnings[0]


def test_fewer_trials_than_there_are_to_compare_are_pointed_out() -> None:
    document = {"name": "s", "data": {"source": "digits", "keep": [8, 16]}, "strategies": ["stepped", "ratio"]}
    assert Study.model_validate({**document, "search": {"trials": 4}}).warnings == []
    (warning,) = Study.model_validate({**document, "search": {"trials": 3}}).warnings
    assert warning == "search.trials = 3 leaves ratio n=16 without a trial"


REFUSED: list[tuple[str, list[str]]] = [
    ("x: 1", ["x = 1", "name, data"]),
    ("growth: 2", ["growth = 2", "did you mean space.growth?"]),
    ("trainig: {epochs: 1}", ["trainig", "did you mean training?"]),
    ("training: {epoch: 1}", ["training.epoch = 1", "did you mean training.epochs?"]),
    ("training: {growth: 2}", ["training.growth = 2", "did you mean space.growth?"]),
    ("training: {epochs: 0}", ["training.epochs = 0", "greater than or equal to 1"]),
    ("training: {epochs: many}", ["training.epochs = 'many'", "integer"]),
    ("training: {epochs: true}", ["training.epochs = True", "number"]),
    ("training: {tolerance: 0.5}", ["training.tolerance = 0.5", "less than 0.5"]),
    ("training: 5", ["training = 5", "epochs"]),
    ("network: {hidden: [0]}", ["network.hidden = [0]", "at least 1"]),
    ("network: {hidden: 64}", ["network.hidden = 64", "list"]),
    ("strategies: [platau]", ["strategies.0 = 'platau'", "'plateau'"]),
    ("strategies: []", ["strategies = []", "stepped"]),
    ("strategies: [ratio, ratio]", ["strategies = ['ratio', 'ratio']", "once"]),
    ("search: {sampler: best}", ["search.sampler = 'best'", "'tpe'", "'grid'"]),
    ("search: {trials: 0}", ["search.trials = 0", "1"]),
    (
        "search: {objective: speed}",
        [
            "search.objective = 'speed'",
            "must be pruned_accuracy, pruned_balanced_accuracy, pruned_auc or pruned_rejection, or a list",
        ],
    ),
    (
        "search: {objective: [completion_epoch]}",
        ["search.objective = ['completion_epoch']", "a list of one of these and completion_epoch"],
    ),
    (
        "search: {objective: [pruned_accuracy, completion_epoch], sampler: cmaes}",
        ["search.sampler = 'cmaes'", "one objective", "tpe, gp, random, qmc or grid"],
    ),
    ("search: {early_stopping: yes}", ["search.early_stopping = 'yes'"]),
    ("resources: {cpu: 0}", ["resources.cpu = 0", "greater than 0"]),
    ("resources: {gpu: .inf}", ["resources.gpu = inf", "finite"]),
    ("space: 5", ["space = 5", "growth"]),
    ("space: {growht: 2}", ["space.growht = 2", "growth"]),
    ("space: {growth: 1}", ["space.growth = 1", "greater than 1"]),
    ("space: {growth: .nan}", ["space.growth = nan", "finite"]),
    ("space: {growth: {low: 1, high: 2}}", ["space.growth.low = 1", "greater than 1"]),
    ("space: {growth: {low: 3, high: 2}}", ["space.growth.low = 3", "space.growth.high = 2"]),
    ("space: {growth: {low: 3}}", ["space.growth.high", "missing"]),
    ("space: {growth: {low: 2, high: 3, step: 1}}", ["space.growth.step = 1", "low, high and log"]),
    ("space: {growth: {low: 2, high: 3, log: 2}}", ["space.growth.log = 2", "true or false"]),
    ("space: {temperature: {low: 0, high: 1, log: true}}", ["space.temperature.low = 0", "above 0"]),
    ("space: {patience: {low: 1.5, high: 3}}", ["space.patience.low = 1.5", "integer"]),
    ("space: {mu: {low: 1, high: 2}}", ["space.mu", "choices"]),
    ("space: {mu: {choices: []}}", ["space.mu.choices = []", "at least one"]),
    ("space: {mu: {choices: [one, one]}}", ["space.mu.choices = ['one', 'one']", "once"]),
    ("space: {mu: {choices: [two]}}", ["space.mu.choices = 'two'", "'windowed'"]),
    ("space: {mu: [one]}", ["space.mu = ['one']", "'windowed'"]),
    ("space: {keep: 3}", ["space.keep = 3", "data.keep"]),
    ("space: {epochs: {low: 1, high: 2}}", ["space.epochs", "training.epochs"]),
    ("space: {seeds: 1}", ["space.seeds = 1", "training.seeds"]),
    ("space: {settle_epochs: 1}", ["space.settle_epochs = 1", "training.settle_epochs"]),
    ("space: {tolerance: 0.1}", ["space.tolerance = 0.1", "training.tolerance"]),
    ("space: {hidden: {choices: [8]}}", ["space.hidden", "network.hidden"]),
    ("space: {strategy: markov}", ["space.strategy = 'markov'", "strategies"]),
    ("space: {lambda_max: 5}", ["space.lambda_start", "10", "lambda_max", "5"]),
    ("space: {lambda_start: {low: 1, high: 1.0e+8}}", ["space.lambda_start", "1e+08", "lambda_max", "1e+07"]),
    (
        "space: {lambda_start: {low: 1.0e-3, high: 4.0e-3}, lambda_max: 5.0e-3}",
        ["space.lambda_start may reach 0.2", "lambda_max", "0.005"],  # 0.2 is the default, as in a trial
    ),
    ("data: {keep: 1}", ["data.source", "missing"]),
    ("data: {source: digits, keep: 0}", ["data.keep = 0", "1"]),
    ("data: {source: digits, keep: [5, 0]}", ["data.keep = 0", "1"]),
    ("data: {source: digits, keep: [5, 5]}", ["data.keep = [5, 5]", "each once"]),
    ("data: {source: digits, keep: []}", ["data.keep = []", "one or more"]),
    ("data: {source: digits, keep: [five]}", ["data.keep = 'five'", "integer"]),
    ("data: {source: digits, keep: 1, impute: mode}", ["data.impute = 'mode'", "'mean', 'median'"]),
    ("name: a b", ["name = 'a b'", "letters"]),
    ("name: ..", ["name = '..'", "letters"]),
    ("name: a/b", ["name = 'a/b'", "letters"]),
]


@pytest.mark.parametrize(("text", "words"), REFUSED)
def test_refusals_name_the_key_the_value_and_what_is_allowed(write: Any, text: str, words: list[str]) -> None:
    kept = [line for line in SHORTEST.splitlines(keepends=True) if line.partition(":")[0] != text.partition(":")[0]]
    with pytest.raises(StudyError) as caught:
        load_study(write("".join(kept) + text))
    message = str(caught.value)
    assert [word for word in words if word not in message] == []
    assert "\n" not in message


@pytest.mark.parametrize("load", [load_study, load_trial])
@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("nonsense=1", ["nonsense = 1"]),
        ("growht=2", ["growht = 2", "growth"]),
        ("growth=0.5", ["growth = 0.5", "greater than 1"]),
        ("growth=true", ["growth = True"]),
        ("growth", ["growth", "KEY=VALUE"]),
        ("=1", ["=1", "KEY=VALUE"]),
        ("search.trails=3", ["search.trails = 3", "search.trials"]),
        ("nowhere.growth=3", ["nowhere"]),
        ("data.source.name=3", ["data.source.name = 3", "data.source = 'digits'"]),
        ("growth=[2", ["growth=[2", "YAML"]),
        ("strategy=best", ["'best'", "'markov'"]),
        ("data.keep=", ["data.keep", "missing"]),
    ],
)
def test_wrong_overrides_are_refused(write: Any, load: Any, override: str, words: list[str]) -> None:
    with pytest.raises(StudyError) as caught:
        load(write(SHORTEST), [override])
    assert [word for word in words if word not in str(caught.value)] == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: a\ndata: {source: digits\nkeep: 1", ["study.yaml, line 3"]),
        ("name: a\n\tdata: 1", ["study.yaml, line 2"]),
        ("", ["study.yaml", "name and data"]),
        ("- name", ["study.yaml", "name and data"]),
        ("data: {source: digits, keep: 1}", ["name is missing"]),
    ],
)
def test_a_file_that_is_no_study_is_refused(write: Any, text: str, words: list[str]) -> None:
    with pytest.raises(StudyError) as caught:
        load_study(write(text))
    assert [word for word in words if word not in str(caught.value)] == []
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"nowhere\.yaml"):
        load_study(tmp_path / "nowhere.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StudyError, match=r"binary\.yaml"):
        load_study(tmp_path / "binary.yaml")


def test_a_trial_outside_the_limits_is_refused() -> None:
    study = load_study(QUICK)
    for values, words in (
        ({"growth": 1}, "growth = 1 must be greater than 1"),
        ({"growht": 2}, "did you mean growth"),
        ({"delta": math.nan}, "delta = nan must be a finite number"),
        ({"lambda_start": 2, "lambda_max": 1}, "lambda_max must not be below lambda_start = 2, got 1"),
    ):
        with pytest.raises(StudyError, match=words):
            study.trial_config(values)


def test_a_trial_takes_the_first_strategy_that_uses_what_is_set(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text("name: a\ndata: {source: wine, keep: 4}\n")
    for overrides, strategy in (
        ([], "adaptive"),
        (["growth=1.5", "learning_rate=0.01"], "adaptive"),
        (["growth=1.5", "lambda_start=2"], "stepped"),
        (["patience=2"], "plateau"),
        (["delta=0.3", "growth=1.5"], "markov"),
        (["delta=0.3", "strategy=plateau"], "plateau"),
        (["step_epochs=3", "patience=2"], "markov"),
        (["shrink_epochs=20", "proposals=3"], "swap"),
        (["shrink_epochs=20", "delta=0.3"], "adaptive"),
    ):
        assert load_trial(path, overrides)[1].strategy == strategy, overrides
