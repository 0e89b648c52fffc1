"""The section `data` through the command: paths count from the study file, and what is wrong is one sentence."""

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot
import yaml

from search.cli import main
from search.study import Study, load_study

ROWS = 60
JETS = ak.values_astype(ak.Array([[1.0]] * ROWS), np.float32)


def events(seed: int) -> pd.DataFrame:
    """Events of one process: two momenta, a placeholder, a weight, an event number and a run."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "pt": rng.exponential(30, ROWS) + 5 * seed,
            "eta": rng.normal(size=ROWS),
            "mass": np.where(rng.random(ROWS) < 0.2, -999, rng.normal(90, 5, ROWS)),
            "gen": rng.uniform(0.5, 1.5, ROWS),
            "event": np.arange(ROWS) + 1000 * seed,
            "run": np.arange(ROWS) // 5,
            "channel": ["e", "mu"] * (ROWS // 2),
        }
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files of a signal and two backgrounds, good ones and bad ones."""
    data = tmp_path / "data"
    data.mkdir()
    for seed, name in enumerate(("sig", "wz", "ttbar")):
        rows = events(seed)
        rows.to_csv(data / f"{name}.csv", index=False)
        with uproot.recreate(data / f"{name}.root") as file:
            numbers = rows.drop(columns="channel")
            tree = file.mktree("Events", {n: numbers[n].dtype for n in numbers} | {"Jet_pt": "var * float32"})
            tree.extend({n: numbers[n].to_numpy() for n in numbers} | {"Jet_pt": JETS})
    whole = pd.concat([events(0).assign(y="s"), events(1).assign(y="b")])
    whole.to_csv(data / "all.csv", index=False)
    (data / "cut_off.root").write_bytes((data / "sig.root").read_bytes()[:2000])
    events(1).drop(columns="mass").to_csv(data / "less.csv", index=False)
    events(1).assign(gen=0).to_csv(data / "weightless.csv", index=False)
    nested = pa.table({"pt": [1.0] * 9, "eta": [2.0] * 9, "track": [{"x": 1}] * 9, "y": [0, 1, 2] * 3})
    pq.write_table(nested, data / "nested.parquet")
    mixed = pa.table({"pt": [1.0] * 9, "eta": ["a", "1", "2"] * 3, "y": [0, 1, 2] * 3})
    pq.write_table(mixed, data / "mixed.parquet")
    return tmp_path


def write(folder: Path, **data: Any) -> Path:
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump({"name": "own", "data": {"keep": 2, **data}}))
    return path


BY_CLASS = {"signal": "data/sig.root:Events", "background": ["data/wz.root", "data/ttbar.root"]}
GOOD: dict[str, Any] = {
    "source": BY_CLASS,
    "exclude": ["Jet_*", "run"],
    "weight": "gen",
    "missing": -999,
    "impute": "median",
    "cut": "pt > 10 and\n abs(eta) < 2.4",
    "signal": "signal",
    "split": {"column": "event", "modulo": 10, "validation": [7, 8], "test": [9]},
}


