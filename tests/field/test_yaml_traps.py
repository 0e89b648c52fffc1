"""Study files that YAML reads otherwise than their authors: names stay as typed, and what stands twice is refused."""

from pathlib import Path
from typing import Any

import pytest

from search.study import StudyError, load_study

START = "name: s\ndata: {source: t.csv, target: label, keep: 1}\n"


def study_of(folder: Path, text: str, *overrides: str) -> Any:
    (folder / "s.yaml").write_text(text)
    return load_study(folder / "s.yaml", overrides)


AS_TYPED = ["010", "0o17", "0x1F", "1_000", "12:30:45", "1:30", "no", "Yes", "on", "OFF", "2024-01-02", "1e3", "1.10"]
AS_TYPED += ["+5", "=", "0b11", "-0", "1e-4"]


@pytest.mark.parametrize("name", AS_TYPED)
def test_names_stay_as_they_are_typed(name: str, tmp_path: Path) -> None:
    text = f"name: s\ndata: {{source: t.csv, target: {name}, features: [{name}, x], weight: {name}, keep: 1}}\n"
    data = study_of(tmp_path, text).data
    assert (data.target, data.features, data.weight) == (name, (name, "x"), name)
    by_class = study_of(tmp_path, f"name: s\ndata: {{source: {{{name}: a.csv, b: b.csv}}, keep: 1}}\n")
    assert list(by_class.data.source) == [name, "b"]
    assert study_of(tmp_path, START, f"data.signal={name}").data.signal == name


@pytest.mark.parametrize("text", ["010", "+10", "10", "1_0"])
def test_the_same_text_is_a_number_where_one_is_wanted(text: str, tmp_path: Path) -> None:
    assert study_of(tmp_path, f"{START}training: {{epochs: {text}}}\n").training.epochs == 10


@pytest.mark.parametrize("text", ["1e-4", "1.0e-4", "0.00010", "1E-4"])
def test_small_numbers_may_be_written_in_every_way(text: str, tmp_path: Path) -> None:
    study = study_of(tmp_path, f"{START}training: {{tolerance: {text}}}\nspace: {{delta: {text}}}\n")
    assert (study.training.tolerance, study.space["delta"]) == (1e-4, 1e-4)


TWICE: dict[str, tuple[str, int, int]] = {
    "a section": (f"{START}space: {{growth: 2}}\nsearch: {{trials: 3}}\nspace: {{mu: one}}\n", 5, 3),
    "a key in lines": (f"{START}training:\n  epochs: 5\n  seeds: 2\n  epochs: 6\n", 6, 4),
    "a key in brackets": ("name: s\ndata: {source: t.csv, keep: 1, keep: 2}\n", 2, 2),
    "a class": ("name: s\ndata:\n  keep: 1\n  source:\n    1: a.csv\n    '1': b.csv\n", 6, 5),
    "the name": (f"{START}name: t\n", 3, 1),
}


@pytest.mark.parametrize("what", TWICE)
def test_a_key_that_stands_twice_is_refused_with_its_lines(what: str, tmp_path: Path) -> None:
    text, line, first = TWICE[what]
    with pytest.raises(StudyError, match=rf"s.yaml, line {line} .* stands twice, first in line {first}$"):
        study_of(tmp_path, text)


def test_what_a_merge_brings_may_be_written_over(tmp_path: Path) -> None:
    search = study_of(tmp_path, f"{START}search: {{<<: {{trials: 3, seed: 1}}, trials: 4}}\n").search
    assert (search.trials, search.seed) == (4, 1)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "must hold keys"),
        ("- name: s\n", "must hold keys"),
        ("name: s\n---\nname: t\n", "not valid YAML"),
        ("name: s\n\tdata: 5\n", "line 2 is not valid YAML"),
        ("name: !!python/object/apply:os.system [ls]\n", "not valid YAML"),
        ("name: s\ndata: {source: t.csv, target: true, keep: 1}\n", "data.target = True"),
        ("name: s\ndata: {source: {true: a.csv, false: b.csv}, keep: 1}\n", "data.source"),
        (f"{START}training: {{epochs: 12:30}}\n", "training.epochs = '12:30'"),
        (f"{START}training: {{epochs: 1.10}}\n", "training.epochs = 1.1"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_sentence(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(StudyError) as refused:
        study_of(tmp_path, text)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)
