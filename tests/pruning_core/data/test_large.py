"""Large data is read in blocks of columns, kept prepared, and shared; each test says what is large."""

import pickle
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from small_tables import frame, load

from pruning_core.data import Dataset, Part, load_dataset
from pruning_core.data.cache import MOST
from pruning_core.data.large import ROWS_AT_ONCE
from pruning_core.data.prepare import Table

PARTS = ("train", "validation", "test")
Large = Callable[[int], None]


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> Large:
    """Says how many values are large data."""
    return lambda values: monkeypatch.setattr("pruning_core.data.large.LARGE", values)


def events(rows: int = 300) -> pd.DataFrame:
    """Three numbers, one with gaps, a constant, text, a weight of which some are negative, and a run."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame({name: rng.normal(size=rows) for name in ("pt", "eta", "mass")})
    table.loc[::9, "mass"] = np.nan
    kinds: dict[str, Any] = {
        "flat": 1.0,
        "channel": rng.choice(["e", "mu", "tau"], rows),
        "flag": rng.random(rows) < 0.5,
    }
    return table.assign(**kinds, w=rng.normal(1, 0.7, rows), run=np.arange(rows) // 5, y=rng.integers(0, 2, rows))


KEYS: dict[str, Any] = {
    **{"target": "y", "impute": "median", "encode": "onehot", "weight": "w", "split": {"group": "run"}},
    "source": "events.parquet",
}


def same(one: Dataset, other: Dataset, rounding: float = 0) -> None:
    """Equal words and tensors, those but for rounding."""
    close = partial(torch.testing.assert_close, rtol=rounding, atol=rounding)
    for name in PARTS:
        for a, b in zip(columns(getattr(one, name)), columns(getattr(other, name)), strict=True):
            close(a, b)
    for field in ("name", "feature_names", "class_names", "dropped", "missing", "cautions", "rows_read", "rows_kept"):
        assert getattr(one, field) == getattr(other, field)
    assert one.source is not None
    assert other.source is not None
    for field in ("given", "columns", "dtypes", "classes", "named", "missing"):
        assert getattr(one.source, field) == getattr(other.source, field)
    np.testing.assert_array_equal(one.source.head, other.source.head)
    for field in ("mean", "scale", "filling"):
        close(getattr(one, field), getattr(other, field))


def columns(part: Part) -> list[torch.Tensor]:
    return [column for column in (part.x, part.y, part.weight, part.group) if column is not None]


@pytest.mark.parametrize("at_once", [2, 5])
def test_blocks_of_columns_come_to_what_the_whole_table_does(tmp_path: Path, large: Large, at_once: int) -> None:
    events().to_parquet(tmp_path / "events.parquet")
    whole = load_dataset(**KEYS, folder=tmp_path)
    large(at_once * 300)
    shares: list[float] = []
    data = load_dataset(**KEYS, folder=tmp_path, progress=shares.append)
    same(data, whole, rounding=1e-6)
    assert data.feature_names == ("channel=e", "channel=mu", "channel=tau", "eta", "flag", "mass", "pt")
    assert data.fingerprint != whole.fingerprint
    assert shares == [pytest.approx(n / 6) for n in range(1, 7)]


def test_a_changed_value_changes_the_fingerprint_of_large_data(tmp_path: Path, large: Large) -> None:
    large(40)
    one = load(frame(), tmp_path).fingerprint
    assert load(frame(), tmp_path).fingerprint == one
    table = frame()
    table["width"] = table["width"].where(table.index < 29, table["width"] + 1e-12)
    assert load(table, tmp_path).fingerprint != one


def test_large_data_takes_little_more_than_its_tensors(
    tmp_path: Path, large: Large, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    rows = {f"x{i}": rng.standard_normal(60_000, np.float32) for i in range(100)}
    pd.DataFrame({**rows, "flat": np.float32(0), "y": rng.integers(0, 2, 60_000)}).to_parquet(tmp_path / "t.parquet")
    large(2**17)
    monkeypatch.setattr("pruning_core.data.leaks.SAMPLE", 1000)
    tracemalloc.start()
    data = load_dataset("t.parquet", target="y", folder=tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    tensors = sum(4 * part.x.numel() + 8 * part.y.numel() for part in (data.train, data.validation, data.test) if part)
    assert data.dropped == ("flat",)
    assert peak < 1.5 * tensors


def test_a_table_closes_up_in_place_and_grows_where_there_is_no_room() -> None:
    rows = ROWS_AT_ONCE + 10
    x = np.arange(5.0 * rows).reshape(rows, 5)
    for room in (1, 3, 5, 9):
        table = Table(rows, room)
        for columns in (x[:, :2], x[:, 2:4], x[:, 4:]):
            table.add(columns)
        closed = table.closed()
        assert closed.flags.c_contiguous
        assert np.array_equal(closed, x.astype(np.float32))


def test_the_second_time_tensors_are_mapped_and_nothing_is_read(tmp_path: Path, large: Large) -> None:
    events().to_parquet(tmp_path / "events.parquet")
    large(600)
    first = load_dataset(**KEYS, folder=tmp_path, cache=tmp_path / "runs" / "data")
    reads: list[float] = []
    second = load_dataset(**KEYS, folder=tmp_path, cache=tmp_path / "runs" / "data", progress=reads.append)
    same(first, second)
    assert first.fingerprint == second.fingerprint
    assert reads == []
    second.train.x[0] = 7  # stays in this process
    same(first, load_dataset(**KEYS, folder=tmp_path, cache=tmp_path / "runs" / "data"))
    assert {path.suffix for path in (tmp_path / "runs").rglob("*.*")} == {".npy", ".json"}


def test_another_file_or_another_key_is_prepared_anew(tmp_path: Path, large: Large) -> None:
    table, path, cache = events(), tmp_path / "events.parquet", tmp_path / "data"
    table.to_parquet(path)
    large(600)

    def read(**keys: Any) -> Dataset:
        return load_dataset(**{**KEYS, **keys}, folder=tmp_path, cache=cache)

    one = read()
    assert read(impute="mean").fingerprint == one.fingerprint
    assert read(impute="mean").filling.tolist() != one.filling.tolist()  # type: ignore[union-attr]
    table.assign(pt=table["pt"] + 1).to_parquet(path)
    assert read().fingerprint != one.fingerprint
    used = {folder.name for folder in cache.iterdir()}
    assert len(used) == MOST == 3
    read(split_seed=1)
    kept = {folder.name for folder in cache.iterdir()}
    assert len(kept) == MOST
    assert len(kept - used) == 1


def test_a_broken_cache_is_made_anew(tmp_path: Path, large: Large) -> None:
    events().to_parquet(tmp_path / "events.parquet")
    large(600)
    first = load_dataset(**KEYS, folder=tmp_path, cache=tmp_path / "data")
    (folder,) = (tmp_path / "data").iterdir()
    for name, content in (("train.x.npy", b"\x93NUMPY"), ("data.json", b"{}")):
        (folder / name).unlink()
        (folder / name).write_bytes(content)
        same(load_dataset(**KEYS, folder=tmp_path, cache=tmp_path / "data"), first)
        assert (folder / name).stat().st_size > 20


def test_small_data_is_not_kept_and_a_full_disk_costs_a_warning(tmp_path: Path, large: Large) -> None:
    events().to_parquet(tmp_path / "events.parquet")
    load_dataset(**KEYS, folder=tmp_path, cache=tmp_path / "data")
    assert not (tmp_path / "data").exists()
    (tmp_path / "data").touch()
    large(600)
    data = load_dataset(**KEYS, folder=tmp_path, cache=tmp_path / "data" / "deeper")
    assert f"could not be kept in {tmp_path / 'data' / 'deeper'}" in data.warnings[-1]


def test_rows_of_a_group_bear_its_number(tmp_path: Path) -> None:
    table = events().drop(columns="channel").fillna(0.0).assign(x=np.arange(300.0))
    data = load(table, tmp_path, target="y", split={"group": "run"})
    place = data.feature_names.index("x")
    for name in PARTS:
        part = getattr(data, name)
        rows = (part.x[:, place] * data.scale[place] + data.mean[place]).round()
        assert part.group.tolist() == (rows // 5).tolist()
    assert load(table, tmp_path, target="y").train.group is None


def test_pickled_parts_share_the_memory_of_large_columns_only(large: Large) -> None:
    part = Part(torch.rand(50, 4), torch.arange(50), weight=torch.rand(50, dtype=torch.float64))
    large(100)
    buffers: list[pickle.PickleBuffer] = []
    text = pickle.dumps(part, protocol=5, buffer_callback=buffers.append)
    held = [bytes(buffer.raw()) for buffer in buffers]  # as Ray's object store holds them, to be read only
    there = pickle.loads(text, buffers=held)
    assert there.x.data_ptr() == np.frombuffer(held[0]).__array_interface__["data"][0]
    there.y[0] = 9
    assert pickle.loads(text, buffers=held).y.tolist() == part.y.tolist()
    assert torch.equal(there.x, part.x)
    assert there.group is None
