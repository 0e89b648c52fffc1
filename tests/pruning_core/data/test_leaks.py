"""What gives the label away is said aloud, and nothing else is."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from small_tables import LABELS, frame, load

from pruning_core.data import load_dataset
from pruning_core.data.leaks import NAMED_LIKE_ID, SAMPLE, best_auc, label_warnings, raw_warnings, shared_rows


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=2, max_size=40))
def test_the_area_under_the_curve_is_that_of_scikit_learn(rows: list[tuple[int, bool]]) -> None:
    values, y = np.array([row[0] for row in rows], dtype=float), np.array([int(row[1]) for row in rows])
    if 0 < y.sum() < len(y):
        area = roc_auc_score(y, values)
        assert best_auc(values, y) == pytest.approx(max(area, 1 - area), abs=1e-9)
    else:
        assert best_auc(values, y) == 0.5


def test_an_input_that_knows_the_label_is_named(tmp_path: Path) -> None:
    label = np.array(LABELS) == "yes"
    data = load(frame(knows=np.where(label, 3.0, 1.0), half=np.where(label, 1.0, np.arange(30) // 2 % 2)), tmp_path)
    (warning,) = data.warnings
    assert "knows (AUC 1.000)" in warning
    assert "half" not in warning
    three = load(frame(label=["a", "b", "c"] * 10, knows=[1, 0, 0] * 10), tmp_path)
    assert "knows (AUC 1.000)" in three.warnings[0]


def test_an_id_is_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"serial": rng.permutation(200), "x": rng.normal(size=200), "n": rng.integers(0, 9, 200)})
    (warning,) = load(rows.assign(label=rng.integers(0, 2, 200)), tmp_path).warnings
    assert "another whole number in (almost) every row" in warning
    assert warning.endswith("serial")


IDS = """
Id id EventId event_id jet_ID event eventNumber event_number run runNumber RUN lumi luminosityBlock evt
Weight KaggleWeight gen_weight genWeight weight_mu WEIGHT
"""
OTHERS = "width height pid_score grid valid fluid n_jet running truncated_mean idle"


def test_names_of_ids_and_weights() -> None:
    assert [name for name in IDS.split() if not NAMED_LIKE_ID.fullmatch(name)] == []
    assert [name for name in OTHERS.split() if NAMED_LIKE_ID.fullmatch(name)] == []


def test_rows_that_train_and_test_share_are_counted(tmp_path: Path) -> None:
    table = frame()
    part = ["training"] * 20 + ["validation"] * 5 + ["test"] * 5
    table.loc[25:27, ["height", "width", "depth"]] = table.loc[:2, ["height", "width", "depth"]].to_numpy()
    (warning,) = load(table.assign(part=part), tmp_path, split={"column": "part"}).warnings
    assert warning.startswith("3 of the 5 rows of the test part have the same inputs")


@given(st.data())
def test_shared_rows_are_those_of_a_set(data: st.DataObject) -> None:
    rows = st.lists(st.tuples(st.integers(-1, 1), st.integers(-1, 1)), min_size=1, max_size=9)
    train, test = data.draw(rows), data.draw(rows)
    expected = sum(row in set(train) for row in test)
    assert shared_rows(np.array(train, np.float32), np.array(test, np.float32) * np.float32(1)) == expected


def test_a_sample_of_many_rows_is_enough() -> None:
    rows = 10 * SAMPLE
    x = np.stack([np.arange(rows, dtype=float), np.arange(rows) % 2], axis=1)
    assert "serial" in raw_warnings(x, ["serial", "bit"])[0]
    assert "bit" in label_warnings(x, (np.arange(rows) % 2).astype(np.int64), ["serial", "bit"])[0]


@pytest.mark.parametrize("source", ["digits", "breast_cancer", "wine"])
def test_clean_data_gives_no_such_warning(source: str) -> None:
    data = load_dataset(source, folder=Path())
    assert data.cautions == ()
    assert data.warnings == ([f"dropped constant columns: {', '.join(data.dropped)}"] if data.dropped else [])
