"""The search space: conditional on the strategy, within the study's limits, and entered at known points."""

from collections import Counter
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pruning_core.config import TrialConfig, search_ranges
from pruning_core.hyperparameters import Choices, Range
from pruning_core.strategies import STRATEGIES
from search.study import Study
from search.study.space import Point

NUMBERS: dict[str, tuple[float, float]] = {
    "lambda_start": (1e-6, 100),
    "lambda_max": (100, 1e7),
    "growth": (1.001, 50),
    "step_epochs": (1, 60),
    "plateau_threshold": (1e-6, 2),
    "patience": (1, 30),
    "window": (1, 50),
    "rejection_weight": (1e-3, 5),
    "delta": (1e-3, 5),
    "block": (0.01, 1),
    "proposals": (1, 8),
    "temperature": (1e-6, 1),
    "initial_weight": (0.1, 6),
    "learning_rate": (1e-5, 1),
    "pruner_learning_rate": (1e-5, 1),
    "weight_decay": (1e-6, 0.1),
    "label_smoothing": (1e-3, 0.5),
    "batch_size": (1, 512),
}
NAMES = ["alpha", "plateau_monitor", "mu", "rejection"]


def a_study(**changes: Any) -> Study:
    return Study.model_validate({"name": "s", "data": {"source": "digits", "keep": 16}, **changes})


@st.composite
def entries(draw: st.DrawFn, name: str) -> Any:
    """A line of `space` for ``name``: a fixed value, choices or a range."""
    kind = int if name == "batch_size" else TrialConfig.model_fields[name].annotation
    if name in NAMES:
        values: st.SearchStrategy[Any] = st.sampled_from(get_args(kind))
    elif kind is int:
        values = st.integers(int(NUMBERS[name][0]), int(NUMBERS[name][1]))
    else:
        values = st.floats(*NUMBERS[name])
    form = draw(st.sampled_from(["fixed", "choices", "range"]))
    if form == "fixed":
        return draw(values)
    if form == "choices" or name in NAMES:
        return {"choices": draw(st.lists(values, min_size=1, max_size=4, unique=True))}
    low, high = sorted([draw(values), draw(values)])
    return {"low": low, "high": high, "log": draw(st.booleans())}


def grid(study: Study) -> list[Point]:
    return study.varied.grid(study.search.trials, study.search.seed)


@st.composite
def studies(draw: st.DrawFn) -> Study:
    """Any study with a valid space."""
    names = draw(st.lists(st.sampled_from([*NUMBERS, *NAMES]), unique=True))
    return a_study(
        strategies=draw(st.lists(st.sampled_from(tuple(STRATEGIES)), min_size=1, unique=True)),
        space={name: draw(entries(name)) for name in names},
        search={"trials": draw(st.integers(1, 30)), "seed": draw(st.integers(0, 9))},
    )


def assert_inside(study: Study, point: dict[str, Any]) -> None:
    """The point has the names that its strategy searches, within their limits, and makes a valid trial."""
    names = study.varied.searched(point["strategy"], point.get("alpha"))
    assert set(point) == {"strategy", *names}
    for name, entry in names.items():
        if isinstance(entry, Choices):
            assert point[name] in entry.values
        else:
            assert entry.low <= point[name] <= entry.high
            assert isinstance(point[name], int) == entry.integer
    used = study.trial_config(point).used()
    if used["strategy"] != "ratio" and used.get("mu") == "one":
        used["window"] = point.get("window")  # drawn for the sake of the other readings of mu
    assert point.items() <= used.items()


@given(studies())
def test_known_points_and_grid_lie_in_the_space(study: Study) -> None:
    known = study.varied.known_points()
    assert {point["strategy"] for point in known} == set(study.strategies)
    for points in (known, grid(study)):
        for point in points:
            assert_inside(study, point)
        assert len({tuple(point.items()) for point in points}) == len(points)


@given(studies(), st.data())
def test_every_point_of_the_space_is_a_valid_trial(study: Study, data: st.DataObject) -> None:
    strategy = data.draw(st.sampled_from(study.strategies))
    point: dict[str, Any] = {"strategy": strategy}
    if "alpha" in (names := study.varied.searched(strategy)):
        point["alpha"] = data.draw(st.sampled_from(names["alpha"].grid()))
    for name, entry in study.varied.searched(strategy, point.get("alpha")).items():
        if name == "alpha":
            continue
        if isinstance(entry, Choices):
            point[name] = data.draw(st.sampled_from(entry.values))
        else:
            number = st.integers if entry.integer else st.floats
            point[name] = data.draw(number(entry.low, entry.high))  # type: ignore[arg-type]
    assert_inside(study, point)


