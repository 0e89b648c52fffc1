"""`data.keep: auto` and `data.costs` in a study file, and what is said of them when they are wrong."""

from pathlib import Path
from typing import Any

import pytest

from search.cli import main
from search.study import Study
from search.study.costs import costs_of

WINE = {"source": "wine", "keep": "auto"}


def study_file(folder: Path, data: str) -> str:
    path = folder / "study.yaml"
    path.write_text(f"name: s\ndata: {data}\n")
    return str(path)


def a_study(**data: Any) -> Study:
    return Study.model_validate({"name": "s", "data": {**WINE, **data}})


def test_check_says_that_n_will_be_found_and_where_the_curve_begins(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", study_file(tmp_path, "{source: wine, keep: auto}")]) == 0
    said = " ".join(capfd.readouterr().out.split())
    assert "keep auto of 13 features" in said
    assert "n is found first, on 1, 2, 4, 8, 12 and then between them" in said


def test_a_single_trial_takes_a_number(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = study_file(tmp_path, "{source: wine, keep: auto}")
    assert main(["trial", path]) == 2
    assert "data.keep = 'auto' is found by a search: a single trial takes a number, --set data.keep=16" in " ".join(
        capfd.readouterr().err.split()
    )
    assert main(["trial", path, "--set", "data.keep=4", "--set", "training.epochs=1", "--seeds", "1"]) == 0


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ("{source: wine, keep: autp}", "data.keep = 'autp' must be a number, a list of numbers, or auto"),
        ("{source: wine, keep: [auto, 4]}", "must be auto alone, or hold numbers only"),
        ("{source: wine, keep: auto, costs: {alc: 3}}", "data.costs.alc = 3 names no input of wine: there are alcohol"),
        ("{source: wine, keep: auto, costs: {alcohol: 0}}", "data.costs.alcohol = 0 must be greater than 0"),
        ("{source: wine, keep: auto, costs: {alcohol: -1}}", "data.costs.alcohol = -1 must be greater than 0"),
        ("{source: wine, keep: auto, costs: {alcohol: true}}", "must hold lines of an input and its cost"),
        ("{source: wine, keep: auto, costs: [3]}", "data.costs = [3] must hold lines of an input and its cost"),
        ("{source: wine, keep: auto, costs: {alcohol: dear}}", "data.costs.alcohol = 'dear' must be a valid number"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], data: str, sentence: str
) -> None:
    assert main(["check", study_file(tmp_path, data)]) == 2
    said = " ".join(capfd.readouterr().err.split())
    assert sentence in said
    assert "Traceback" not in said


def test_inputs_cost_1_unless_a_name_or_a_glob_says_otherwise() -> None:
    study = a_study(costs={"alcohol": 3, "*phenols": 2, "total_*": 5})
    costs = costs_of(study.data.costs, study.load_data())
    dear = {name: cost for name, cost in costs.items() if cost != 1}
    assert dear == {"alcohol": 3, "total_phenols": 5, "nonflavanoid_phenols": 2}
    assert len(costs) == 13
    named_first = {"total_phenols": 4.0, "*": 2.0}
    assert costs_of(named_first, study.load_data())["total_phenols"] == 4


def test_costs_at_a_given_n_have_no_effect_and_that_is_said() -> None:
    (warning,) = a_study(keep=4, costs={"alcohol": 3}).warnings
    assert warning.startswith("data.costs has no effect without data.keep: auto")
    assert not a_study(costs={"alcohol": 3}).warnings


def test_n_of_the_inputs_stands_in_one_place() -> None:
    with pytest.raises(ValueError, match=r"network\.prune\.inputs = 4 must be left out where data\.keep = auto"):
        Study.model_validate({"name": "s", "data": WINE, "network": {"prune": {"inputs": 4}}})
