"""Tables that do not say what they seem to say: read with the right values, or refused by a sentence that says why."""

import gzip
import io
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather as pf
import pyarrow.parquet as pq
import pytest
from small_tables import frame, load

from pruning_core.data import DataError, Dataset, load_dataset

TABLE = frame().round(3)
TEXT = TABLE.to_csv(index=False)
HEADER, *ROWS = TEXT.splitlines()
THIRD = ROWS[2].partition(",")[0]


def zipped(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, TEXT)
    return buffer.getvalue()


def with_line(line: str, place: int) -> str:
    return "\n".join([HEADER, *ROWS[:place], line, *ROWS[place:]]) + "\n"


def with_column(name: str, cells: Callable[[int], str]) -> str:
    return "\n".join([f"{HEADER},{name}", *(f"{row},{cells(i)}" for i, row in enumerate(ROWS))])


def folder_of(table: pd.DataFrame, folder: Path) -> None:
    folder.mkdir()
    table[:15].to_parquet(folder / "part-0.parquet")
    table[15:].to_parquet(folder / "part-1.parquet")
    (folder / "_SUCCESS").touch()


def write(path: Path, content: str | bytes) -> None:
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def refusal(folder: Path, source: str, **keys: Any) -> str:
    with pytest.raises(DataError) as refused:
        load_dataset(source, folder=folder, **{"target": "label", **keys})
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return load(TABLE, tmp_path_factory.mktemp("plain"))


READ: dict[str, str | bytes] = {
    "a separator behind every row.csv": "\n".join([HEADER, *(f"{row}," for row in ROWS)]),
    "comments above.csv": f"# made by hand, twice\n# 2024\n{TEXT}",
    "carriage returns.csv": TEXT.replace("\n", "\r"),
    "blank lines.csv": f"\n{TEXT}\n\n",
    "semicolons.csv": TEXT.replace(",", ";"),
    "a separator for Excel.csv": "sep=;\n" + TEXT.replace(",", ";"),
    "a quoted separator for Excel.csv": '"sep=|"\n' + TEXT.replace(",", "|"),
    "bars.csv": TEXT.replace(",", "|"),
    "quotes everywhere.csv": TABLE.to_csv(index=False, quoting=1),
    "gzip by content.csv": gzip.compress(TEXT.encode()),
    "no gzip at all.csv.gz": TEXT,
    "xz.csv.xz": lzma.compress(TEXT.encode()),
    "zip.csv.zip": zipped("table.csv"),
    "zip of a Mac.csv.zip": zipped("table.csv", "__MACOSX/._table.csv"),
}


@pytest.mark.parametrize("name", READ)
def test_the_rows_are_those_of_the_plain_table(name: str, tmp_path: Path, plain: Dataset) -> None:
    write(tmp_path / name, READ[name])
    assert load_dataset(name, target="label", folder=tmp_path).fingerprint == plain.fingerprint


