"""The pages as people see them: `deeppp ui` and the report, opened in headless Chromium."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from small_search import SmallSearch, small_search

from search.cli import main

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)
PATIENCE = 60_000  # milliseconds; a busy machine takes many seconds to render what a quiet one does at once

pytestmark = [pytest.mark.slow, pytest.mark.browser]


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> SmallSearch:
    return small_search(tmp_path_factory.getbasetemp())


@dataclass(frozen=True)
class UI:
    """A running `deeppp ui`: its port, and what it printed before MLflow took over."""

    port: int
    printed: str

    def link(self, view: str) -> str:
        """The address that it printed for a view."""
        (address,) = re.findall(rf"cellar, {view}:\s+(http://127\.0\.0\.1:{self.port}/\S+)", self.printed)
        return str(address)


def start(output: Path, port: int, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "search", "ui", "--output", str(output), "--port", str(port)]
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "log").open("w") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, text=True, env=environment, start_new_session=True)


@pytest.fixture(scope="module")
def ui(searched: SmallSearch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[UI]:
    folder = tmp_path_factory.mktemp("ui")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    process = start(searched.output, port, folder)
    try:
        for _ in range(480):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1)
                break
            except OSError:
                assert process.poll() is None, (folder / "log").read_text()
                time.sleep(0.25)
        yield UI(port, (folder / "log").read_text())
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine")
    api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    page = browser.new_page(viewport={"width": 2200, "height": 1000})
    page.set_default_timeout(PATIENCE)
    yield page
    page.close()


def headers(page: Any) -> list[str]:
    """The columns of the table from left to right."""
    cells = [(cell.bounding_box()["x"], cell.inner_text().strip()) for cell in page.locator(".ag-header-cell").all()]
    return [text for _, text in sorted(cells) if text]


def test_the_ui_answers_on_the_loopback_address_only(ui: UI) -> None:
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.2", ui.port), timeout=5):
        pass


def test_the_printed_address_shows_the_best_trial_of_each_strategy(searched: SmallSearch, ui: UI, page: Any) -> None:
    page.goto(ui.link("the best trial of each strategy"))
    page.get_by_text("of all", exact=True).wait_for()
    best = [run for run in searched.runs if "best" in run.data.tags]
    assert sorted(run.data.tags["strategy"] for run in best) == ["markov", "plateau", "stepped"]
    for run in best:
        page.get_by_text(str(run.info.run_name), exact=True).wait_for()
    assert page.get_by_text(re.compile(r"^(stepped|plateau|markov) #\d+$")).count() == 3
    expected = [
        "Run Name",
        "Created",
        "strategy",
        "best",
        "outcome",
        "search",
        "pruned_accuracy",
        "pruned_accuracy_std",
    ]
    assert headers(page)[: len(expected)] == expected


def test_all_trials_stand_in_one_table_the_most_accurate_first(searched: SmallSearch, ui: UI, page: Any) -> None:
    page.goto(ui.link("all trials"))
    page.get_by_text("6 matching runs").wait_for()
    names = page.get_by_text(re.compile(r"^(stepped|plateau|markov) #\d+$"))
    names.nth(5).wait_for()
    accurate = sorted(searched.runs[:-1], key=lambda run: run.data.metrics["pruned_accuracy"], reverse=True)
    assert names.first.inner_text() in {
        run.info.run_name
        for run in accurate
        if run.data.metrics["pruned_accuracy"] == accurate[0].data.metrics["pruned_accuracy"]
    }
    assert {"outcome", "completion_epoch", "drasticness", "active"} <= set(headers(page))
    assert page.get_by_text("complete", exact=True).count() >= 2


def test_without_a_view_trials_are_nested_below_their_search(ui: UI, searched: SmallSearch, page: Any) -> None:
    experiment = searched.runs[-1].info.experiment_id
    page.goto(f"http://127.0.0.1:{ui.port}/#/experiments/{experiment}/runs")
    parent = page.locator(".ag-row").filter(has_text="cellar").first
    parent.wait_for()
    names = page.get_by_text(re.compile(r"^(stepped|plateau|markov) #\d+$"))
    assert names.count() == 0
    parent.locator("button").first.click()
    names.nth(5).wait_for()
    page.get_by_text("Views", exact=True).click()
    page.get_by_text("The best trial of each strategy").wait_for()


def test_a_trial_shows_its_curves_and_its_gates(ui: UI, searched: SmallSearch, page: Any) -> None:
    run = next(run for run in searched.runs if run.data.tags.get("best") == "of all")
    address = f"http://127.0.0.1:{ui.port}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
    page.goto(f"{address}/model-metrics")
    page.locator("svg.main-svg path.js-line").first.wait_for(state="attached")
    page.goto(f"{address}/artifacts/gates.png")
    picture = page.locator("img[src^='blob:'], img[src*='gates.png']").first
    picture.wait_for()
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") == 1000


def test_the_report_opens_without_an_error_and_without_a_network(
    searched: SmallSearch, page: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "cellar.html"
    assert main(["report", "cellar", "--output", str(searched.output), "--to", str(report)]) == 0
    said: list[str] = []
    requested: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: requested.append(request.url))
    page.goto(report.as_uri())
    assert page.get_by_role("heading", name="The result on the test part").is_visible()
    assert page.get_by_text("MLflow has one of these networks as the model models:/cellar/1").is_visible()
    widths = page.evaluate("Promise.all([...document.images].map(i => i.decode().then(() => i.naturalWidth)))")
    assert len(widths) >= 6
    assert min(widths) > 100
    page.set_viewport_size({"width": 400, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert said == []
    assert [url for url in requested if not url.startswith(("file:", "data:"))] == []


def test_the_picture_of_the_selection_has_the_numbers_of_the_json(page: Any, tmp_path: Path) -> None:
    study = tmp_path / "claims.yaml"
    study.write_text(
        "name: claims\ndata: {source: wine, keep: 4}\ntraining: {epochs: 60}\nstrategies: [adaptive]\n"
        "search: {trials: 2, confirm_seeds: 8, decoys: 4}\n"
    )
    result = tmp_path / "claims.json"
    output = ["--output", str(tmp_path / "runs")]
    assert main(["search", str(study), *output, "--json", str(result)]) == 0
    assert main(["report", "claims", *output, "--to", str(tmp_path / "claims.html")]) == 0
    selection = json.loads(result.read_text())["selection"]
    page.goto((tmp_path / "claims.html").as_uri())
    picture = page.get_by_alt_text("How often each input is kept, beside its decoys")
    picture.scroll_into_view_if_needed()
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") == 2000
    assert picture.bounding_box()["width"] > 400
    table = page.locator("table").filter(has=page.get_by_role("columnheader", name="its decoys"))
    told = [row.locator("th, td").all_inner_texts() for row in table.locator("tbody tr").all()]
    inputs = {entry["name"]: entry for entry in selection["inputs"]}
    assert [row[0].strip() for row in told[:4]] == [entry["name"] for entry in selection["inputs"][:4]]
    for name, *numbers in told:
        entry = inputs[name.strip()]
        percents = [entry[key] for key in ("frequency", "low", "high", "decoys")]
        expected = [*(f"{100 * value:.0f}\xa0%" for value in percents), f"{entry['q_value']:.2f}"]
        assert [number.strip() for number in numbers] == expected, name


def test_a_port_in_use_is_refused(ui: UI, searched: SmallSearch, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["ui", "--output", str(searched.output), "--port", str(ui.port)]) == 2
    assert capfd.readouterr().err == f"deeppp: --port {ui.port} is in use: name another one\n"
