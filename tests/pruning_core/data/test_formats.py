"""The same rows in every format, opened from here or far away, give the same tensors."""

import bz2
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import fsspec
import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import uproot
from small_tables import frame, load

from pruning_core.data import DataError, load_dataset

JETS = [[float(i), -float(i)][: i % 3] for i in range(30)]


def table() -> pd.DataFrame:
    """Thirty rows of numbers and truth values in no order that a format would give them, the label a number."""
    more = {"x10": np.arange(30.0) ** 2, "x2": np.arange(30) % 11, "MET": np.arange(30) ** 0.5}
    rows = frame(**more, flag=[True, False, True] * 10, count=np.arange(30) % 7, label=[0, 1] * 15).round(3)
    return rows[["width", "x10", "label", "flag", "x2", "MET", "depth", "count", "height"]]


def columns(rows: pd.DataFrame) -> dict[str, np.ndarray]:
    return {str(name): rows[name].to_numpy() for name in rows}


def compress(write: Callable[[str], bytes]) -> Callable[[pd.DataFrame, Path], Any]:
    return lambda rows, path: path.write_bytes(write(rows.to_csv(index=False)))


def zstd(text: str) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(text.encode())
    return bytes(sink.getvalue())


def to_npz(rows: pd.DataFrame, path: Path) -> None:
    np.savez(path, **columns(rows))  # type: ignore[arg-type]


def to_matrix(rows: pd.DataFrame, path: Path) -> None:
    inputs = rows.drop(columns="label")
    names = np.array(list(inputs))
    np.savez(path, x=inputs.to_numpy(np.float64), names=names, label=rows["label"].to_numpy())


def to_group(rows: pd.DataFrame, path: Path) -> None:
    with h5py.File(path, "w") as file:
        group = file.create_group("events")
        for name, values in columns(rows).items():
            group[name] = values