@given(studies(), st.integers(1, 30))
def test_a_grid_continued_with_more_trials_begins_with_the_same_points(study: Study, more: int) -> None:
    search = {"trials": study.search.trials + more, "seed": study.search.seed}
    longer = Study.model_validate(study.model_dump(mode="json") | {"search": search})
    points = grid(study)
    assert len(points) <= study.search.trials
    assert grid(longer)[: len(points)] == points


@pytest.mark.parametrize(
    ("strategy", "alpha", "names"),
    [
        ("fixed", None, {"lambda_start", "pruner_learning_rate"}),
        ("ratio", None, {"pruner_learning_rate"}),
        ("stepped", None, {"lambda_start", "growth", "step_epochs", "mu", "pruner_learning_rate"}),
        ("adaptive", None, {"growth", "shrink_epochs", "pruner_learning_rate"}),
        (
            "plateau",
            None,
            {
                *("lambda_start", "growth", "plateau_threshold", "patience", "plateau_monitor", "mu"),
                "pruner_learning_rate",
            },
        ),
        ("markov", "stepped", {"alpha", "delta", "block", "lambda_start", "growth", "step_epochs", "mu"}),
        (
            "markov",
            "plateau",
            {
                *("alpha", "delta", "block", "lambda_start", "growth", "mu"),
                "plateau_threshold",
                "patience",
                "plateau_monitor",
            },
        ),
        ("markov", None, {"alpha", "delta", "block", "lambda_start", "growth", "mu"}),
    ],
)
def test_a_strategy_searches_what_it_uses(strategy: str, alpha: str | None, names: set[str]) -> None:
    found = a_study().varied.searched(strategy, alpha)
    assert set(found) == names | {"learning_rate", "weight_decay", "label_smoothing"}
    assert all(found[name] == search_ranges()[name] for name in found)


def test_alpha_is_drawn_first_and_a_fixed_one_is_not_drawn() -> None:
    assert next(iter(a_study().varied.searched("markov"))) == "alpha"
    fixed = a_study(space={"alpha": "plateau"})
    assert "alpha" not in fixed.varied.searched("markov")
    assert "patience" in fixed.varied.searched("markov")


def test_the_space_of_a_study_goes_before_the_built_in_one() -> None:
    study = a_study(space={"growth": {"low": 2, "high": 3}, "mu": "frozen", "window": {"choices": [5, 10]}})
    found = study.varied.searched("stepped")
    assert found["growth"] == Range(2, 3)
    assert found["window"] == Choices((5, 10))
    assert "mu" not in found
    assert "lambda_max" not in found


def test_the_search_starts_at_the_default_and_at_the_deck_s_schedule() -> None:
    default, calendar, deck, *others = a_study().varied.known_points()
    assert a_study().trial_config(default) == TrialConfig(keep=16)
    assert a_study().trial_config(calendar) == TrialConfig(keep=16, strategy="stepped")
    schedule = a_study().trial_config(deck)
    assert (schedule.strategy, schedule.lambda_start, schedule.lambda_max) == ("stepped", 1, 1e7)
    assert (schedule.growth, schedule.step_epochs, schedule.mu) == (10, 20, "frozen")
    assert [point["strategy"] for point in others] == ["plateau", "swap"]


def test_known_points_move_into_a_narrower_space_and_meet_there_once() -> None:
    space = {
        **{"growth": {"low": 2, "high": 3}, "mu": {"choices": ["current", "windowed"]}, "step_epochs": 5},
        **{"lambda_start": {"low": 0.3, "high": 0.5}, "alpha": {"choices": ["ratio"]}},
    }
    default, deck = a_study(strategies=["stepped"], space=space).varied.known_points()
    assert (default["growth"], default["mu"], default["lambda_start"]) == (2, "current", 0.3)
    assert (deck["growth"], deck["mu"], deck["lambda_start"]) == (3, "current", 0.5)
    assert "step_epochs" not in default
    assert [p["alpha"] for p in a_study(strategies=["markov"], space=space).varied.known_points()] == ["ratio"]
    fixed = {name: TrialConfig.model_fields[name].default for name in search_ranges()}
    assert a_study(strategies=["stepped"], space=fixed).varied.known_points() == [{"strategy": "stepped"}]


