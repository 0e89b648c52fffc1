"""The report's section about a search over several n: how good what is left remains as inputs go."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pruning_core.metrics import ACCURACY, Metric
from search.figures.results import score_against_n
from search.report.blocks import Line, Picture, Section, Table, Text
from search.report.findings import data_name
from search.report.search_record import SearchRecord
from search.trials.enough import Curve, sentence
from search.trials.estimate import count, estimate, listing
from search.trials.result import confirmed_by_keep


def opening(search: SearchRecord, inputs: int | None, full: Sequence[float]) -> list[str]:
    """The search in a few sentences: over which n, who wins at each of them, what all inputs would give."""
    keeps = listing([str(keep) for keep in sorted(search.keeps)])
    inputs_of = f"{inputs} " if inputs else ""
    planned = "" if search.finished else "The search is not finished. "
    sentences = [
        f"{planned}In {count(len(search.trials), 'trial')}, {listing(search.strategies)} "
        f"{'compete' if len(search.strategies) > 1 else 'is tuned'} to prune the {inputs_of}inputs of a network on "
        f"{data_name(search.study['data'])} to {keeps}."
    ]
    parts = search.result.get("keeps", {})
    said = [_at(int(keep), parts[keep], search.metric) for keep in sorted(parts, key=int)]
    what = "" if search.metric == ACCURACY else f", by {search.metric.label}"
    sentences.append(f"On the test part{what}, {listing(said)}." if said else "Nothing has been confirmed yet.")
    if full:
        sentences.append(f"Without pruning, the same network reaches {estimate(full, search.metric).short}.")
    return sentences


def _at(keep: int, part: Mapping[str, Any], metric: Metric) -> str:
    winner = part["winner"]
    if winner is None:
        return f"nothing could be confirmed with {count(keep, 'input')}"
    entry = part["strategies"][winner]
    complete = entry["outcome"]["complete"]
    some = "" if complete == 1 else f" (only {100 * complete:.0f} % of its seeds complete)"
    return f"{winner} wins with {count(keep, 'input')} at {estimate(entry['test']['per_seed'], metric).short}{some}"


def section(search: SearchRecord, full: Sequence[float], folder: Path) -> Section:
    """The section.

    Args:
        search: over several n.
        full: test scores of the network with all of its inputs, one per seed; may be empty.
        folder: for the picture.
    """
    results, title = confirmed_by_keep(search.result), f"{search.metric.title} against n"
    if not results:
        return Section(title, [Text("Nothing has been confirmed with fresh seeds yet.")])
    path, metric = folder / f"{search.metric.name}_against_n.png", search.metric
    score_against_n(path, results, full, metric)
    seeds = len(next(iter(next(iter(results.values())).values())))
    like = f"trained like the winner with {max(search.keeps)}"
    line = f" The dashed line is the same network with all of its inputs, {like}." if full else ""
    caption = (
        f"{metric.title} on the test part against n: a point for each of {count(seeds, 'fresh seed')} of the best "
        f"trial of each strategy at that n, the mean and its 95 % interval.{line}"
    )
    rows = []
    for keep in sorted(search.keeps):
        part = search.result["keeps"][str(keep)]
        scores = [estimate(results[s][keep], metric).short if keep in results.get(s, ()) else "–" for s in results]
        rows.append(Line([str(keep), *scores, str(part["winner"] or "–")]))
    chosen = (
        f"{metric.title} on the test part, 95 % intervals over the seeds; completion and validation decide who wins."
    )
    table = Table(("n", *results, "winner"), rows, chosen)
    enough = Text(f"By the validation scores of the winners: {sentence(Curve.confirmed(search.result), metric)}")
    return Section(title, [enough, Picture(path, f"Lines: test {metric.label} against n by strategy", caption), table])
