"""The published model answers to the very file that it learnt from, and to what its users make of such rows."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.pyfunc.scoring_server import invocations
from small_models import trained

from pruning_core.data import load_dataset
from search.record.pruned_network import DESCRIPTION, PrunedNetwork
from search.record.tracking import Tracking
from search.study import Study

ROWS = 120
KIND = np.arange(ROWS) % 3
RANDOM = np.random.default_rng(0)
COUNT = 20 * KIND + RANDOM.integers(-4, 5, ROWS)
SIZE = 2.5 * (KIND % 2) + 0.2 * RANDOM.normal(size=ROWS)
FLAG = KIND == 1
NOISE = RANDOM.normal(size=ROWS)
HOLES = np.arange(ROWS) % 11 == 0


@pytest.fixture
def publish(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Trains on a file, publishes the network that needs `count`, `size` and `flag`, and loads it as users do."""
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)

    def published(name: str, inputs: tuple[str, ...] = ("count", "size", "flag"), **keys: Any) -> Any:
        data = load_dataset(name, target="kind", folder=tmp_path, **keys)
        tracking = Tracking(uri, "study", tmp_path / "mlartifacts")
        study = Study.model_validate({"name": "study", "data": {"source": "wine", "keep": 2}})
        tracking.open_search("study", study, "", tmp_path, resume=False)
        tracking.start_trial(0, {"strategy": "stepped"})
        network = trained(data, keep=3)
        tracking.log_model(0, replace(network, inputs=inputs), data, keys.get("impute"))
        return mlflow.pyfunc.load_model("models:/study/1")

    return published


def table(**columns: Any) -> pd.DataFrame:
    made = {"count": COUNT, "size": SIZE, "flag": FLAG, "noise": NOISE, "kind": np.array([9, 10, 100])[KIND]}
    return pd.DataFrame({**made, **columns})


FILES: dict[str, tuple[dict[str, Any], str]] = {
    "plain numbers": ({}, "csv"),
    "plain numbers in Parquet": ({}, "parquet"),
    "narrow numbers": ({"count": COUNT.astype("int8"), "size": SIZE.astype("float32")}, "parquet"),
    "half precision": ({"size": SIZE.astype("float16")}, "parquet"),
    "unsigned numbers": ({"count": (COUNT + 10).astype("uint64")}, "feather"),
    "nullable numbers": ({"count": pd.array(COUNT, dtype="Int64")}, "parquet"),
    "categories": ({"count": pd.Categorical(COUNT), "flag": pd.Categorical(FLAG)}, "feather"),
    "labels as categories": ({"kind": pd.Categorical(np.array([9, 10, 100])[KIND])}, "feather"),
    "labels of text": ({"kind": np.array(["brie", "feta", "010"])[KIND]}, "parquet"),
    "labels of floats": ({"kind": np.array([0.5, 1.5, 2.0], np.float32)[KIND]}, "parquet"),
    "labels of truth values": ({"kind": KIND == 1}, "parquet"),
    "gaps in floats": ({"size": np.where(HOLES, np.nan, SIZE)}, "csv"),
    "gaps in whole numbers": ({"count": pd.Series(COUNT).mask(HOLES).astype("Int64")}, "parquet"),
    "gaps in truth values": ({"flag": pd.Series(FLAG, dtype="boolean").mask(HOLES)}, "parquet"),
    "gaps in truth values of text": ({"flag": pd.Series(FLAG, dtype="boolean").mask(HOLES)}, "csv"),
}


def read(path: Path) -> pd.DataFrame:
    frame: pd.DataFrame = getattr(pd, f"read_{path.suffix[1:]}")(path)
    return frame


@pytest.mark.parametrize("name", FILES)
def test_the_model_speaks_to_the_file_that_it_learnt_from(
    name: str, tmp_path: Path, publish: Callable[..., Any]
) -> None:
    columns, kind = FILES[name]
    path = tmp_path / f"cheese.{kind}"
    frame = table(**columns)
    frame.to_csv(path, index=False) if kind == "csv" else getattr(frame, f"to_{kind}")(path)
    model = publish(path.name, impute="mean")
    there = read(path)
    rows = there.drop(columns="kind")
    answers = model.predict(rows)
    assert set(answers) <= set(there["kind"])
    assert (answers == there["kind"]).mean() > 0.6
    wide = rows.astype({c: "float64" for c in ("count", "size") if not rows[c].isna().any()})
    network = PrunedNetwork(next(tmp_path.rglob(DESCRIPTION)).parent)
    assert np.array_equal(network.predict(rows.to_numpy(np.float64, na_value=np.nan)), answers)  # in the file's order
    for same in (rows[["noise", "flag", "size", "count"]], rows.assign(more="text"), wide):
        assert np.array_equal(model.predict(same), answers)


def test_rows_may_come_as_lists_and_as_requests(tmp_path: Path, publish: Callable[..., Any]) -> None:
    table(size=np.where(HOLES, np.nan, SIZE)).to_csv(tmp_path / "cheese.csv", index=False)
    model = publish("cheese.csv", impute="median")
    rows = read(tmp_path / "cheese.csv").drop(columns="kind")
    answers = model.predict(rows).tolist()
    assert model.predict(rows.to_dict("list")).tolist() == answers
    schema = model.metadata.get_input_schema()
    whole = json.loads(rows.to_json(orient="split"))
    requests: dict[str, Any] = {
        "dataframe_split": whole,
        "dataframe_records": json.loads(rows.to_json(orient="records")),
        "inputs": {name: [row[i] for row in whole["data"]] for i, name in enumerate(whole["columns"])},
    }
    for how, content in requests.items():
        said = invocations(json.dumps({how: content}), "application/json", model, schema)
        assert (said.status, json.loads(said.response)["predictions"]) == (200, answers), how


def test_inputs_that_were_made_of_text_and_lists_are_made_again(tmp_path: Path, publish: Callable[..., Any]) -> None:
    rows = table(
        channel=np.array(["ee", "mu=mu", "tau"])[KIND], jets=[[s, 1.0][: 1 + i % 2] for i, s in enumerate(SIZE)]
    )
    rows.to_parquet(tmp_path / "cheese.parquet")
    kept = ("channel=ee", "channel=mu=mu", "jets[0]")
    model = publish("cheese.parquet", kept, features=["count", "jets[:2]", "channel"], impute="mean", encode="onehot")
    there = read(tmp_path / "cheese.parquet")
    by_hand = pd.DataFrame(
        {
            "channel=ee": there["channel"] == "ee",
            "channel=mu=mu": there["channel"] == "mu=mu",
            "jets[0]": [jets[0] for jets in there["jets"]],
        }
    )
    assert np.array_equal(model.predict(there.drop(columns="kind")), model.predict(by_hand))
    assert len(set(model.predict(by_hand))) > 1
