"""The sections of the report that need nothing but the search itself: trials, space, gates and selection.

Each function draws its pictures into a folder and returns the section, with captions that say what is to be seen.
"""

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pruning_core.metrics import METRICS, Metric
from search.figures import results
from search.figures import space as space_pictures
from search.propose.importance import importance
from search.report.blocks import Block, Heading, Line, Listing, Picture, Section, Table, Text
from search.report.findings import (
    FEWEST_FOR_A_RULE,
    FEWEST_FOR_IMPORTANCE,
    rule,
    shared_by_two_seeds,
    typical_failure,
)
from search.report.search_record import SearchRecord
from search.report.selection import blocks as selection_blocks
from search.trials.estimate import count, estimate, listing
from search.trials.pareto import front
from search.trials.result import network_of
from search.trials.trial import LoggedTrial, schedule

MOST_NAMES = 40
COLUMNS = (
    "",
    "trials",
    "completed",
    "stopped",
    "failed",
    "seeds complete",
    "epoch of completion",
    "validation",
    "test",
    "network",
)
MEANINGS = {
    "complete": "complete: every seed decided all its gates, with exactly {keep} open",
    "mixed": "mixed: only some of the seeds are complete",
    "undecided": "undecided: {keep} gates are open, but not all of them decided",
    "too little": "too little: more than {keep} gates stayed open",
    "collapsed": "collapsed: fewer than {keep} gates stayed open",
    "stopped": "stopped: given up before its end",
    "failed": "failed: its training broke off",
    "unknown": "unknown: not in MLflow",
}


def strategies(search: SearchRecord) -> Section:
    """The table of strategies."""
    confirmed: Mapping[str, Any] = search.result.get("strategies") or {}
    rows = []
    for strategy in search.strategies:
        arm, entry = search.overview.arms[strategy], confirmed.get(strategy)
        numbers = [arm.trials, arm.completed, arm.stopped, arm.failed]
        cells = [strategy, *(f"{number:,}" for number in numbers)]
        details = []
        if entry:
            epoch = entry["completion_epoch"]
            cells += [f"{100 * entry['outcome']['complete']:.0f} %"]
            cells += ["–" if epoch["mean"] is None else f"{epoch['mean']:.0f} ± {epoch['std']:.0f}"]
            cells += [estimate(entry[part]["per_seed"], search.metric).short for part in ("validation", "test")]
            cells += [network_of(entry)]
            details = [
                ("schedule", schedule(entry["config"]).replace("  ", ", ")),
                ("keeps", _names(entry["selected"])),
                ("pruners", _pruners(entry.get("pruners") or {})),
                ("test part", _beside(entry)),
                ("MLflow run", f"{entry['run_id']} (trial {entry['trial']})"),
            ]
        else:
            cells += ["–"] * 5
        rows.append(
            Line(cells, [detail for detail in details if detail[1]], marked=strategy == search.result.get("winner"))
        )
    caption = "Completed: trials of which every seed completed the pruning. "
    caption += (
        "The columns to the right of failed, and the lines below, are about the best trial of each strategy, trained "
        "again with fresh seeds: mean and 95 % interval of the "
        f"{search.metric.label}, of the pruned or of the refitted networks, the better on validation; mean and "
        "standard deviation of the epoch; and the inputs that most seeds keep, the most frequent first."
        if confirmed
        else "No trial has been confirmed with fresh seeds."
    )
    return Section("The strategies", [Table(COLUMNS, rows, caption)])


def _beside(entry: Mapping[str, Any]) -> str:
    """The other metrics on the test part."""
    found = {name: entry.get(f"test_{name}") for name in METRICS}
    return ", ".join(
        f"{METRICS[name].label} {estimate(of['per_seed'], METRICS[name]()).short}" for name, of in found.items() if of
    )


def _pruners(pruners: Mapping[str, Any]) -> str:
    """How each of several pruners fared in the confirmation."""
    said = []
    for name, pruner in pruners.items():
        epoch, complete = pruner["completion_epoch"]["mean"], f"{100 * pruner['outcome']['complete']:.0f} % complete"
        when = "" if epoch is None else f" at epoch {epoch:.0f}"
        said.append(f"{name} keeps {pruner['keep']}, {complete}{when}")
    return "; ".join(said)