REFUSED: dict[str, tuple[str | bytes, list[str]]] = {
    "more cells than names": (
        "\n".join([HEADER, *(f"7,{row}" for row in ROWS)]),
        ["cells", "header, 4", "line 2 has 5", "'7,"],
    ),
    "a separator behind one row": (TEXT.replace(ROWS[4], f"{ROWS[4]},"), ["header, 4", "line 6 has 5"]),
    "one row with more": (with_line("1,2,3,no,4", 5), ["header, 4", "line 7 has 5", "'1,2,3,no,4'"]),
    "one row with less": (with_line("1,2", 5), ["header, 4", "line 7 has 2"]),
    "a last row that is cut off": (f"{TEXT}1.0,2.0", ["line 32 has 2"]),
    "row names as R writes them": (
        '"height" "width" "depth" "label"\n'
        + "\n".join(f'"{i}" {row.replace(",", " ")}' for i, row in enumerate(ROWS)),
        ["'label' must be a column"],
    ),
    "a comment between rows": (with_line("# a pause", 5), ["line 7 has 1", "comment"]),
    "a quote that is not closed": (TEXT.replace(ROWS[9], f'"{ROWS[9]}'), ["cells", "line 31"]),
    "two columns of one name": (HEADER.replace("depth", "label") + TEXT[len(HEADER) :], ["once", "'label'"]),
    "no header": (TEXT.replace("label", "0").replace("no", "0").replace("yes", "1").partition("\n")[2], ["header"]),
    "a single wrong cell": (TEXT.replace(THIRD, "?", 1), ["height holds '?' in row 3"]),
    "percent": (with_column("share", lambda i: "5%"), ["share holds '5%' in row 1"]),
    "Swiss thousands": (with_column("price", lambda i: f"1'2{i:02}"), ['price holds "1\'200" in row 1']),
    "a date": (with_column("day", lambda i: "2024-01-02"), ["day holds '2024-01-02' in row 1"]),
    "empty": ("", ["is empty"]),
    "blank": (" \n\n", ["is empty"]),
    "a header alone": (f"{HEADER}\n", ["must hold rows", "none"]),
    "UTF-16 without a mark": (TEXT.encode("utf-16-le"), ["zero bytes", "UTF-16"]),
    "Latin 1": (TEXT.replace("yes", "ja wohl ä").encode("latin-1"), ["UTF-8", "line 3 ", "0xe4"]),
    "Latin 1 at the end": (TEXT.encode() + "1,2,3,é".encode("latin-1"), ["UTF-8", "line 32 ", "0xe9"]),
    "a pointer of Git LFS": ("version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 9\n", ["git lfs pull"]),
    "a page that says not found": ("\n<!DOCTYPE html><html><body>Not, found</body></html>", ["a page of HTML"]),
    "JSON": (TABLE.to_json(), ["'label' must be a column"]),
    "a header that is repeated": (with_line(HEADER, 9), ["class 'label' has 1 rows"]),
    "a line of units": (with_line("m,m,m,", 0), ["data.target", "row 1 "]),
    "a line of sums": (with_line("Total,,,yes", 30), ["height holds 'Total' in row 31"]),
    "a line of counts": (with_line("-- 30 rows --", 30), ["line 32 has 1"]),
    "blanks behind separators": (TEXT.replace(",", ", "), ["'label' must be a column", "did you mean ' label'?"]),
    "single quotes": (TABLE.to_csv(index=False, quoting=1, quotechar="'"), ["'label' must be a column"]),
    "hexadecimal": (with_column("address", hex), ["address holds '0x0' in row 1"]),
    "money": (with_column("price", lambda i: f"${i}.5"), ["price holds '$0.5' in row 1"]),
    "Fortran's doubles": (with_column("energy", lambda i: f"{i}.5D+01"), ["energy holds '0.5D+01' in row 1"]),
    "a typographer's minus": (with_column("charge", lambda i: f"−{i}"), ["charge holds '−0' in row 1"]),
    "a dash for nothing": (with_column("charge", lambda i: "-" if i == 4 else str(i)), ["charge holds '-' in row 5"]),
    "a time of day": (with_column("at", lambda i: f"12:30:{i:02}"), ["at holds '12:30:00' in row 1"]),
    "lines in cells": (with_column("note", lambda i: f'"a\nb{i}"'), ["note holds 'a\\nb0' in row 1"]),
    "truth values beside numbers": (
        with_column("flag", lambda i: str(i) if i else "True"),
        ["flag holds 'True' in row 1"],
    ),
    "an infinity": (with_column("x", lambda i: "-Infinity" if i == 7 else str(i)), ["infinite ones in x (x in row 8)"]),
    "an archive of two": (zipped("a.csv", "b.csv"), ["one file", "a.csv, b.csv"]),
    "a workbook": (zipped("xl/workbook.xml", "xl/sheet.xml"), ["Excel", "CSV"]),
    "a missing label": (with_line("1,2,3,", 5), ["data.target", "row 6"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_meant_is_refused(name: str, tmp_path: Path) -> None:
    content, words = REFUSED[name]
    write(tmp_path / f"{name}.csv", content)
    said = refusal(tmp_path, f"{name}.csv", impute="mean", target="0" if name == "no header" else "label")
    assert [word for word in words if word not in said] == [], said


@pytest.mark.parametrize("kind", ["parquet", "feather", "npz"])
def test_a_column_that_is_there_twice_is_refused_in_every_format(kind: str, tmp_path: Path) -> None:
    columns = [pa.array(TABLE["height"]), pa.array(TABLE["width"]), pa.array(TABLE["label"]), pa.array(TABLE["label"])]
    table = pa.table(columns, names=["height", "width", "label", "label"])
    match kind:
        case "parquet":
            pq.write_table(table, tmp_path / "twice.parquet")
        case "feather":
            pf.write_feather(table, tmp_path / "twice.feather")
        case "npz":
            np.savez(tmp_path / "twice.npz", x=np.zeros((30, 2)), names=np.array(["a", "a"]), label=np.arange(30) % 2)
    assert "must have every column once" in refusal(tmp_path, f"twice.{kind}")


def test_columns_without_a_name_are_named_in_a_warning(tmp_path: Path) -> None:
    TABLE.to_csv(tmp_path / "indexed.csv")
    data = load_dataset("indexed.csv", target="label", folder=tmp_path)
    assert data.feature_names == ("Unnamed: 0", "depth", "height", "width")
    assert any("without a name" in warning and "Unnamed: 0" in warning for warning in data.warnings)


def test_the_index_of_a_parquet_file_may_be_the_target_and_is_no_input(tmp_path: Path, plain: Dataset) -> None:
    TABLE.set_index("label").to_parquet(tmp_path / "indexed.parquet")
    assert load_dataset("indexed.parquet", target="label", folder=tmp_path).fingerprint == plain.fingerprint
    TABLE.set_index(pd.Index([7 * row % 30 for row in range(30)], name="row")).to_parquet(tmp_path / "rows.parquet")
    assert load_dataset("rows.parquet", target="label", folder=tmp_path).fingerprint == plain.fingerprint
    chosen = load_dataset("rows.parquet", target="label", features=["row", "w*"], folder=tmp_path)
    assert chosen.feature_names == ("row", "width")


@pytest.mark.parametrize("source", ["parts", "parts/", "parts.parquet"])
def test_a_folder_of_files_is_one_table(source: str, tmp_path: Path, plain: Dataset) -> None:
    folder_of(TABLE, tmp_path / source)
    assert load_dataset(source, target="label", folder=tmp_path).fingerprint == plain.fingerprint


def test_a_folder_that_is_more_than_a_table_is_refused(tmp_path: Path) -> None:
    TABLE.to_parquet(tmp_path / "hive", partition_cols=["label"])
    (tmp_path / "nothing").mkdir()
    for source in ("hive", "nothing"):
        assert "is a folder" in refusal(tmp_path, source)


@pytest.mark.parametrize("kind", ["parquet", "feather", "npz", "h5", "root"])
def test_an_empty_file_is_called_empty(kind: str, tmp_path: Path) -> None:
    (tmp_path / f"nothing.{kind}").touch()
    assert refusal(tmp_path, f"nothing.{kind}") == f"data.source = 'nothing.{kind}' is empty"


def archive(path: Path, **arrays: Any) -> None:
    np.savez(path, **{"height": TABLE["height"], "width": TABLE["width"], "label": np.arange(30) % 2, **arrays})


def plain_group(path: Path) -> h5py.File:
    file = h5py.File(path, "w")
    file["height"], file["width"], file["label"] = TABLE["height"], TABLE["width"], np.arange(30) % 2
    return file


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.array([None, 1.0] * 15, dtype=object), "the array 'x' must hold numbers or text of NumPy's types"),
        (np.zeros((30, 2, 2)), "one array of two dimensions, or one of one dimension per column"),
        (np.float64(3), "columns of one length, unlike"),
        (np.arange(30) + 1j, "x holds '1j' in row 1"),
        (np.arange(30).astype("M8[s]"), "x holds '1970-01-01 00:00:00' in row 1"),
        (TABLE[["height", "width"]].to_records(index=False), "must have numeric feature columns only, unlike x"),
    ],
    ids=["objects", "three dimensions", "a number", "complex", "times", "records"],
)
def test_arrays_that_are_no_columns_are_refused(array: Any, words: str, tmp_path: Path) -> None:
    archive(tmp_path / "t.npz", x=array)
    assert words in refusal(tmp_path, "t.npz")