def to_records(rows: pd.DataFrame, path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["events"] = rows.to_records(index=False)


def to_tree(rows: pd.DataFrame, path: Path) -> None:
    with uproot.recreate(path) as file:
        tree = file.mktree("events", {name: values.dtype for name, values in columns(rows).items()})
        tree.extend(columns(rows))


def to_ntuple(rows: pd.DataFrame, path: Path) -> None:
    with uproot.recreate(path) as file:
        file["events"] = columns(rows)


FORMATS: dict[str, Callable[[pd.DataFrame, Path], Any]] = {
    "t.csv": lambda rows, path: rows.to_csv(path, index=False),
    "semicolons.csv": lambda rows, path: rows.to_csv(path, index=False, sep=";"),
    "spaces.csv": lambda rows, path: rows.to_csv(path, index=False, sep=" "),
    "decimal_commas.csv": lambda rows, path: rows.to_csv(path, index=False, sep=";", decimal=","),
    "byte_order_mark.csv": lambda rows, path: rows.to_csv(path, index=False, encoding="utf-8-sig"),
    "utf_16.csv": lambda rows, path: rows.to_csv(path, index=False, encoding="utf-16"),
    "t.tsv": lambda rows, path: rows.to_csv(path, index=False, sep="\t"),
    "t.csv.gz": compress(lambda text: gzip.compress(text.encode())),
    "t.csv.bz2": compress(lambda text: bz2.compress(text.encode())),
    "t.csv.zst": compress(zstd),
    "t.parquet": lambda rows, path: rows.to_parquet(path),
    "t.feather": lambda rows, path: rows.to_feather(path),
    "t.npz": to_npz,
    "matrix.npz": to_matrix,
    "group.h5": to_group,
    "records.hdf5": to_records,
    "tree.root": to_tree,
    "ntuple.root": to_ntuple,
}


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_rows_give_the_same_tensors(tmp_path: Path, name: str) -> None:
    rows = table()
    expected = load(rows, tmp_path)
    FORMATS[name](rows, tmp_path / name)
    data = load_dataset(name, target="label", folder=tmp_path)
    assert data.feature_names == ("MET", "count", "depth", "flag", "height", "width", "x2", "x10")
    assert data.class_names == ("0", "1")
    assert data.fingerprint == expected.fingerprint
    for part, other in (
        (data.train, expected.train),
        (data.validation, expected.validation),
        (data.test, expected.test),
    ):
        assert part is not None
        assert other is not None
        assert torch.equal(part.x, other.x)
        assert torch.equal(part.y, other.y)


NATURAL = ("B", "a001", "a01", "a1", "a2", "a10", "b", "jet 3", "x", "x9y", "x10a", "z" + "9" * 30, "ß", "μ")


@pytest.mark.parametrize("features", [None, ["*[!l]"]], ids=["all", "glob"])
@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.parquet", "t.npz", "group.h5", "tree.root", "ntuple.root"])
def test_odd_names_come_in_the_natural_order_from_every_format(
    tmp_path: Path, name: str, features: list[str] | None
) -> None:
    rng = np.random.default_rng(0)
    scrambled = [NATURAL[i] for i in rng.permutation(len(NATURAL))]
    rows = pd.DataFrame({**{name: rng.normal(size=30) for name in scrambled}, "label": [0, 1] * 15})
    FORMATS[name](rows, tmp_path / name)
    data = load_dataset(name, target="label", features=features, folder=tmp_path)
    assert data.feature_names == NATURAL
    assert data.fingerprint == load(rows, tmp_path, features=features).fingerprint


def test_the_order_of_a_named_set_is_its_own(tmp_path: Path) -> None:
    data = load_dataset("breast_cancer", features=["mean*"], folder=tmp_path)
    assert data.feature_names[:3] == ("mean radius", "mean texture", "mean perimeter")


def test_a_source_says_the_order_of_the_file(tmp_path: Path) -> None:
    table = frame(channel=["mu", "e"] * 15, flat=1)[["width", "channel", "height", "flat", "label", "depth"]]
    source = load(table, tmp_path, encode="onehot").source
    assert source is not None
    assert source.columns == ("width", "channel=e", "channel=mu", "height", "flat", "depth")
    assert source.dtypes == ("float64", "float64", "float64", "float64", "int64", "float64")
    assert set(source.head[:, 0]) <= set(table["width"])
    assert (source.head[:, 4] == 1).all()


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.parquet", "t.feather", "t.npz", "records.hdf5", "tree.root"])
def test_a_url_is_read_by_fsspec(tmp_path: Path, name: str) -> None:
    rows = table()
    FORMATS[name](rows, tmp_path / name)
    url = f"memory://{tmp_path.name}/{name}"
    with fsspec.filesystem("memory").open(url, "wb") as file:
        file.write((tmp_path / name).read_bytes())
    assert load_dataset(url, target="label", folder=tmp_path).fingerprint == load(rows, tmp_path).fingerprint
    pattern = url.replace(name, name.replace("t", "?", 1))
    assert load_dataset(pattern, target="label", folder=tmp_path).fingerprint == load(rows, tmp_path).fingerprint


@pytest.mark.parametrize("name", [name for name in FORMATS if "csv" not in name and "tsv" not in name])
def test_a_truncated_file_is_refused(tmp_path: Path, name: str) -> None:
    FORMATS[name](table(), tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=f"data.source = '{name}' cannot be read as"):
        load_dataset(name, target="label", folder=tmp_path)


@pytest.mark.parametrize("name", ["t.csv.gz", "t.csv.bz2", "t.csv.zst"])
def test_truncated_compressed_text_is_refused(tmp_path: Path, name: str) -> None:
    FORMATS[name](table(), tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[:-5])
    with pytest.raises(DataError, match=f"data.source = '{name}' cannot be read as csv"):
        load_dataset(name, target="label", folder=tmp_path)


def test_thousands_are_read_where_they_are_clear(tmp_path: Path) -> None:
    rows = table().assign(height=np.linspace(1, 9e5, 30).round(2))
    expected = load(rows, tmp_path)
    rows.assign(height=[f"{value:,.2f}" for value in rows["height"]]).to_csv(tmp_path / "english.csv", index=False)
    assert load_dataset("english.csv", target="label", folder=tmp_path).fingerprint == expected.fingerprint
    swapped = {",": ".", ".": ","}
    german = ["".join(swapped.get(sign, sign) for sign in f"{value:,.2f}") for value in rows["height"]]
    rows.assign(height=german).to_csv(tmp_path / "german.csv", index=False, sep=";", decimal=",")
    data = load_dataset("german.csv", target="label", folder=tmp_path)
    torch.testing.assert_close(data.train.x, expected.train.x)


def write_lists(path: Path) -> None:
    rows = columns(table())
    jets = ak.values_astype(ak.Array(JETS), np.float32)
    fixed = np.arange(60.0).reshape(30, 2) ** 0.5
    names = ak.Array(["mu", "e"] * 15)
    match path.name:
        case "tree.root":
            with uproot.recreate(path) as file:
                kinds = {name: values.dtype for name, values in rows.items()}
                more = {"jet_pt": "var * float32", "fixed": (np.float64, (2,)), "channel": "string"}
                file.mktree("events", {**kinds, **more}).extend(
                    {**rows, "jet_pt": jets, "fixed": fixed, "channel": names}
                )
        case "ntuple.root":
            with uproot.recreate(path) as file:
                file["events"] = {**rows, "jet_pt": jets, "fixed": fixed, "channel": names}
        case "lists.h5":
            to_group(table(), path)
            with h5py.File(path, "a") as file:
                group = file["events"]
                group["fixed"], group["channel"] = fixed, ["mu", "e"] * 15
                ragged = group.create_dataset("jet_pt", (30,), h5py.vlen_dtype(np.float32))
                for i, jet in enumerate(JETS):
                    ragged[i] = jet
        case "lists.parquet":
            rows_and_lists = table().assign(jet_pt=ak.to_list(jets), fixed=fixed.tolist(), channel=["mu", "e"] * 15)
            arrow = pa.Table.from_pandas(rows_and_lists)
            pos = arrow.schema.get_field_index("jet_pt")
            arrow = arrow.set_column(pos, "jet_pt", arrow["jet_pt"].cast(pa.list_(pa.float32())))
            pq.write_table(arrow, path)


@pytest.mark.parametrize("name", ["tree.root", "ntuple.root", "lists.h5", "lists.parquet"])
def test_elements_of_lists_are_inputs(tmp_path: Path, name: str) -> None:
    write_lists(tmp_path / name)
    common: dict[str, Any] = {"target": "label", "folder": tmp_path, "impute": "mean", "encode": "onehot"}
    data = load_dataset(name, features=["height", "*_pt[:2]", "fixed[1]", "channel"], **common)
    assert data.feature_names == ("height", "jet_pt[0]", "jet_pt[1]", "fixed[1]", "channel=e", "channel=mu")
    assert data.missing == pytest.approx((0, 1 / 3, 2 / 3, 0, 0, 0))
    assert data.source is not None
    assert data.source.dtypes[1] == "float32"
    first = [jet[0] for jet in JETS if jet]
    raw = torch.cat(
        [part.x[:, 1] * data.scale[1] + data.mean[1] for part in (data.train, data.validation, data.test) if part]
    )
    filling = data.filling
    assert filling is not None
    known = raw[(raw - filling[1]).abs() > 1e-3]
    np.testing.assert_allclose(sorted(known.tolist()), sorted(first), rtol=1e-5, atol=1e-5)
    with pytest.raises(DataError, match=r"has a list in jet_pt, fixed|has a list in fixed, jet_pt"):
        load_dataset(name, **common)
    with pytest.raises(DataError, match=r"data.target = 'jet_pt' must hold one value per row"):
        load_dataset(name, **{**common, "target": "jet_pt"})


def test_the_only_tree_is_found_and_one_of_several_is_named(tmp_path: Path) -> None:
    with uproot.recreate(tmp_path / "two.root") as file:
        for name in ("folder/one", "two"):
            file.mktree(name, {key: values.dtype for key, values in columns(table()).items()}).extend(columns(table()))
    data = load_dataset("two.root:folder/one", target="label", folder=tmp_path)
    assert data.fingerprint == load(table(), tmp_path).fingerprint
    for given, words in (
        ("two.root", ["must name one tree", "two.root:folder/one"]),
        ("two.root:twoo", ["no tree 'twoo'", "did you mean 'two'"]),
    ):
        with pytest.raises(DataError) as caught:
            load_dataset(given, target="label", folder=tmp_path)
        assert [word for word in words if word not in str(caught.value)] == []
    assert load_dataset("tw*.root:two", target="label", folder=tmp_path).fingerprint == data.fingerprint


def test_the_parts_of_records_are_columns(tmp_path: Path) -> None:
    rows = columns(table())
    with uproot.recreate(tmp_path / "records.root") as file:
        file["ntuple"] = {"label": rows["label"], "jet": ak.zip({name: rows[name] for name in ("height", "width")})}
        kinds = {"label": "i4", "jet": "f8", "jet.err": "f8"}
        file.mktree("tree", kinds).extend({"label": rows["label"], "jet": rows["height"], "jet.err": rows["width"]})
    parts = load_dataset("records.root:ntuple", target="label", cut="`jet.height` < 9", folder=tmp_path)
    assert parts.feature_names == ("jet.height", "jet.width")
    names = load_dataset("records.root:tree", target="label", folder=tmp_path)
    assert names.feature_names == ("jet", "jet.err")
    assert torch.equal(parts.train.x, names.train.x)


@pytest.mark.parametrize(("package", "extra", "name"), [("uproot", "root", "tree.root"), ("h5py", "hdf5", "group.h5")])
def test_a_missing_package_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, extra: str, name: str
) -> None:
    FORMATS[name](table(), tmp_path / name)
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(DataError, match=rf"'{name}' needs the package {package}.*deeppp\[{extra}\]"):
        load_dataset(name, target="label", folder=tmp_path)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("s3://bucket/a.csv", "needs the package s3fs"),
        ("root://host//a.root:Events", "needs the package fsspec-xrootd"),
        ("odd://host/a.csv", "needs a plug-in of fsspec"),
        ("memory://nothing/here.csv", "must be a file that exists"),
        ("memory://nothing/*.csv", "must match at least one file"),
    ],
)
def test_urls_that_cannot_be_read(tmp_path: Path, url: str, words: str) -> None:
    with pytest.raises(DataError) as caught:
        load_dataset(url, target="label", folder=tmp_path)
    assert words in str(caught.value)