def _names(names: Sequence[str]) -> str:
    rest = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {rest} more" if rest > 0 else "")


def outcomes(search: SearchRecord, folder: Path) -> Section:
    """How the trials ended."""
    path = folder / "outcomes.png"
    trials = {strategy: search.of(strategy) for strategy in search.strategies}
    results.outcomes(path, trials)
    found = Counter(t.category for t in search.trials)
    completed = search.overview.completed
    said = [f"Every seed completed in {completed:,} of {count(len(search.trials), 'trial')}"]
    others = Counter({name: number for name, number in found.items() if name != "complete"})
    if others:
        name, number = others.most_common(1)[0]
        said.append(f"the commonest other ending is “{name}” ({count(number, 'trial')})")
    keep = "n of each pruner" if search.pruners else search.study["data"]["keep"] or "n"
    meanings = [text.format(keep=keep) for name, text in MEANINGS.items() if name in found]
    drastic = sum(t.drastic and t.ending == "ended" for t in search.trials)
    if drastic:
        meanings.append(
            f"drastic (hatched, {count(drastic, 'trial')}): in most complete seeds, over half of the gates that had to "
            "fall fell within one epoch"
        )
    caption = f"{'; '.join(said)}. Here, {'; '.join(meanings)}."
    blocks: list[Block] = [Picture(path, "Stacked bars: the endings of the trials of each strategy", caption)]
    stopped = [t for t in search.trials if t.ending == "stopped"]
    if stopped:
        reasons = Counter(trial.stopped or "unknown" for trial in stopped)
        why = listing([f"{reason} ({number:,})" for reason, number in reasons.most_common()])
        blocks.append(Text(f"Why trials were stopped: {why}."))
    return Section("How the trials ended", blocks)


def score_and_speed(search: SearchRecord, folder: Path) -> Section:
    """The score against the completion epoch."""
    metric = search.metric
    title = f"{metric.title} against speed"
    best = front(search.trials)
    if not best:
        return Section(title, [Text("No trial completed with every seed, so there is nothing to compare.")])
    path = folder / "pareto.png"
    below = results.pareto(path, {strategy: search.of(strategy) for strategy in search.strategies}, metric)
    first, last = best[0], best[-1]
    ends = (
        f"trial {first.number} of {first.strategy} at epoch {first.completion_epoch:.0f} with {_score(first, metric)}"
    )
    if last is not first:
        ends = (
            f"from {ends} to trial {last.number} of {last.strategy} at epoch {last.completion_epoch:.0f} "
            f"with {_score(last, metric)}"
        )
    members = Counter(t.strategy for t in best)
    made = listing([f"{number} of {strategy}" for strategy, number in members.most_common()])
    caption = (
        f"Each mark is a trial whose every seed completed. The front, of trials that no other one beats in both "
        f"{metric.label} and speed, leads {ends}; it holds {made}. {_below(below)}"
        if last is not first
        else f"Each mark is a trial whose every seed completed. One beats all others in {metric.label} and speed: "
        f"{ends}. {_below(below)}"
    )
    blocks: list[Block] = [
        Picture(path, f"Scatter plot: pruned {metric.label} against completion epoch", caption.strip())
    ]
    if isinstance(search.study["search"].get("objective"), list):
        blocks.append(_front(best, metric))
    return Section(title, blocks)


def _front(best: Sequence[LoggedTrial], metric: Metric) -> Table:
    """The members of the Pareto front, the best scored first."""
    rows = [
        Line(
            [f"{t.strategy} #{t.number}", _score(t, metric), f"{t.completion_epoch:.1f}"],
            [("schedule", schedule(t.params).replace("  ", ", ")), ("MLflow run", t.run_id)],
        )
        for t in reversed(best)
    ]
    caption = (
        f"The Pareto front that this search with two objectives looked for, by falling {metric.label}: means over "
        f"the seeds of the search, the {metric.label} on the validation part."
    )
    return Table(("", f"pruned {metric.label}", "completion epoch"), rows, caption)


def _score(trial: LoggedTrial, metric: Metric) -> str:
    return metric.text(trial.score or 0.0)