def test_a_small_grid_is_complete() -> None:
    fixed = {name: TrialConfig.model_fields[name].default for name in search_ranges() if name != "alpha"}
    space = {**fixed, "growth": {"low": 2, "high": 8, "log": True}, "step_epochs": {"low": 1, "high": 2}}
    points = grid(a_study(strategies=["stepped", "markov"], space=space, search={"trials": 1000}))
    assert Counter((p["strategy"], p.get("alpha")) for p in points) == {
        ("stepped", None): 6,
        ("markov", "stepped"): 6,
        ("markov", "plateau"): 3,
    }
    assert {round(float(p["growth"]), 9) for p in points} == {2, 4, 8}


def test_a_huge_grid_is_sampled_evenly_over_strategies_and_seeds_differ() -> None:
    everything: dict[str, Any] = {name: {"low": low, "high": high} for name, (low, high) in NUMBERS.items()}
    everything |= {"delta": {"choices": [1 + i / 1000 for i in range(1000)]}}
    strategies = ["adaptive", "stepped", "plateau", "markov"]
    points = grid(a_study(strategies=strategies, space=everything, search={"trials": 100}))
    assert Counter(point["strategy"] for point in points) == dict.fromkeys(strategies, 25)
    assert all(len({p[name] for p in points if name in p}) > 1 for name in [*everything, "mu", "alpha"])
    assert grid(a_study(strategies=strategies, space=everything, search={"trials": 100, "seed": 1})) != points


def test_a_grid_leaves_what_the_study_does_not_name_of_the_regularisation_at_its_default() -> None:
    points = grid(a_study(strategies=["adaptive"], search={"trials": 1000}))
    assert {(point["weight_decay"], point["label_smoothing"]) for point in points} == {(0.1, 0.1)}
    assert len(points) == 3**4
    space = {"weight_decay": {"low": 0.01, "high": 1, "log": True}}
    assert len(grid(a_study(strategies=["adaptive"], space=space, search={"trials": 1000}))) == 3**5


def test_every_hyperparameter_of_a_strategy_counts_it_among_its_users() -> None:
    alphas = [name for name, strategy in STRATEGIES.items() if not strategy.chain]
    using = a_study(strategies=[*STRATEGIES], space={"alpha": {"choices": alphas}}).varied.users
    assert using["learning_rate"] == tuple(STRATEGIES)
    assert using["patience"] == ("plateau", "markov")
    assert using["delta"] == ("markov",)
    assert "step_epochs" not in a_study(strategies=["ratio"]).varied.users
    assert using["window"] == ("ratio", "stepped", "plateau", "markov")
    assert "window" not in a_study(space={"mu": "one"}).varied.users


def test_the_table_shows_what_is_searched_fixed_and_left_at_its_default() -> None:
    strategies = ["adaptive", "stepped", "plateau", "markov"]
    space = {"mu": "frozen", "batch_size": {"choices": [32, 64]}}
    rows = {row.name: row for row in a_study(strategies=strategies, space=space).varied.table()}
    assert rows["strategy"].values == "adaptive | stepped | plateau | markov"
    assert rows["learning_rate"] == ("learning_rate", "0.001 ... 0.01, log", "all")
    assert rows["shrink_epochs"] == ("shrink_epochs", "10 ... 80, log, integer", "adaptive")
    assert rows["lambda_start"].strategies == "stepped, plateau, markov"
    assert rows["step_epochs"] == ("step_epochs", "1 ... 20, log, integer", "stepped, markov")
    assert rows["batch_size"].values == "32 | 64"
    assert rows["mu"].values == "fixed: frozen"
    assert (rows["window"].values, rows["lambda_max"].values) == ("default: 10", "default: 1e+07")
    assert not {"keep", "epochs", "hidden", "seeds"} & set(rows)


def test_what_another_study_had_is_moved_to_the_nearest_point_of_this_space() -> None:
    space = {"growth": {"low": 1.5, "high": 3}, "step_epochs": {"choices": [1, 10, 20]}, "lambda_start": 0.5}
    varied = a_study(strategies=["stepped"], space={**space, "mu": {"choices": ["frozen", "one"]}}).varied
    point = varied.nearest("stepped", {"growth": 9, "step_epochs": 14, "lambda_start": 2, "mu": "current", "delta": 3})
    assert {name: point[name] for name in ("growth", "step_epochs", "mu")} == {
        "growth": 3,
        "step_epochs": 10,
        "mu": "frozen",
    }
    assert point.keys() & {"lambda_start", "delta"} == set()
    default = varied.nearest("stepped", {})
    assert varied.nearest("stepped", {"growth": "fast"}) == default
    assert default in varied.known_points()
