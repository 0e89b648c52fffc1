"""A search in the terminal: the live table while it goes on, and what it came to."""

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from pruning_core.metrics import Metric
from search.stores.addresses import Stored
from search.study import Study
from search.terminal.screen import console, metric_of, percent, plain_table, warn
from search.trials.defaults import verdict
from search.trials.enough import Curve, sentence
from search.trials.overview import Overview
from search.trials.result import at, by_keep, network_of, refit_sentence
from search.trials.trial import Trial, fitting, schedule
from search.trials.watcher import Watcher

if TYPE_CHECKING:
    from search.terminal.notebook import InPlace

LINES_WITHOUT_A_TERMINAL = 10
SECONDS_OF_SPEED = 600
WIDTH_OF_NUMBERS, WIDTH_OF_SCORE, FEWEST_LETTERS = 33, 8, 20


class SearchDisplay(Watcher):
    """The live table of a search, in a terminal or a notebook; without either, a line now and then."""

    def __init__(self) -> None:
        self.live: Live | InPlace | None = None
        self.bar = _bar(transient=True)

    def looking(self, keeps: Sequence[int], pieces: int) -> None:
        different = sorted(set(keeps))
        where = f"n = {', '.join(map(str, different))}"
        if len(keeps) > len(different):
            where = f"{len(keeps) // len(different)} configurations at {where}"
        if not _is_live():
            console.print(f"how many inputs are enough: trying {where}")
            return
        self.bar.start()
        for task in self.bar.task_ids:
            self.bar.remove_task(task)
        self.bar.add_task(
            f"how many inputs are enough: {where if len(where) < 40 else f'{len(different)} n'}", total=pieces
        )

    def looked(self) -> None:
        for task in self.bar.task_ids:
            self.bar.advance(task)

    def found(self, curve: Curve, metric: Metric) -> None:
        console.print(sentence(curve, metric))

    def starts(self, sentence: str) -> None:
        console.print(sentence, markup=False)

    def begin(self, study: Study, label: str, budget: int) -> None:
        """Opens the table."""
        self.study = study
        self.label = label
        self.budget = budget
        self.started = time.monotonic()
        self.done_here = 0
        self.running: set[int] = set()
        self.faults = 0
        self.over: list[Trial] = []
        self.progress = _bar()
        self.task = self.progress.add_task(label, total=budget)
        self.is_confirming = False
        self.is_live = _is_live() or console.is_jupyter
        if self.is_live:
            self.live = self._live()
            self.live.start()
        else:
            console.print(f"{label}: {budget} trials of {', '.join(study.arms)}")

    def _live(self) -> "Live | InPlace":
        if not console.is_jupyter:
            return Live(get_renderable=self._render, console=console, refresh_per_second=2, transient=True)
        from search.terminal.notebook import InPlace  # a notebook has IPython, a terminal need not

        return InPlace(self._render)

    def trial_started(self, number: int) -> None:
        self.running.add(number)

    def trial_lost(self, number: int) -> None:
        self.running.discard(number)
        self.faults += 1

    def trial_ended(self, trial: Trial, here: bool = True) -> None:
        self.running.discard(trial.number)
        self.over.append(trial)
        self.done_here += here
        if here:
            self.progress.advance(self.task)
        else:  # says nothing about how fast this run is
            self.progress.reset(self.task, completed=len(self.over))
        self._refresh()
        every = max(1, self.budget // LINES_WITHOUT_A_TERMINAL)
        if not self.is_live and here and len(self.over) % every == 0:
            overview = self._overview()
            metric = metric_of(self.study)
            best = [f"{name} {metric.text(arm.best.score)}" for name, arm in sorted(overview.arms.items()) if arm.best]
            console.print(f"{self._counts(overview)}, {self._speed(overview)}; best: {', '.join(best)}")

    def confirming(self, pieces: int) -> None:
        self.progress.remove_task(self.task)
        self.task = self.progress.add_task("confirming", total=pieces)
        if not self.is_live and not self.is_confirming:
            console.print(self._confirmation())
        self.is_confirming = True
        self._refresh()

    def confirmed(self) -> None:
        self.progress.advance(self.task)
        self._refresh()

    def _refresh(self) -> None:
        """A terminal looks by itself, twice a second; a notebook does not."""
        if self.live:
            self.live.refresh()

    def warn(self, *sentences: str) -> None:
        warn(*sentences)

    def end(self) -> None:
        """Takes the table away."""
        if self.bar.live.is_started:
            self.bar.stop()
        if self.live:
            self.live.stop()

    def _confirmation(self) -> str:
        return f"confirming the best of each strategy with {self.study.search.confirm_seeds} fresh seeds"

    def _overview(self) -> Overview:
        return Overview.of(self.over, list(self.study.arms), lambda trial: self.study.arm(trial.params))

    def _counts(self, overview: Overview) -> str:
        parts = [
            f"{overview.trials}/{self.budget} trials",
            f"{len(self.running)} running",
            f"{overview.stopped} stopped",
            f"{overview.failed} failed",
        ]
        if self.faults:
            parts.append(f"{self.faults} lost their worker and went on")
        return ", ".join(parts)

    def _speed(self, overview: Overview) -> str:
        rate = 60 * self.done_here / (time.monotonic() - self.started)
        return f"{rate:.1f}/min, {_duration(60 * (self.budget - overview.trials) / rate)} left"

    def _render(self) -> RenderableType:
        overview, metric = self._overview(), metric_of(self.study)
        table = plain_table(
            "strategy", ">trials", ">completed", f">{metric.label}", ">replicas", "best schedule so far"
        )
        names, score = max(map(len, ["strategy", *overview.arms])), max(WIDTH_OF_SCORE, len(metric.label))
        room = max(console.width - names - score - WIDTH_OF_NUMBERS, FEWEST_LETTERS)
        for name, arm in overview.arms.items():
            row = [name, str(arm.trials), str(arm.completed)]
            if arm.best:
                best = arm.best
                what = fitting(f"#{best.number}  {schedule(best.params)}", room)
                row += [metric.text(best.score), percent(best.complete), what]
            table.add_row(*row)
        below = self._confirmation() if self.is_confirming else self._counts(overview)
        return Group(self.progress, Text(below, style="dim"), Text(), table)


def _is_live() -> bool:
    return console.is_interactive and console.file.isatty()


def _bar(transient: bool = False) -> Progress:
    return Progress(
        TextColumn("{task.description}", style="bold"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=console,
        speed_estimate_period=SECONDS_OF_SPEED,
        transient=transient,
    )


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _show_pareto(front: Sequence[Mapping[str, Any]] | None, study: Study, where: str) -> None:
    """The trials that no other one beats in both score and speed, of a search with two objectives."""
    if front is None:
        return
    if not front:
        console.print(f"\n  no trial{where} completed with every seed, so there is no Pareto front")
        return
    metric = metric_of(study)
    table = plain_table(f"  Pareto front{where}", f">{metric.label}", ">epoch", "run in MLflow")
    for member in front:
        epoch = f"{member['completion_epoch']:.1f}"
        name = f"  {member['strategy']} #{member['trial']}"
        table.add_row(name, metric.text(member[study.search.score]), epoch, member["run_id"] or "-")
    console.print()
    console.print(table)
    console.print("  of all completed trials, with their own seeds: no other one beats these in both", style="dim")


def _show_winner(name: str, entry: Mapping[str, Any], where: str, metric: Metric) -> None:
    """Who wins; of one that did not complete with every fresh seed that comes first."""
    complete, kept = entry["outcome"]["complete"], escape(", ".join(entry["selected"]))
    keeps = f" and most often keeps: {kept}" if kept else ""
    if complete == 1:
        console.print(f"[bold]{name}[/] wins{where}{keeps}")
        if said := verdict(name, entry, metric):
            console.print(said, markup=False)
        if said := refit_sentence(entry, metric):
            console.print(said, markup=False)
        return
    others = ", ".join(
        f"{percent(share)} {what}" for what, share in entry["outcome"].items() if what != "complete" and share
    )
    console.print(
        f"[bold red]no strategy completed with every fresh seed{where}[/]: [bold]{name}[/] comes first with "
        f"{percent(complete)} complete ({others}){keeps}"
    )


def show_result(result: Mapping[str, Any], study: Study, stored: Stored) -> None:
    """The table of strategies at the end of a search, and what to do next."""
    console.print(
        f"[bold]{result['study']}[/]: {result['trials']} trials "
        f"({result['stopped']} stopped, {result['failed']} failed) "
        f"in {_duration(result['seconds'])}, {result['replica_epochs_per_second']:.0f} replica-epochs/s\n"
    )
    each, metric = by_keep(result), metric_of(study)
    if result.get("keep"):
        console.print(f"{sentence(Curve.read(result['keep']), metric)}\n")
    n = [">n"] if len(each) > 1 else []
    table = plain_table("  strategy", *n, ">completed", ">complete", ">epoch", ">validation", ">test", ">network")
    for keep, part in each.items():
        for name, entry in part["strategies"].items():
            epoch = entry["completion_epoch"]["mean"]
            won = name == part["winner"]
            table.add_row(
                Text(("* " if won else "  ") + name, style="bold green" if won else ""),
                *([keep] if n else []),
                f"{entry['completed']} of {entry['trials']}",
                percent(entry["outcome"]["complete"]),
                "-" if epoch is None else f"{epoch:.0f}",
                metric.text(entry["validation"]["mean"], entry["validation"]["std"]),
                metric.text(entry["test"]["mean"], entry["test"]["std"]),
                network_of(entry),
            )
    console.print(table)
    console.print(
        f"  complete, epoch, validation, test ({metric.label}): {study.search.confirm_seeds} fresh seeds, mean ± std "
        "of the network named,\n  which is the better on validation; the best of these wins; the test part was read "
        "for these trials only\n",
        style="dim",
    )
    for keep, part in each.items():
        for name, entry in part["strategies"].items():
            console.print(f"  {name}{f' n={keep}' if n else ''} #{entry['trial']}  {schedule(entry['config'])}")
    for keep, part in each.items():
        _show_pareto(part.get("pareto"), study, at(keep))
    for error, count in result["errors"].items():
        console.print(f"  {count} failed with: {error}", style="red", markup=False)
    console.print()
    for keep, part in each.items():
        if part["winner"] is None:
            ended = f"no trial{at(keep)} came to an end that could be confirmed"
            console.print(f"{ended}; look at the trials in the MLflow UI")
        else:
            _show_winner(part["winner"], part["strategies"][part["winner"]], at(keep), metric)
    if model := result.get("model"):
        whose = f"the pruned network of {result['winner']}{at(next(iter(each)))}" if n else "its pruned network"
        console.print(
            f"{whose} as an MLflow model:  [bold]{model['uri']}[/]  "
            f"(seed {model['seed']}, {'refitted, ' * model.get('refitted', False)}"
            f"test accuracy {percent(model['test_accuracy'])})"
        )
    options = stored.options
    ui = f"deeppp ui{options['--output']}{options['--tracking-uri']}"
    report = f"deeppp report {result['study']}{''.join(options.values())}"
    console.print(Text.assemble("\nevery trial in MLflow:  ", (ui, "bold")))
    console.print(Text.assemble("one page about it all:  ", (report, "bold")))