def _below(number: int) -> str:
    if not number:
        return ""
    return f"{count(number, 'trial')} below the frame {'is' if number == 1 else 'are'} marked on its lower edge."


def space(search: SearchRecord, folder: Path) -> Section:
    """Which hyperparameters matter, strategy by strategy."""
    blocks: list[Block] = []
    ended = {s: [t for t in search.of(s) if t.ending == "ended"] for s in search.strategies}
    enough = {s: trials for s, trials in ended.items() if len(trials) >= FEWEST_FOR_IMPORTANCE}
    found = {s: values for s, trials in enough.items() if len(values := importance(trials)) > 1}
    if found:
        path = folder / "importance.png"
        space_pictures.importances(path, found)
        first: dict[str, list[str]] = {}
        for strategy, values in found.items():
            first.setdefault(next(iter(values)), []).append(strategy)
        matter = "; ".join(f"{name} for {listing(users)}" for name, users in first.items())
        few = [s for s in found if len(enough[s]) < 5 * FEWEST_FOR_IMPORTANCE]
        caution = f" With so few trials, it is only a hint for {listing(few)}." if few else ""
        caption = (
            "Which hyperparameters set the best trials apart (PED-ANOVA, as Optuna computes it, over trials "
            f"that came to their own end, complete or not): above all {matter}.{caution}"
        )
        blocks.append(Picture(path, "Bars: the importance of each hyperparameter by strategy", caption))
    for strategy, trials in ended.items():
        blocks.append(Heading(strategy))
        if strategy not in enough:
            few_ended = "no trial" if not trials else f"only {count(len(trials), 'trial')}"
            too_few = (
                f"too few for pictures of the space and for what matters there, which take {FEWEST_FOR_IMPORTANCE}"
            )
            blocks.append(Text(f"{few_ended} came to an end: {too_few}.".capitalize()))
            continue
        order = list(found.get(strategy) or space_pictures.scales(trials))
        if not order:
            blocks.append(Text("The study fixes all of its hyperparameters."))
            continue
        ranked = ", the most important ones first" if strategy in found else ""
        blocks += [*_slices(strategy, trials, order, ranked, search.metric, folder)]
        blocks += [*_parallel(strategy, trials, order, search.metric, folder)]
    return Section(f"Which hyperparameters matter for {search.metric.label}", blocks)


def _slices(
    strategy: str, trials: Sequence[LoggedTrial], order: list[str], ranked: str, metric: Metric, folder: Path
) -> Iterator[Block]:
    path = folder / f"slices_{strategy}.png"
    below = space_pictures.slices(path, trials, order, metric)
    best = max((t for t in trials if t.completed), key=lambda t: t.score or 0.0, default=None)
    at = f" The best completed trial is {best.number}, with {_score(best, metric)}." if best else ""
    yield Picture(
        path,
        f"Scatter plots: pruned {metric.label} against each hyperparameter of {strategy}",
        f"{strategy}: pruned {metric.label} (validation) against each hyperparameter{ranked}.{at} {_below(below)}",
    )


def _parallel(
    strategy: str, trials: Sequence[LoggedTrial], order: list[str], metric: Metric, folder: Path
) -> Iterator[Block]:
    path = folder / f"parallel_{strategy}.png"
    common = [name for name in order if all(name in t.params for t in trials)]
    partial = "" if common == order else " Hyperparameters that only some of these trials have are left out."
    if len(common) > 1:
        space_pictures.parallel(path, trials, common, metric)
        yield Picture(
            path,
            f"Parallel coordinates: the trials of {strategy}",
            f"{strategy}: each line is a trial, from its hyperparameters on the left to its {metric.label} on the "
            f"right; where the dark lines bundle, the best trials agree.{partial}",
        )


