"""The report about searches of any size and state, and what it refuses."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from report_page import TITLES, Page
from synthetic_search import KEEP, make_search, study

from search.cli import main
from search.report.search_record import read_search
from search.stores.addresses import Stored

FIXED = {"learning_rate": 0.003, "weight_decay": 0, "label_smoothing": 0.1}
OF_DATA = ("What the kept inputs look like", "Where the pruned network errs")


@pytest.mark.parametrize("trials", [1, 12])
def test_small_searches_are_reported_in_sentences(tmp_path: Path, trials: int) -> None:
    make_search(tmp_path, trials)
    assert main(["report", "made", "--output", str(tmp_path)]) == 0
    small = Page(tmp_path / "reports" / "made.html")
    assert f"In {trials} trial" in small.text
    assert "too few for pictures of the space and for what matters there, which take 10." in small.text.lower()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"strategies": ["ratio"], "space": {**FIXED, "pruner_learning_rate": 0.05}},
            "fixes all of its",
        ),
        ({"strategies": ["fixed"], "space": {**FIXED, "lambda_start": {"choices": [1, 2]}}}, "of fixed"),
    ],
)
def test_spaces_with_little_to_search_are_reported(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    make_search(tmp_path, 24, made=study(**changes))
    assert main(["report", "made", "--output", str(tmp_path)]) == 0
    assert sentence in Page(tmp_path / "reports" / "made.html").text


@pytest.mark.parametrize("finished", [True, False])
def test_a_search_over_several_n_with_hardly_a_trial_is_reported(
    tmp_path: Path, empty_store: Path, finished: bool
) -> None:
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    make_search(tmp_path, 2, made=study(data={"source": "wine", "keep": [4, 2]}), finished=finished)
    assert main(["report", "made", "--output", str(tmp_path)]) == 0
    text = Page(tmp_path / "reports" / "made.html").text
    assert ("nothing could be confirmed with 2 inputs" in text) == finished
    assert ("Nothing has been confirmed yet" in text) != finished


def test_an_unfinished_search_is_reported_with_a_note(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    make_search(tmp_path, 30, finished=False)
    assert main(["report", "made", "--output", str(tmp_path)]) == 0
    assert "not finished" in capfd.readouterr().out
    unfinished = Page(tmp_path / "reports" / "made.html")
    assert "The search is not finished: 30 trials of 200 planned are over" in unfinished.text
    assert "Nothing has been confirmed with fresh seeds yet" in unfinished.text
    assert unfinished.headings == [*TITLES[:6], TITLES[-1]]


@pytest.fixture
def moved_rows(tmp_path: Path) -> tuple[Path, Path]:
    """A search on a file of rows, and that file."""
    rows = tmp_path / "rows.csv"
    random = np.random.default_rng(0)
    columns = random.normal(size=(90, 6))
    lines = [",".join(f"{value:.3f}" for value in row) + f",{'uvw'[i % 3]}" for i, row in enumerate(columns)]
    rows.write_text("\n".join(["a,b,c,d,<e>,f,y", *lines]) + "\n")
    data = {"source": str(rows), "target": "y", "keep": KEEP}
    make_search(tmp_path, 12, made=study(data=data))
    return tmp_path, rows


def test_without_its_data_the_page_says_so_and_leaves_the_comparison_out(moved_rows: tuple[Path, Path]) -> None:
    output, rows = moved_rows
    arguments = ["report", "made", "--output", str(output)]
    shutil.move(rows, output / "elsewhere.csv")
    assert main(arguments) == 0
    lost = Page(output / "reports" / "made.html")
    assert "There are no other networks to compare with: data.source" in lost.text
    assert lost.headings == [title for title in TITLES if title not in OF_DATA]
    assert main([*arguments, "--data", str(output / "elsewhere.csv")]) == 0
    found = Page(output / "reports" / "made.html")
    assert "Without pruning, the same network reaches" in found.text
    assert "<e>" in found.text
    assert "Report of a pruning search on rows.csv (63 / " in found.text
    rows.write_text((output / "elsewhere.csv").read_text().replace("u\n", "v\n", 2))
    assert main(arguments) == 0
    assert "has changed since the search" in Page(output / "reports" / "made.html").text


def test_names_stand_for_the_latest_search_or_for_one_search(tmp_path: Path) -> None:
    for label in ("made", "made-2", "made-3"):
        make_search(tmp_path, 3, label=label)
    found = {name: read_search(name, Stored(tmp_path)).label for name in ("made", "made-1", "made-2", "made-3")}
    assert found == {"made": "made-3", "made-1": "made", "made-2": "made-2", "made-3": "made-3"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished search of 200 trials."""
    output = tmp_path_factory.mktemp("made")
    make_search(output, 200)
    return output


def test_wrong_names_and_stores_are_refused_in_one_sentence(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    optuna.create_study(storage=f"sqlite:///{tmp_path / 'empty.db'}", study_name="gone")
    optuna.delete_study(storage=f"sqlite:///{tmp_path / 'empty.db'}", study_name="gone")
    (tmp_path / "nonsense.db").write_text("this is no database")
    before = sorted(tmp_path.rglob("*"))
    for arguments, names in (
        (["made"], ["--output", "optuna.db", "run a search first"]),
        (["unknown", "--output", made], ["unknown", "there are made"]),
        (["made", "--output", made, "--storage", f"sqlite:///{tmp_path / 'empty.db'}"], ["made", "empty"]),
        (["made", "--output", made, "--storage", f"sqlite:///{tmp_path / 'absent.db'}"], ["absent.db"]),
        (["made", "--output", made, "--storage", f"sqlite:///{tmp_path / 'nonsense.db'}"], ["nonsense.db"]),
        (["made", "--output", made, "--storage", "nonsense"], ["nonsense"]),
        (["made", "--output", made, "--tracking-uri", f"sqlite:///{tmp_path / 'absent.db'}"], ["absent.db"]),
        (["made", "--output", made, "--tracking-uri", f"sqlite:///{tmp_path / 'nonsense.db'}"], ["nonsense.db"]),
        (["made", "--output", made, "--to", tmp_path], [str(tmp_path)]),
    ):
        assert main(["report", *map(str, arguments)]) == 2, arguments
        sentence = capfd.readouterr().err
        assert len(sentence.strip().splitlines()) == 1, sentence
        assert all(name in sentence for name in names), sentence
    assert sorted(tmp_path.rglob("*")) == before
