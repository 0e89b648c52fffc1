"""What all screens share: the two consoles, plain tables, percentages, warnings, the bar while data is read.

A terminal's lines are wrapped between words; in a pipe or a log a sentence is a line, however long.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from pruning_core.metrics import Metric
from search.study import Study
from search.study.objectives import metric_in

SECONDS_WITHOUT_A_BAR = 1.0

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)
for each in (console, errors):
    each.soft_wrap = not each.is_terminal


def percent(value: float | None, std: float | None = None) -> str:
    """0.9613, 0.004 -> '96.1 ± 0.4 %'."""
    if value is None:
        return "-"
    return f"{100 * value:.1f} %" if std is None else f"{100 * value:.1f} ± {100 * std:.1f} %"


def plain_table(*columns: str, title: str | None = None) -> Table:
    """A table without a box; columns that begin with '>' are right-aligned. Numbers are not broken."""
    table = Table(title=title, box=None, pad_edge=False, title_justify="left", header_style="dim")
    for column in columns:
        number = column.startswith(">")
        table.add_column(column.lstrip(">"), justify="right" if number else "left", no_wrap=number)
    return table


def metric_of(study: Study) -> Metric:
    """What a study maximises."""
    return metric_in(study.search.model_dump())


def warn(*sentences: str) -> None:
    """Prints warnings."""
    for sentence in sentences:
        console.print(Text.assemble(("warning:", "yellow"), " ", sentence))


@contextmanager
def reading() -> Iterator[Callable[[float], None]]:
    """A bar that says how much of the data has been read, where that takes more than a moment and there is a terminal.

    What it gives is to be told the share.
    """
    columns = TextColumn("reading the data"), BarColumn(60), TaskProgressColumn(), TimeRemainingColumn()
    bar = Progress(*columns, console=console, transient=True)
    task, started = bar.add_task("", total=1.0), time.monotonic()

    def told(share: float) -> None:
        if console.is_terminal and time.monotonic() - started > SECONDS_WITHOUT_A_BAR:
            bar.start()
        bar.update(task, completed=share)

    try:
        yield told
    finally:
        if bar.live.is_started:
            bar.stop()
