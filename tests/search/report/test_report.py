"""The report: what its page says about searches of any size and state, what it refuses, and what it leaves behind."""

import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from mlflow.tracking import MlflowClient
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState
from scipy import stats
from synthetic_search import CONFIRM_SEEDS, KEEP, make_search, study

from pruning_core.data import Dataset, Part
from search.cli import main
from search.figures.space import Scale, importance
from search.report.baselines import by_mutual_information, by_random_forest, fit
from search.report.blocks import Heading, Line, Section, Table, Text, render
from search.report.comparison import compare
from search.report.findings import Estimate, estimate, gap, listing, rule, shared_by_two_seeds, typical_failure
from search.report.search_record import Ending, TrialRecord, read_search
from search.trials.pareto import front

TITLES = [
    "The strategies",
    "How the trials ended",
    "Accuracy against speed",
    "Which hyperparameters matter for accuracy",
    "What separates completed trials from the others",
    "How gates close",
    "The result on the test part",
    "Which inputs are kept",
    "How to repeat this",
]
VOID = {"meta", "img", "br", "link"}


class Page(HTMLParser):
    """A page taken apart: its text, its headings, its images; tags that do not match are an error."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.headings: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.tags: set[str] = set()
        self.words: list[str] = []
        self.html = path.read_text(encoding="utf-8")
        self.feed(self.html)
        self.close()
        assert self.open == []

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "img":
            self.images.append(dict(attrs))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)


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
    assert len(page.images) == 16
    assert all(str(image["src"]).startswith("data:image/png;base64,") and image["alt"] for image in page.images)
    assert "nan" not in page.text.lower().split()
    assert "None" not in page.text


def test_the_opening_gives_the_numbers_of_the_search(page: Page, made: Path) -> None:
    search = read_search("made", made)
    winner = search.result["strategies"]["stepped"]["test"]["per_seed"]
    half = stats.t.ppf(0.975, CONFIRM_SEEDS - 1) * stats.sem(winner)
    low, high = 100 * (np.mean(winner) - half), 100 * (np.mean(winner) + half)
    assert "In 200 trials, stepped, plateau and markov compete to prune the 13 inputs" in page.text
    assert f"The winner is stepped: all {CONFIRM_SEEDS} fresh seeds complete the pruning" in page.text
    assert f"{100 * np.mean(winner):.1f} % (95 % interval {low:.1f} to {high:.1f} %)" in page.text
    for strategy in ("stepped", "plateau", "markov"):
        mine = search.of(strategy)
        done = [t for t in mine if t.optuna.state == TrialState.COMPLETE and t.complete == 1]
        assert f"{len(done)} of {len(mine)} trials of {strategy}" in page.text
    assert "The runner-up is plateau: it is 1.0 ± 0.0 points behind on the validation part" in page.text
    assert "Without pruning, the same network reaches" in page.text


def test_the_registered_network_is_told_apart_from_the_mean_over_seeds(page: Page) -> None:
    assert "the model models:/made/1: that of seed 1000002" in page.text
    assert "right for 92.6 % of the test rows (25 of 27); the mean over" in page.text


def test_the_report_is_logged_to_the_search_with_its_figures(page: Page, made: Path) -> None:
    search = read_search("made", made)
    names = {Path(file.path).name for file in search.client.list_artifacts(search.parent_run_id, "report")}
    assert {"made.html", "outcomes.png", "pareto.png", "importance.png", "test.png", "selection.png"} <= names
    assert len(names) == len(page.images) + 1


def test_figures_and_tables_agree_with_the_stores(page: Page, made: Path) -> None:
    search = read_search("made", made)
    stopped, failed = (sum(t.ending == ending for t in search.trials) for ending in ("stopped", "failed"))
    assert f"Why trials were stopped: collapsed and frozen ({stopped})." in page.text
    assert failed > 0
    best = max((t for t in search.trials if t.completed), key=lambda t: t.accuracy or 0)
    assert f"trial {best.number} of {best.strategy}" in page.text
    for entry in search.result["strategies"].values():
        assert f"{entry['run_id']} (trial {entry['trial']})" in page.text
        assert ", ".join(entry["selected"]) in page.text
    assert search.tags["fingerprint"] in page.text
    assert "learning_rate for stepped" in page.text
    assert re.search(r"growth up to 1\.\d+: 0 of \d+ trials completed", page.text)


@pytest.mark.slow
def test_a_thousand_trials_make_a_small_page_in_a_minute(tmp_path: Path) -> None:
    make_search(tmp_path, 1000, made=study(strategies=["fixed", "ratio", "stepped", "plateau", "markov"]))
    started = time.monotonic()
    assert main(["report", "made", "--output", str(tmp_path), "--to", str(tmp_path / "a" / "page.html")]) == 0
    assert time.monotonic() - started < 60
    assert (tmp_path / "a" / "page.html").stat().st_size < 10_000_000
    assert Page(tmp_path / "a" / "page.html").headings == TITLES


@pytest.mark.parametrize("trials", [1, 12])
def test_small_searches_are_reported_in_sentences(tmp_path: Path, trials: int) -> None:
    make_search(tmp_path, trials)
    assert main(["report", "made", "--output", str(tmp_path)]) == 0
    small = Page(tmp_path / "reports" / "made.html")
    assert f"In {trials} trial" in small.text
    assert "too few for pictures of the space" in small.text.lower()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"strategies": ["ratio"], "space": {"learning_rate": 0.003, "pruner_learning_rate": 0.05}},
            "fixes all of its",
        ),
        ({"strategies": ["fixed"], "space": {"learning_rate": 0.003, "lambda_start": {"choices": [1, 2]}}}, "of fixed"),
    ],
)
def test_spaces_with_little_to_search_are_reported(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    make_search(tmp_path, 24, made=study(**changes))
    assert main(["report", "made", "--output", str(tmp_path)]) == 0
    assert sentence in Page(tmp_path / "reports" / "made.html").text


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
    search = read_search("made", output)
    assert "to prune the 13 inputs of a network on wine to 2 and 4." in page.text
    for keep in (2, 4):
        part = search.at(keep)
        assert {t.optuna.params["keep"] for t in part.trials} == {keep}
        test = estimate(part.result["strategies"][part.result["winner"]]["test"]["per_seed"]).short
        assert f"{part.result['winner']} wins with {keep} inputs at {test}" in page.text
    assert len([name for name in page.text.split() if name == "models:/made/1:"]) == 1
    logged = {Path(file.path).name for file in search.client.list_artifacts(search.parent_run_id, "report")}
    assert {"accuracy_against_n.png", "n_2", "n_4"} <= logged
    assert "nan" not in page.text.lower().split()
    assert "None" not in page.text


def test_with_two_objectives_the_members_of_each_front_are_listed(several: tuple[Path, Page]) -> None:
    output, page = several
    trials = read_search("made", output).trials
    named = []
    for keep in (2, 4):
        ledger = optuna.create_study(directions=["maximize", "minimize"])
        ledger.add_trials([t.optuna for t in trials if t.optuna.params["keep"] == keep])
        of_number = {(*t.optuna.values,): t.number for t in trials if t.optuna.values}
        best = sorted(ledger.best_trials, key=lambda t: -t.values[0])
        named += [f"{t.params['strategy']} #{of_number[(*t.values,)]}" for t in best]
    assert len(named) > 2
    assert re.findall(r"(?:stepped|plateau) #\d+", page.text) == named


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
    assert lost.headings == TITLES
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
    found = {name: read_search(name, tmp_path).label for name in ("made", "made-1", "made-2", "made-3")}
    assert found == {"made": "made-3", "made-1": "made", "made-2": "made-2", "made-3": "made-3"}


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


def test_a_store_that_takes_no_artifacts_costs_only_the_copy(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(*arguments: Any) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr(MlflowClient, "log_artifacts", refuse)
    assert main(["report", "made", "--output", str(made), "--to", str(tmp_path / "page.html")]) == 0
    assert "MLflow did not take the report: read-only" in capfd.readouterr().out
    assert Page(tmp_path / "page.html").headings == TITLES


def record(
    number: int,
    params: dict[str, Any] | None = None,
    complete: float = 1.0,
    accuracy: float = 0.9,
    epoch: float | None = 10.0,
    ending: Ending = "ended",
    outcome: str = "complete",
) -> TrialRecord:
    states = {"ended": TrialState.COMPLETE, "stopped": TrialState.PRUNED, "failed": TrialState.FAIL}
    params = {"growth": 2.0, "mu": "one"} if params is None else params
    known = {"growth": FloatDistribution(1, 10, log=True), "mu": CategoricalDistribution(["one", "frozen"])}
    trial = optuna.trial.create_trial(
        state=states[ending],
        value=accuracy if ending == "ended" else None,
        params={"strategy": "stepped"} | params,
        distributions={"strategy": CategoricalDistribution(["stepped"])} | {name: known[name] for name in params},
        intermediate_values={1: accuracy},
    )
    trial.number = number
    return TrialRecord(trial, ending, f"run{number}", outcome, False, complete, epoch)


def test_intervals_are_students() -> None:
    values = [0.91, 0.93, 0.95, 0.92]
    found = estimate(values)
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert found.half is not None
    assert (found.mean - found.half, found.mean + found.half) == pytest.approx((low, high))
    assert str(Estimate(0.96, 0.004)) == "96.0 % (95 % interval 95.6 to 96.4 %)"
    assert Estimate(0.96, 0.0002).short == "96.00 ± 0.02 %"
    assert Estimate(-0.0001, 0.004).short == "0.0 ± 0.4 %"
    assert "one seed" in str(estimate([0.9]))
    assert estimate([0.9]).short == "90.0 %"
    assert str(Estimate(0.999, 0.01)).endswith("to 100.0 %)")


def test_gaps_say_whether_the_seeds_can_tell() -> None:
    assert gap(Estimate(0.02, 0.01)) == "2.0 ± 1.0 points behind"
    assert gap(Estimate(-0.004, 0.01)) == "0.4 ± 1.0 points ahead (not significant)"
    assert gap(Estimate(0.0001, 0.01)) == "as accurate"
    assert gap(Estimate(0.02, None)) == "2.0 points behind"
    assert [listing(["a", "b", "c"][:k]) for k in range(4)] == ["", "a", "a and b", "a, b and c"]


def test_the_front_holds_what_nothing_beats() -> None:
    random = np.random.default_rng(0)
    trials = [record(k, accuracy=random.uniform(), epoch=float(random.integers(1, 30))) for k in range(200)]
    trials += [record(300, accuracy=2.0, complete=0.5), record(301, accuracy=2.0, ending="stopped")]
    points = {t.number: (t.completion_epoch or 0.0, t.accuracy or 0.0) for t in trials[:200]}
    best = {
        number
        for number, (epoch, accuracy) in points.items()
        if not any((e <= epoch and a >= accuracy) and (e, a) != (epoch, accuracy) for e, a in points.values())
    }
    assert {t.number for t in front(trials)} == best
    assert front([]) == []


def test_a_rule_finds_what_separates_and_admits_when_nothing_does() -> None:
    random = np.random.default_rng(0)
    separate, alike = [], []
    for number in range(120):
        growth, mu = float(10 ** random.uniform()), ["one", "frozen"][random.integers(2)]
        params, good = {"growth": growth, "mu": mu}, growth > 3 and mu == "one"
        separate.append(record(number, params, complete=float(good)))
        alike.append(record(number, params, complete=float(random.uniform() < 0.5)))
    found = rule(separate)
    assert found is not None
    assert found.holds
    (text, number, completed), *others = found.leaves
    assert completed == number
    assert all(done == 0 for _, _, done in others)
    assert re.search(r"growth above (2\.8|2\.9|3)", text)
    assert "mu = one" in text or "mu other than frozen" in text
    assert sum(number for _, number, _ in found.leaves) == 120
    nothing = rule(alike)
    assert nothing is not None
    assert not nothing.holds
    assert "these trials only" in nothing.verdict
    assert rule(separate[:8]) is None
    assert rule([]) is None


def test_two_seeds_share_what_counting_says() -> None:
    random = np.random.default_rng(0)
    sets = [set(random.choice(12, 5, replace=False).tolist()) for _ in range(6)]
    frequency = {str(i): sum(i in kept for kept in sets) / 6 for i in range(12)}
    pairs = [len(a & b) for k, a in enumerate(sets) for b in sets[:k]]
    assert shared_by_two_seeds(frequency, 6) == pytest.approx(np.mean(pairs))
    assert shared_by_two_seeds(frequency, 1) is None


def test_a_typical_failure_is_the_median_of_the_commonest() -> None:
    trials = [record(k, complete=0, accuracy=k / 10, outcome="too little") for k in range(5)]
    trials += [record(10, complete=0, outcome="collapsed"), record(11), record(12, ending="failed", outcome="failed")]
    failure = typical_failure(trials)
    assert failure is not None
    assert failure.number == 2
    assert typical_failure([record(0)]) is None


@pytest.mark.parametrize(
    ("distribution", "values"),
    [
        (FloatDistribution(1e-4, 10, log=True), (1e-4, 0.03, 10.0)),
        (FloatDistribution(1.02, 10, log=True), (1.02, 3.0, 10.0)),
        (FloatDistribution(1, 1), (1.0,)),
        (optuna.distributions.IntDistribution(1, 10), (1, 5, 10)),
        (optuna.distributions.IntDistribution(1, 20, log=True), (1, 5, 20)),
        (optuna.distributions.IntDistribution(3, 3), (3,)),
        (CategoricalDistribution(["a", "b"]), ("a", "b")),
    ],
    ids=str,
)
def test_axes_place_values_and_ticks_inside(distribution: Any, values: Sequence[Any]) -> None:
    scale = Scale(distribution)
    places = [scale.place(value) for value in values]
    assert places == sorted(places)
    assert all(-1e-9 <= place <= 1 + 1e-9 for place in [*places, *(place for place, _ in scale.ticks())])
    assert scale.ticks()
    edges = scale.edges()
    assert edges == sorted(edges)
    assert all(edges[0] <= place <= edges[-1] for place in places)


def test_importance_is_quick_and_finds_the_hyperparameter_that_matters() -> None:
    random = np.random.default_rng(0)
    trials = []
    for number in range(400):
        place = random.uniform()
        trials.append(record(number, {"growth": 10**place, "mu": "one"}, accuracy=place))
    started = time.process_time()
    found = importance(trials)
    assert time.process_time() - started < 5
    assert next(iter(found)) == "growth"
    assert sum(found.values()) == pytest.approx(1)
    assert importance([record(number) for number in range(20)]) == {}


CONFIG = {"strategy": "stepped", "keep": 3, "hidden": [16], "learning_rate": 0.01, "batch_size": 32, "seeds": 3}


def test_a_comparison_sees_its_inputs_and_no_others(data: Dataset) -> None:
    informative = fit([0, 1, 2], CONFIG, data, range(3), 15)
    noise = fit([5, 6, 7], CONFIG, data, range(3), 15)
    assert informative.inputs == ("x0", "x1", "x2")
    assert min(informative.test) > 0.8 > max(noise.test)
    assert len(informative.validation) == 3

    def scrambled(part: Part) -> Part:
        x = part.x.clone()
        x[:, 3:] = 1000 * torch.randn(len(x), 9, generator=torch.Generator().manual_seed(1))
        return Part(x, part.y)

    test = data.test
    assert test is not None
    elsewhere = Dataset(
        **{
            **vars(data),
            "train": scrambled(data.train),
            "validation": scrambled(data.validation),
            "test": scrambled(test),
        }
    )
    assert fit([0, 1, 2], CONFIG, elsewhere, range(3), 15).test == pytest.approx(informative.test, abs=0.02)


def test_the_full_network_is_a_plain_network(data: Dataset) -> None:
    assert data.test is not None
    epochs: list[int] = []
    full = fit(range(12), CONFIG, data, [7], 12, epochs.append)
    assert epochs == list(range(1, 13))
    torch.manual_seed(7)
    plain = torch.nn.Sequential(torch.nn.Linear(12, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3))
    optimizer = torch.optim.Adam(plain.parameters(), lr=0.01)
    generator = torch.Generator().manual_seed(7)
    steps = -(-210 // 32)
    for _ in range(12):
        order = torch.randperm(210, generator=generator)
        for rows in order[: steps * (210 // steps)].split(210 // steps):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(plain(data.train.x[rows]), data.train.y[rows]).backward()
            optimizer.step()
    accuracy = (plain(data.test.x).argmax(1) == data.test.y).float().mean().item()
    assert full.test == [pytest.approx(accuracy, abs=0.02)]


def test_rankings_read_the_training_part_only(data: Dataset) -> None:
    test = data.test
    assert test is not None
    shuffled = replace(data, validation=Part(test.x, 2 - test.y), test=Part(-test.x, test.y))
    for ranking in (by_mutual_information, by_random_forest):
        assert ranking(data, 3) == ranking(shuffled, 3) == [0, 1, 2]


def test_comparisons_have_the_seeds_of_the_confirmation(made: Path) -> None:
    search = read_search("made", made)
    said: list[str] = []
    networks = compare(search, study().load_data(), said.append)
    assert list(networks) == ["full", "retrained", "mutual information", "random forest"]
    assert all(len(network.test) == CONFIRM_SEEDS for network in networks.values())
    assert len(networks["full"].inputs) == 13
    assert set(networks["retrained"].inputs) == set(search.result["strategies"]["stepped"]["selected"])
    assert len(said) == 5


def test_everything_on_the_page_is_escaped() -> None:
    evil = "<script>alert('&')</script>"
    table = Table(["", evil], [Line([evil, evil], [(evil, evil)])], evil)
    section = Section(evil, [Text(evil), Heading(evil), table])
    names = ("title", "subtitle", "commands", "fingerprint", "versions", "study")
    html = render(dict.fromkeys(names, evil) | {"opening": [evil], "notes": [evil], "sections": [section]})
    assert "<script" not in html
    assert html.count("&lt;script&gt;") == 19


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
