"""The report's section about a search over several n: how accurate what is left remains as inputs go."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from search.figures.results import accuracy_against_n
from search.report.blocks import Line, Picture, Section, Table, Text
from search.report.findings import data_name
from search.report.search_record import SearchRecord
from search.trials.estimate import count, estimate, listing
from search.trials.result import confirmed_by_keep

TITLE = "Accuracy against n"


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
    said = [_at(int(keep), search.result["keeps"][keep]) for keep in sorted(search.result.get("keeps", ()), key=int)]
    sentences.append(f"On the test part, {listing(said)}." if said else "Nothing has been confirmed yet.")
    if full:
        sentences.append(f"Without pruning, the same network reaches {estimate(full).short}.")
    return sentences


def _at(keep: int, part: Mapping[str, Any]) -> str:
    winner = part["winner"]
    if winner is None:
        return f"nothing could be confirmed with {count(keep, 'input')}"
    entry = part["strategies"][winner]
    complete = entry["outcome"]["complete"]
    some = "" if complete == 1 else f" (only {100 * complete:.0f} % of its seeds complete)"
    return f"{winner} wins with {count(keep, 'input')} at {estimate(entry['test']['per_seed']).short}{some}"


def section(search: SearchRecord, full: Sequence[float], folder: Path) -> Section:
    """The section.

    Args:
        search: over several n.
        full: test accuracies of the network with all of its inputs, one per seed; may be empty.
        folder: for the picture.
    """
    results = confirmed_by_keep(search.result)
    if not results:
        return Section(TITLE, [Text("Nothing has been confirmed with fresh seeds yet.")])
    path = folder / "accuracy_against_n.png"
    accuracy_against_n(path, results, full)
    seeds = len(next(iter(next(iter(results.values())).values())))
    like = f"trained like the winner with {max(search.keeps)}"
    line = f" The dashed line is the same network with all of its inputs, {like}." if full else ""
    caption = (
        f"Accuracy on the test part against n: a point for each of {count(seeds, 'fresh seed')} of the best trial of "
        f"each strategy at that n, the mean and its 95 % interval.{line}"
    )
    rows = []
    for keep in sorted(search.keeps):
        part = search.result["keeps"][str(keep)]
        accuracies = [estimate(results[s][keep]).short if keep in results.get(s, ()) else "–" for s in results]
        rows.append(Line([str(keep), *accuracies, str(part["winner"] or "–")]))
    chosen = "Accuracies on the test part, 95 % intervals over the seeds; completion and validation decide who wins."
    table = Table(("n", *results, "winner"), rows, chosen)
    return Section(TITLE, [Picture(path, "Lines: test accuracy against n by strategy", caption), table])