def test_a_single_array_is_no_archive(tmp_path: Path) -> None:
    np.save(tmp_path / "t.npy", TABLE["height"])
    (tmp_path / "t.npy").rename(tmp_path / "t.npz")
    assert "a single array without names" in refusal(tmp_path, "t.npz")


@pytest.mark.parametrize("dtype", [">f8", "<f4", "f2", np.longdouble])
def test_numbers_of_any_byte_order_and_width_are_read(dtype: Any, tmp_path: Path) -> None:
    halves = np.arange(30) / 2
    archive(tmp_path / "t.npz", x=halves.astype(dtype))
    data = load_dataset("t.npz", target="label", folder=tmp_path)
    archive(tmp_path / "t.npz", x=halves)
    assert data.fingerprint == load_dataset("t.npz", target="label", folder=tmp_path).fingerprint


def test_links_of_hdf5_are_followed_and_those_to_nowhere_named(tmp_path: Path) -> None:
    with plain_group(tmp_path / "t.h5") as file:
        file["version"], file["nothing"] = 3, h5py.Empty("f")
        file["again"] = h5py.SoftLink("/height")
    assert load_dataset("t.h5", target="label", folder=tmp_path).feature_names == ("again", "height", "width")
    with plain_group(tmp_path / "t.h5") as file:
        file["gone"], file["far"] = h5py.SoftLink("/nowhere"), h5py.ExternalLink("nowhere.h5", "/x")
    assert "gone (a link that leads nowhere)" in refusal(tmp_path, "t.h5")
    assert load_dataset("t.h5", target="label", exclude=["far", "gone"], folder=tmp_path).feature_names == (
        "height",
        "width",
    )


