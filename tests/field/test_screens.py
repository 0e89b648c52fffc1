"""What a terminal really shows: the screen as it is rendered, in a usual and in a large window."""

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pexpect
import pyte
import pytest

ROOT = Path(__file__).parents[2]
SIZES = [(80, 24), (130, 45)]
EPOCHS = ("epoch", "L_cla", "L_sel", "L_rej", "alpha", "active", "complete", "pruned", "full")
NAMES = [f"pixel_{row}_{column}" for row in range(4) for column in range(4)]


@dataclass
class Window:
    """A terminal and the program in it."""

    child: "pexpect.spawn[bytes]"
    screen: pyte.HistoryScreen
    stream: pyte.ByteStream

    def next_screen(self) -> list[str]:
        """The lines at the program's next stop, those that have left the window above it included."""
        self.screen.reset()
        self.screen.history.top.clear()
        self.child.expect(r"\x1b\]0;stop\x07", timeout=120)
        self.stream.feed(self.child.before or b"")
        above = ["".join(row[x].data for x in range(self.screen.columns)) for row in self.screen.history.top]
        self.child.sendline()
        return [line.rstrip() for line in [*above, *self.screen.display]]


@pytest.fixture(scope="module", params=SIZES, ids=lambda size: f"{size[0]} x {size[1]}")
def screens(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, list[str]]]:
    """The lines of every stop of `a_search_to_look_at`."""
    columns, lines = request.param
    folder = tmp_path_factory.mktemp("window")
    (folder / "wine.yaml").write_text(
        "name: wine\ndata: {source: wine, keep: 4}\ntraining: {epochs: 3, seeds: 2}\nstrategies: [stepped, markov]\n"
    )
    child = pexpect.spawn(
        sys.executable,
        [str(Path(__file__).with_name("a_search_to_look_at.py")), str(folder / "wine.yaml")],
        env={**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT), "COLUMNS": str(columns)},
        dimensions=(lines, columns),
        echo=False,
    )
    screen = pyte.HistoryScreen(columns, lines, history=1000)
    window = Window(child, screen, pyte.ByteStream(screen))
    yield {name: window.next_screen() for name in ("check", "trial", "search", "confirmation", "result")}
    child.close()


def line_with(lines: list[str], *words: str) -> str:
    (found,) = [line for line in lines if all(word in line for word in words)]
    return found


def cells(header: str, row: str, names: tuple[str, ...]) -> list[str]:
    """What stands in a row under the right edge of each of these names of right-aligned columns."""
    ends = [found.end() for found in (re.search(rf"(?<!\S){name}(?!\S)", header) for name in names) if found]
    assert len(ends) == len(names), header
    assert all(row[end : end + 1] in ("", " ") for end in ends), f"{header}\n{row}"
    return [row[:end].split("  ")[-1].strip() for end in ends]


def test_each_epoch_is_a_line_under_its_header(screens: dict[str, list[str]]) -> None:
    lines = screens["trial"]
    header = line_with(lines, "epoch", "L_cla")
    rows = [line for line in lines if re.match(r" +[123]/3 ", line)]
    assert len(rows) == 3
    for epoch, row in enumerate(rows, 1):
        found = cells(header, row, EPOCHS)
        assert found[0] == f"{epoch}/3"
        assert re.fullmatch(r"\d+\.\d{4}", found[1])
        assert found[6] in ("0/2", "1/2", "2/2")
        assert re.fullmatch(r"\d+\.\d %", found[8])


def test_the_live_table_stands_below_the_bar(screens: dict[str, list[str]]) -> None:
    lines = screens["search"]
    bar = line_with(lines, "━", "12/40")
    assert "strategy" not in bar
    assert bar.startswith("wine ")
    header = line_with(lines, "strategy", "best schedule so far")
    for strategy, accuracy in {"stepped": "94.5 %", "plateau": "95.0 %", "markov": "95.5 %"}.items():
        row = line_with(lines, strategy, "lambda_start")
        assert cells(header, row, ("trials", "completed", "accuracy", "replicas")) == ["4", "4", accuracy, "100.0 %"]
        assert row.index("#") == header.index("best schedule")
    table = lines[lines.index(header) : lines.index(header) + 4]
    parts = [part for line in table[1:] for part in line[header.index("best") :].split("  ")[1:]]
    whole = {"lambda_start 0.0123", "growth 1.5", "step_epochs 20", "mu frozen", "learning_rate 0.005", "…"}
    assert set(parts) <= whole
    assert line_with(lines, "12/40 trials, 0 running, 0 stopped, 0 failed")


def test_the_confirmation_shows_how_far_it_is(screens: dict[str, list[str]]) -> None:
    lines = screens["confirmation"]
    assert line_with(lines, "confirming", "━", "3/8")
    assert line_with(lines, "confirming the best of each strategy with 16 fresh seeds")
    assert not [line for line in lines if "12/40" in line], "the earlier screen is gone"


def test_the_result_breaks_no_word_and_no_number(screens: dict[str, list[str]]) -> None:
    lines = screens["result"]
    header = line_with(lines, "strategy", "validation")
    for row in (line for line in lines if re.match(r"[* ] (stepped|plateau|markov) +\d", line)):
        columns = ("completed", "complete", "epoch", "validation", "test", "network")
        expected = ["11 of 14", "100.0 %", "28", "96.1 ± 1.2 %", "95.1 ± 0.9 %", "pruned"]
        assert cells(header, row, columns) == expected
    words = {word.strip(",") for line in lines for word in line.split()}
    assert set(NAMES) <= words
    assert {"0.005", "0.0123", "learning_rate", "lambda_start", "generator_weight;", "models:/wine/1"} <= words
    assert not [line for line in lines if "confirming" in line or "━" in line], "the live table is taken away"
    assert line_with(lines, "deeppp ui --output 'my runs'")


def test_the_space_is_a_table(screens: dict[str, list[str]]) -> None:
    lines = screens["check"]
    header = line_with(lines, "hyperparameter", "values", "used by")
    row = line_with(lines, "lambda_start", "0.0001")
    assert row.startswith("lambda_start")
    assert row[header.index("values") :].startswith("0.0001 ... 10, log")