def separation(search: SearchRecord, folder: Path) -> Section:
    """What separates completed trials from the others."""
    blocks: list[Block] = []
    silent = []
    for strategy in search.strategies:
        trials = [t for t in search.of(strategy) if t.ending != "failed"]
        completed = sum(t.completed for t in trials)
        if min(completed, len(trials) - completed) < FEWEST_FOR_A_RULE or not space_pictures.scales(trials):
            silent.append(f"{strategy} ({completed:,} of {len(trials):,} completed)")
            continue
        path = folder / f"separation_{strategy}.png"
        space_pictures.separation(path, trials)
        caption = (
            f"{strategy}: how many trials had which value, those with every seed complete ({completed:,}) upwards and "
            f"the others ({len(trials) - completed:,}) downwards."
        )
        blocks += [
            Heading(strategy),
            Picture(path, f"Histograms of the hyperparameters of {strategy}, completed or not", caption),
        ]
        found = rule(trials)
        if found:
            leaves = [f"{text}: {done:,} of {count(number, 'trial')} completed" for text, number, done in found.leaves]
            blocks += [Text("A decision tree that asks twice divides them into:"), Listing(leaves), Text(found.verdict)]
    if silent:
        lack = f"Fewer than {FEWEST_FOR_A_RULE} trials completed, or fewer than {FEWEST_FOR_A_RULE} did not, with"
        blocks.append(Text(f"{lack} {listing(silent)}: too few to compare."))
    return Section("What separates completed trials from the others", blocks)


def gates(search: SearchRecord, folder: Path) -> Section:
    """The gates of the best and of a typical failed trial."""
    blocks: list[Block] = []
    confirmed = (search.result.get("strategies") or {}).get(search.result.get("winner"))
    completed = [t for t in search.trials if t.completed]
    best = max(completed, key=lambda t: t.score or 0.0, default=None)
    if confirmed:
        best = next((t for t in search.trials if t.number == confirmed["trial"]), best)
    failure = typical_failure(search.trials)
    for trial, name, what in ((best, "best", "the best trial"), (failure, "failure", "a typical incomplete trial")):
        if trial is None:
            reason = "No trial completed." if name == "best" else "No trial was left incomplete."
            blocks.append(Text(reason))
            continue
        path = folder / f"gates_{name}.png"
        with tempfile.TemporaryDirectory() as place:
            source = search.artifact(trial, "gates.png", Path(place))
            if source is None:
                blocks.append(Text(f"MLflow holds no picture of trial {trial.number}, {what}."))
                continue
            path.write_bytes(source.read_bytes())
        alike = sum(t.category == trial.category for t in search.trials)
        ending = f"“{trial.category}” like {alike:,} of {count(len(search.trials), 'trial')}"
        if trial.completed and trial.completion_epoch is not None:
            ending = f"complete with every seed, at epoch {trial.completion_epoch:.0f} on average"
        caption = (
            f"{what.capitalize()}: trial {trial.number} of {trial.strategy}, {ending}; pruned {search.metric.label} "
            f"(validation) {_score(trial, search.metric)}. Above, the gates of one seed over the epochs, and α dashed "
            "on a logarithmic scale; below, the number of open gates of every seed."
        )
        blocks.append(Picture(path, f"Curves: the gates of {what} over the epochs", caption))
    return Section("How gates close", blocks)


def selection(search: SearchRecord, folder: Path, inputs: int | None) -> Section:
    """How often each input is kept in a search with a winner; `inputs` is N, if known."""
    confirmed: Mapping[str, Any] = search.result["strategies"]
    best, keep = str(search.result["winner"]), search.study["data"]["keep"]
    frequencies = {s: confirmed[s]["selection_frequency"] for s in search.strategies if s in confirmed}
    path = folder / "selection.png"
    left_out = results.stability(path, frequencies, keep)
    seeds = len(confirmed[best]["test"]["per_seed"])
    shared = shared_by_two_seeds(frequencies[best], seeds)
    always = sum(value == 1 for value in frequencies[best].values())
    chance = f", where chance would give {keep**2 / inputs:.1f}" if inputs else ""
    agree = f" Two seeds have {shared:.1f} of their {keep} inputs in common on average{chance}." if shared else ""
    rest = f" Not shown: {count(left_out, 'input')} kept more rarely." if left_out else ""
    caption = (
        f"How often each input is kept by the {count(seeds, 'fresh seed')} of {best} (bars), the most frequent first: "
        f"{always} of {keep} by all of them.{agree} Marks: the other strategies.{rest}"
    )
    blocks: list[Block] = [Picture(path, "Bars: how often each input is kept", caption)]
    if found := search.result.get("selection"):
        blocks += selection_blocks(found, folder)
    return Section("Which inputs are kept", blocks)