def test_a_column_of_nothing_is_missing_throughout(tmp_path: Path) -> None:
    nothing = pa.table([*(pa.array(TABLE[name]) for name in TABLE), pa.nulls(30)], names=[*TABLE, "nothing"])
    pq.write_table(nothing, tmp_path / "t.parquet")
    data = load_dataset("t.parquet", target="label", folder=tmp_path)
    assert data.dropped == ("nothing",)
    assert data.feature_names == ("depth", "height", "width")


def test_a_column_with_the_name_of_an_element_is_not_taken_for_it(tmp_path: Path) -> None:
    lists = pa.array([[1.0 * row, 2.0] for row in range(30)])
    table = pa.table({"jet": lists, "jet[0]": TABLE["height"], "width": TABLE["width"], "label": TABLE["label"]})
    pq.write_table(table, tmp_path / "t.parquet")
    named = load_dataset("t.parquet", target="label", features=["jet[0]", "width"], folder=tmp_path)
    np.testing.assert_allclose(named.mean[0], TABLE["height"].mean(), atol=0.5)
    assert "jet[0] is a column as well" in refusal(tmp_path, "t.parquet", features=["jet[0]", "jet[:2]"])


@pytest.mark.parametrize(
    ("one", "other"), [("yes", "yes "), ("yes", "Yes"), ("\u00e9", "e\u0301"), ("a b", "a  b")], ids=repr
)
def test_classes_that_look_alike_are_named_in_a_warning(one: str, other: str, tmp_path: Path) -> None:
    data = load(frame(label=[one, other, "no"] * 10), tmp_path)
    named = ", ".join(map(repr, sorted((one, other))))
    assert data.warnings == [f"classes that differ in capitals, blanks or the form of accents only: {named}"]
    assert load(frame(label=["yes", "y es", "no"] * 10), tmp_path).warnings == []