def test_check_shows_what_the_cut_keeps_and_what_is_missing(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    assert main(["check", str(write(folder, **GOOD))]) == 0
    shown = capsys.readouterr().out
    assert "keep 2 of 3 features of wz.root, ttbar.root and 1 more, 2 classes" in shown
    assert "of 180 rows" in shown
    assert "mass" in shown.split("missing")[1]
    assert "the median of the training part" in shown


def test_a_study_with_every_key_survives_the_way_through_json(folder: Path) -> None:
    study = load_study(write(folder, **GOOD))
    again = Study.model_validate(study.model_dump(mode="json"))
    assert again.model_dump() == study.model_dump()
    data = study.load_data()
    assert again.load_data().fingerprint == data.fingerprint
    assert data.feature_names == ("eta", "mass", "pt")
    assert data.train.weight is not None
    assert data.signal == "signal"


@pytest.mark.parametrize(
    "data",
    [
        {"source": "data/all.csv", "target": "y", "encode": "onehot"},
        {"source": ["data/a*.csv"], "target": "y", "exclude": "channel"},
        {"source": {"s": "data/sig.csv", "b": ["data/w?.csv"]}, "exclude": ["channel"]},
        {"source": {"s": "data/sig.root:Events", "b": "data/wz.root"}, "features": ["pt", "e*"]},
        {
            "source": {0: "data/sig.csv", 1: "data/wz.csv"},
            "features": ["pt", "eta", "run"],
            "split": {part: {0: f"data/{part}_0.csv", "1": f"data/{part}_1.csv"} for part in ("validation", "test")},
        },
    ],
)
def test_paths_count_from_the_study_file(folder: Path, monkeypatch: pytest.MonkeyPatch, data: dict[str, Any]) -> None:
    for seed, part in enumerate(("validation", "test")):
        for label in (0, 1):
            events(10 + 2 * seed + label).to_csv(folder / "data" / f"{part}_{label}.csv", index=False)
    monkeypatch.chdir("/")
    study = load_study(write(folder, **data))
    assert len(study.load_data().class_names) == 2


def test_override_of_a_key(folder: Path) -> None:
    study = load_study(
        write(folder, **GOOD), ["data.cut=pt > 20", "data.exclude=[Jet_*, run, mass]", "data.split=[0.6, 0.2, 0.2]"]
    )
    assert (study.data.cut, study.data.exclude, study.data.split) == (
        "pt > 20",
        ("Jet_*", "run", "mass"),
        (0.6, 0.2, 0.2),
    )


Bad = tuple[dict[str, Any], list[str]]
CLASSES = {"s": "data/sig.csv", "b": "data/wz.csv"}
WITHOUT_TEXT: dict[str, Any] = {"source": CLASSES, "exclude": ["channel"]}

BAD: list[Bad] = [
    ({"source": 5.5}, ["data.source = 5.5", "a path, a glob or a list"]),
    ({"source": {"s": 1.5, "b": "data/wz.csv"}}, ["data.source.s = 1.5", "a path, a glob or a list"]),
    ({"source": {"s": "data/sig.csv", "b": []}}, ["data.source.b = []", "a path, a glob or a list"]),
    ({"source": {"s": "data/sig.csv"}}, ["data.source", "at least 2 classes"]),
    ({"source": {"s": "data/sig.csv", "b": "data/zz*.csv"}}, ["data.source.b", "zz*.csv", "at least one file"]),
    ({"source": {"s": "data/sig.csv", "b": "data/less.csv"}}, ["data.source", "same columns", "less.csv", "mass"]),
    ({"source": {"s": "data/cut_off.root", "b": "data/wz.root"}}, ["data.source.s", "cannot be read as root"]),
    ({"source": {"s": "data/sig.root:Evts", "b": "data/wz.root"}}, ["data.source.s", "no tree 'Evts'", "Events"]),
    ({"source": BY_CLASS}, ["data.features", "a list in Jet_pt", "Jet_pt[:3]"]),
    ({"source": "data/nested.parquet", "target": "y"}, ["data.features", "track (struct<x: int64>)"]),
    ({"source": "data/mixed.parquet", "target": "y"}, ["data.source", "numeric", "eta holds 'a' in row 1"]),
    ({"source": CLASSES}, ["data.source", "numeric feature columns only, unlike channel"]),
    ({"source": CLASSES, "encode": "label"}, ["data.encode = 'label'", "'onehot' or null"]),
    ({**WITHOUT_TEXT, "impute": "zero"}, ["data.impute = 'zero'", "'mean', 'median' or null"]),
    ({**WITHOUT_TEXT, "missing": ["x"]}, ["data.missing.0 = 'x'", "valid number"]),
    ({**WITHOUT_TEXT, "missing": [-999]}, ["data.source", "lack values", "mass", "data.impute"]),
    ({**WITHOUT_TEXT, "features": []}, ["data.features = []", "at least one column"]),
    ({**WITHOUT_TEXT, "features": ["pt", "phi"]}, ["data.features = 'phi'", "column"]),
    ({**WITHOUT_TEXT, "exclude": ["Kaggle*"]}, ["data.exclude = 'Kaggle*'", "match"]),
    ({**WITHOUT_TEXT, "weight": "genn"}, ["data.weight = 'genn'", "did you mean 'gen'"]),
    ({"source": CLASSES, "weight": "channel"}, ["data.weight = 'channel'", "numbers", "'e'"]),
    (
        {"source": {"s": "data/sig.csv", "b": "data/weightless.csv"}, "exclude": "channel", "weight": "gen"},
        ["data.weight = 'gen'", "'b' is 0"],
    ),
    ({**WITHOUT_TEXT, "weight": "eta"}, ["data.weight = 'eta'", "sum above 0"]),
    ({**WITHOUT_TEXT, "cut": "pt >"}, ["data.cut = 'pt >'", "must be a condition"]),
    ({**WITHOUT_TEXT, "cut": "phi > 1"}, ["data.cut = 'phi > 1'", "phi is none"]),
    ({**WITHOUT_TEXT, "cut": "__import__('os').getcwd() == ''"}, ["data.cut", "__import__"]),
    ({**WITHOUT_TEXT, "cut": "(lambda: pt)() > 1"}, ["data.cut", "lambda"]),
    ({**WITHOUT_TEXT, "cut": "pt.size > 1"}, ["data.cut", "pt.size"]),
    ({**WITHOUT_TEXT, "cut": "pt['x'] > 1"}, ["data.cut", "pt['x']"]),
    ({**WITHOUT_TEXT, "cut": "pt > 1e9"}, ["data.cut", "none of 120"]),
    ({**WITHOUT_TEXT, "signal": "sig"}, ["data.signal = 'sig'", "b, s"]),
    ({**WITHOUT_TEXT, "target": "channel"}, ["data.target = 'channel'", "left out"]),
    ({**WITHOUT_TEXT, "split": "random"}, ["data.split = 'random'", "{group: COLUMN}"]),
    ({**WITHOUT_TEXT, "split": {"by": "run"}}, ["data.split", "{group: COLUMN}"]),
    ({**WITHOUT_TEXT, "split": {"group": "eventt"}}, ["data.split = 'eventt'", "did you mean 'event'"]),
    (
        {**WITHOUT_TEXT, "split": {"group": "run", "fractions": [0.9, 0.09, 0.01]}, "cut": "run < 2"},
        ["data.split by 'run'", "no rows"],
    ),
    ({**WITHOUT_TEXT, "split": {"column": "run"}}, ["data.split.column = 'run'", "training, validation or test"]),
    (
        {"source": "data/all.csv", "target": "y", "split": {"validation": "data/all.csv", "test": "data/sig.csv"}},
        ["data.source and data.split.validation", "named twice"],
    ),
    ({"source": "data/all.csv"}, ["data.target is missing"]),
    ({"source": "data/all.csv", "target": "y", "feature": ["pt"]}, ["data.feature", "did you mean data.features"]),
]


@pytest.mark.parametrize(("data", "words"), BAD)
def test_bad_input_is_one_sentence_and_writes_nothing(
    folder: Path,
    data: dict[str, Any],
    words: list[str],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study = write(folder, **data)
    monkeypatch.chdir(folder)
    before = sorted(folder.rglob("*"))
    assert main(["check", str(study)]) == 2
    sentence = capfd.readouterr().err
    assert len(sentence.strip().splitlines()) == 1
    assert [word for word in words if word not in sentence] == [], sentence
    assert sorted(folder.rglob("*")) == before


def test_every_file_type_gives_the_same_trial(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    results = []
    for kind in ("csv", "root"):
        source = {"s": f"data/sig.{kind}", "b": f"data/wz.{kind}"}
        data = load_study(write(folder, source=source, features=["pt", "eta", "run"])).load_data()
        results.append((data.fingerprint, data.train.x.tolist()))
    assert results[0] == results[1]
