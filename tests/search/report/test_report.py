"""The report: what its page says about a finished search, how large it may get, and what it leaves behind."""

import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from mlflow.tracking import MlflowClient
from report_page import TITLES, Page
from scipy import stats
from synthetic_search import CONFIRM_SEEDS, make_search, study

from search.cli import main
from search.report.search_record import read_search
from search.stores.addresses import Stored
from search.trials.estimate import estimate


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished search of 200 trials."""
    output = tmp_path_factory.mktemp("made")
    make_search(output, 200)
    return output


@pytest.fixture(scope="module")
def page(made: Path) -> Page:
    started = time.monotonic()
    assert main(["report", "made", "--output", str(made)]) == 0
    assert time.monotonic() - started < 60
    return Page(made / "reports" / "made.html")


def test_the_page_holds_every_section_in_order_and_needs_nothing_else(page: Page) -> None:
    assert page.headings == TITLES
    assert not page.tags & {"script", "link", "iframe", "object"}
    assert not re.search(r"(?:src|href)=\"(?!data:)|url\(|@import|https?://", page.html)
    assert len(page.html) < 10_000_000
    assert len(page.images) == 19
    assert all(str(image["src"]).startswith("data:image/png;base64,") and image["alt"] for image in page.images)
    assert "nan" not in page.text.lower().split()
    assert "None" not in page.text


def test_the_opening_gives_the_numbers_of_the_search(page: Page, made: Path) -> None:
    search = read_search("made", Stored(made))
    winner = search.result["strategies"]["stepped"]["test"]["per_seed"]
    half = stats.t.ppf(0.975, CONFIRM_SEEDS - 1) * stats.sem(winner)
    low, high = 100 * (np.mean(winner) - half), 100 * (np.mean(winner) + half)
    assert "In 200 trials, stepped, plateau and markov compete to prune the 13 inputs" in page.text
    assert f"The winner is stepped: all {CONFIRM_SEEDS} fresh seeds complete the pruning" in page.text
    assert f"{100 * np.mean(winner):.1f} % (95 % interval {low:.1f} to {high:.1f} %)" in page.text
    for strategy in ("stepped", "plateau", "markov"):
        mine = search.of(strategy)
        done = [t for t in mine if t.ending == "ended" and t.complete == 1]
        assert f"{len(done)} of {len(mine)} trials of {strategy}" in page.text
    assert "The runner-up is plateau: it is 1.0 ± 0.0 points behind on the validation part" in page.text
    assert "Without pruning, the same network reaches" in page.text


def test_the_registered_network_is_told_apart_from_the_mean_over_seeds(page: Page) -> None:
    assert "the model models:/made/1: that of seed 1000002" in page.text
    assert "right for 92.6 % of the test rows (25 of 27); the mean accuracy over" in page.text


def test_the_report_is_logged_to_the_search_with_its_figures(page: Page, made: Path) -> None:
    search = read_search("made", Stored(made))
    names = search.store.artifact_names(search.parent, "report")
    assert {"made.html", "outcomes.png", "pareto.png", "importance.png", "test.png", "selection.png"} <= names
    assert len(names) == len(page.images) + 1


def test_figures_and_tables_agree_with_the_stores(page: Page, made: Path) -> None:
    search = read_search("made", Stored(made))
    stopped, failed = (sum(t.ending == ending for t in search.trials) for ending in ("stopped", "failed"))
    assert f"Why trials were stopped: collapsed and frozen ({stopped})." in page.text
    assert failed > 0
    best = max((t for t in search.trials if t.completed), key=lambda t: t.score or 0)
    assert f"trial {best.number} of {best.strategy}" in page.text
    for entry in search.result["strategies"].values():
        assert f"{entry['run_id']} (trial {entry['trial']})" in page.text
        assert ", ".join(entry["selected"]) in page.text
    assert search.tags["fingerprint"] in page.text
    assert "learning_rate for stepped" in page.text
    assert re.search(r"growth up to 1\.\d+: 0 of \d+ trials completed", page.text)


@pytest.mark.long
def test_a_thousand_trials_make_a_small_page_in_a_minute(tmp_path: Path) -> None:
    make_search(tmp_path, 1000, made=study(strategies=["fixed", "ratio", "stepped", "plateau", "markov"]))
    started = time.monotonic()
    assert main(["report", "made", "--output", str(tmp_path), "--to", str(tmp_path / "a" / "page.html")]) == 0
    assert time.monotonic() - started < 60
    assert (tmp_path / "a" / "page.html").stat().st_size < 10_000_000
    assert Page(tmp_path / "a" / "page.html").headings == TITLES


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> tuple[Path, Page]:
    """A finished search over two n with two objectives, and the page about it."""
    output = tmp_path_factory.mktemp("several")
    shutil.copy(empty_store, output / "mlflow.db")
    changes: dict[str, Any] = {"data": {"source": "wine", "keep": [4, 2]}, "strategies": ["stepped", "plateau"]}
    make_search(output, 60, made=study(**changes, search={"objective": ["pruned_accuracy", "completion_epoch"]}))
    assert main(["report", "made", "--output", str(output)]) == 0
    return output, Page(output / "reports" / "made.html")


def test_a_search_over_several_n_begins_with_accuracy_against_n(several: tuple[Path, Page]) -> None:
    output, page = several
    *titles, last = TITLES
    assert page.headings == ["Accuracy against n", *(f"{title}, n = {n}" for n in (2, 4) for title in titles), last]
    search = read_search("made", Stored(output))
    assert "to prune the 13 inputs of a network on wine to 2 and 4." in page.text
    for keep in (2, 4):
        part = search.at(keep)
        assert {t.params["keep"] for t in part.trials} == {keep}
        test = estimate(part.result["strategies"][part.result["winner"]]["test"]["per_seed"]).short
        assert f"{part.result['winner']} wins with {keep} inputs at {test}" in page.text
    assert len([name for name in page.text.split() if name == "models:/made/1:"]) == 1
    logged = search.store.artifact_names(search.parent, "report")
    assert {"accuracy_against_n.png", "n_2", "n_4"} <= logged
    assert "nan" not in page.text.lower().split()
    assert "None" not in page.text


def test_with_two_objectives_the_members_of_each_front_are_listed(several: tuple[Path, Page]) -> None:
    output, page = several
    trials = optuna.load_study(study_name="made", storage=f"sqlite:///{output / 'optuna.db'}").get_trials()
    named = []
    for keep in (2, 4):
        ledger = optuna.create_study(directions=["maximize", "minimize"])
        ledger.add_trials([t for t in trials if t.params["keep"] == keep])
        of_number = {(*t.values,): t.number for t in trials if t.values}
        best = sorted(ledger.best_trials, key=lambda t: -t.values[0])
        named += [f"{t.params['strategy']} #{of_number[(*t.values,)]}" for t in best]
    assert len(named) > 2
    assert re.findall(r"(?:stepped|plateau) #\d+", page.text) == named


def test_a_store_that_takes_no_artifacts_costs_only_the_copy(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(*arguments: Any) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr(MlflowClient, "log_artifacts", refuse)
    assert main(["report", "made", "--output", str(made), "--to", str(tmp_path / "page.html")]) == 0
    assert "MLflow did not take the report: read-only" in capfd.readouterr().out
    assert Page(tmp_path / "page.html").headings == TITLES


@pytest.mark.browser
def test_a_browser_shows_the_page(page: Page, made: Path, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no browser here")
    with tempfile.TemporaryDirectory() as profile:
        command = [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            f"--user-data-dir={profile}", "--window-size=1100,3000", f"--screenshot={tmp_path / 'page.png'}",
            f"file://{made / 'reports' / 'made.html'}",
        ]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True, timeout=60)
    from matplotlib import image

    picture = image.imread(tmp_path / "page.png")
    assert picture.shape[:2] == (3000, 1100)
    assert picture[:, :, :3].std() > 0.1
