"""A cut is computed as Python would compute it row by row, and holds nothing but what is allowed."""

import math
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pandas as pd
import pytest
import uproot
from hypothesis import given
from hypothesis import strategies as st
from small_tables import frame, load

from pruning_core.data import DataError, load_dataset, parse_cut
from pruning_core.data.columns import Pick
from pruning_core.data.readers import Column

ROWS = 12
A = np.array([-3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7, 8])
COLUMNS: dict[str, np.ndarray] = {
    "a": A,
    "b": np.linspace(-2, 2, ROWS),
    "small": A.astype(np.int8),
    "single": np.linspace(-1, 1, ROWS).astype(np.float32),
    "unsigned": np.arange(ROWS).astype(np.uint32),
    "flag": A % 2 == 0,
}
PYTHON = {
    "abs": abs,
    "floor": math.floor,
    "sin": math.sin,
    "cos": math.cos,
    "hypot": math.hypot,
    "min": min,
    "max": max,
    "exp": math.exp,
}

numbers = st.recursive(
    st.sampled_from([*COLUMNS, "2", "0.5", "7", "1.5e0"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*"]), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        st.tuples(inner, st.sampled_from(["%", "//", "/"]), st.sampled_from(["3", "2.5"])).map(
            lambda t: f"({t[0]} {t[1]} {t[2]})"
        ),
        inner.map(lambda t: f"(-{t})"),
        st.tuples(st.sampled_from(["abs", "floor", "sin", "cos"]), inner).map(lambda t: f"{t[0]}({t[1]})"),
        st.tuples(st.sampled_from(["min", "max", "hypot"]), inner, inner).map(lambda t: f"{t[0]}({t[1]}, {t[2]})"),
    ),
    max_leaves=6,
)
comparisons = st.lists(numbers, min_size=2, max_size=3).flatmap(
    lambda sides: st.lists(
        st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), min_size=len(sides) - 1, max_size=len(sides) - 1
    ).map(lambda signs: " ".join(x for pair in zip(sides, [*signs, ""], strict=True) for x in pair).strip())
)
conditions = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        inner.map(lambda t: f"(not {t})"),
    ),
    max_leaves=4,
)


def keeps(text: str, columns: dict[str, np.ndarray]) -> np.ndarray:
    rows = len(next(iter(columns.values())))
    return parse_cut(text).keeps({Pick(name): Column(v, str(v.dtype)) for name, v in columns.items()}, rows)


@given(text=conditions)
def test_a_cut_keeps_the_rows_for_which_python_says_yes(text: str) -> None:
    kept = keeps(text, COLUMNS)
    assert kept.shape == (ROWS,)
    for row in range(ROWS):
        values = {name: column[row].item() for name, column in COLUMNS.items()}
        assert bool(kept[row]) == bool(eval(text, {"__builtins__": {}}, {**values, **PYTHON})), (text, values)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 / a > 0", A >= 0),
        ("sqrt(a) >= 2", A >= 4),
        ("log(exp(b)) < 0.5 and log10(10 ** b) < 0.5 and tan(b * 0) == 0", COLUMNS["b"] < 0.5),
        ("a ** -1 < 0", A < 0),
        ("unsigned - 3 < 0", np.arange(ROWS) < 3),
        ("small * 100 == 800", A == 8),
        ("flag", A % 2 == 0),
        ("not flag and True", A % 2 == 1),
        ("a and b > 0", (A != 0) & (COLUMNS["b"] > 0)),
        ("-9 < +a\n  < 0", A < 0),
        ("9 > 8", np.ones(ROWS, dtype=bool)),
        ("a < 1" + "0" * 400, np.ones(ROWS, dtype=bool)),
    ],
)
@pytest.mark.filterwarnings("error")
def test_what_python_would_stumble_over(text: str, expected: np.ndarray) -> None:
    np.testing.assert_array_equal(keeps(text, COLUMNS), expected)


def test_large_numbers_of_events_stay_exact() -> None:
    events = np.array([2**53, 2**53 + 1, 2**62 + 1])
    for dtype in (np.int64, np.uint64):
        np.testing.assert_array_equal(keeps("event % 2 == 1", {"event": events.astype(dtype)}), [False, True, True])


def test_missing_values_meet_no_condition_but_unlike() -> None:
    columns = {"a": np.array([1.0, np.nan]), "s": np.array(["x", None], dtype=object)}
    assert keeps("a < 5 or a >= 5", columns).tolist() == [True, False]
    assert keeps("s == 'x'", columns).tolist() == [True, False]
    assert keeps("a != 1 and s != 'x'", columns).tolist() == [False, True]


def test_names_that_are_none_in_python_stand_in_backticks() -> None:
    columns = {"Jet.PT": np.array([1.0, 3.0]), "p t": np.array([2.0, 2.0]), "s": np.array(["`a`", "b"], dtype=object)}
    assert keeps("`Jet.PT` > `p t`", columns).tolist() == [False, True]
    assert keeps("s == '`a`' or column_0_ > 1", {**columns, "column_0_": np.zeros(2)}).tolist() == [True, False]


REFUSED: list[tuple[str, str]] = [
    ("a >", "must be a condition"),
    ("", "must be a condition"),
    ("a + 1", "is a value"),
    ("a && b", "write and, or, not"),
    ("a & b", "a & b: write and, or"),
    ("__import__('os').system('true')", "__import__"),
    ("__class__ > 1", "__class__"),
    ("exec('1')", "exec('1'): the functions are abs"),
    ("a.real > 1", "a.real: write the name of a column with a dot in `backticks`"),
    ("`a b`.real > 1", "`a b`.real"),
    ("a['x'] > 1", "not a['x']"),
    ("a[-1] > 1", "not a[-1]"),
    ("a[:2] > 1", "not a[:2]"),
    ("a[True] > 1", "not a[True]"),
    ("[a][0] > 1", "not [a][0]"),
    ("lambda: 1", "lambda: 1"),
    ("(lambda: 1)() > 0", "(lambda: 1)()"),
    ("[x for x in a]", "[x for x in a]"),
    ("a if b else 1", "a if b else 1"),
    ("(c := a) > 1", "(c := a)"),
    ("f'{a}' == 'x'", "f'{a}'"),
    ("b'x' == a", "b'x'"),
    ("3j > a", "3j"),
    ("a is b", "a is b"),
    ("a in b", "a in b"),
    ("a @ b > 1", "a @ b"),
    ("None", "None"),
    ("abs(a, b) > 1", "abs 1 value, not 2"),
    ("max(a) > 1", "at least 2 values, not 1"),
    ("abs(x=a) > 1", "abs(x=a)"),
    ("abs(*a) > 1", "*a"),
    ("s > 1", "s for a number"),
    ("s < 't'", "== and != only"),
    ("abs(s) > 1", "s for a number"),
    ("not " * 200 + "a", "nested"),
    ("(" * 1000 + "a" + ")" * 1000, "must be a condition"),
    ("a > 1 " * 1000, "at most 5000 characters"),
    ("a\0 > 1", "must be a condition"),
]


@pytest.mark.parametrize(("text", "words"), REFUSED)
def test_anything_else_is_refused_by_name(text: str, words: str) -> None:
    columns = {**COLUMNS, "s": np.array(["x"] * ROWS, dtype=object)}
    with pytest.raises(DataError) as caught:
        keeps(text, columns)
    message = str(caught.value)
    assert message.startswith("data.cut")
    assert words in message
    assert "\n" not in message
    assert len(message) < 500


def test_only_the_rows_that_a_cut_keeps_are_used(tmp_path: Path) -> None:
    table = frame(number=np.arange(30), channel=["e", "mu", "tau"] * 10)
    cut = "number < 24 and channel != 'tau'"
    data = load(table, tmp_path, cut=cut, exclude=["channel"])
    assert (data.rows_read, data.rows_kept) == (30, 16)
    kept = table[(table.number < 24) & (table.channel != "tau")].drop(columns="channel")
    assert data.fingerprint == load(kept, tmp_path).fingerprint


def test_a_cut_on_elements_of_lists(tmp_path: Path) -> None:
    jets = ak.Array([[float(i)] * (i % 3) for i in range(30)])
    columns: dict[str, Any] = {"x": np.arange(30.0) ** 0.5, "z": np.arange(30.0) ** 2, "y": np.arange(30) // 3 % 2}
    with uproot.recreate(tmp_path / "jets.root") as file:
        file["events"] = {**columns, "jet": jets}
    cut: dict[str, Any] = {"target": "y", "features": ["x", "z"], "folder": tmp_path}
    assert load_dataset("jets.root", cut="jet[1] >= 0", **cut).rows_kept == 10
    for text, words in (
        ("jet > 1", "such as jet[0]"),
        ("x[0] > 1", "holds one value per row"),
        ("jte[0] > 1", "did you mean 'jet'"),
        ("x > 1000", "keeps none of 30"),
        ("y == 1", "keeps those of '1' only"),
    ):
        with pytest.raises(DataError, match=r"data\.cut") as caught:
            load_dataset("jets.root", cut=text, **cut)
        assert words in str(caught.value)


def test_a_cut_by_class_must_leave_every_class(tmp_path: Path) -> None:
    for name, shift in (("a", 0), ("b", 100)):
        pd.DataFrame({"x": np.arange(30) + shift, "z": np.arange(30) ** 2}).to_csv(
            tmp_path / f"{name}.csv", index=False
        )
    with pytest.raises(DataError, match=r"data.cut = 'x < 50' must keep rows of every class, and keeps none of 'b'"):
        load_dataset({"a": "a.csv", "b": "b.csv"}, cut="x < 50", folder=tmp_path)
