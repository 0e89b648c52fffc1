"""The result of a search, as `deeppp search --json` writes it, n by n."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from pruning_core.metrics import Metric
from search.trials.trial import SearchEnding

RESULT = "search.json"
SIGNAL_EFFICIENCIES = tuple(k / 50 for k in range(1, 50))
"""Where the ROC curve of a confirmed trial is told, if there are two classes."""


def by_keep(result: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """What came out for every n of a search, under n as text; of a single n, the result itself under ""."""
    return result.get("keeps") or {"": result}


def confirmed_by_keep(result: Mapping[str, Any]) -> dict[str, dict[int, Sequence[float]]]:
    """For each strategy of a search over several n its test accuracies by n, a value per seed; empty of a single n."""
    found: dict[str, dict[int, Sequence[float]]] = {}
    for keep, part in sorted((result.get("keeps") or {}).items(), key=lambda item: int(item[0])):
        for strategy, entry in part["strategies"].items():
            found.setdefault(strategy, {})[int(keep)] = entry["test"]["per_seed"]
    return found


def at(keep: str) -> str:
    """` at n = 5`, or nothing where there is a single n."""
    return f" at n = {keep}" if keep else ""


def save_result(folder: Path, result: dict[str, Any], ending: SearchEnding) -> None:
    """Leaves in a search's folder how it ended.

    Raises:
        OSError: it cannot be written.
    """
    new = folder / f"{RESULT}.new"
    new.write_text(json.dumps({"ending": ending, "result": result}, indent=1))
    os.replace(new, folder / RESULT)


def saved_result(folder: Path) -> tuple[dict[str, Any], SearchEnding]:
    """How the search in a folder ended when it last ran; one that was killed counts as interrupted."""
    try:
        saved = json.loads((folder / RESULT).read_text())
    except (OSError, ValueError):
        return {}, "interrupted"
    return saved["result"], next(e for e in get_args(SearchEnding) if e == saved["ending"])


def network_of(entry: Mapping[str, Any]) -> str:
    """Whose scores an entry of `strategies` has: "refitted" or "pruned", the better network on validation."""
    return str(entry.get("network", "pruned"))


def pruned(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """The scores of the networks that learnt while gates closed, which an entry of an early search has itself."""
    scores: Mapping[str, Any] = entry.get("pruned", entry)
    return scores


def refit_sentence(entry: Mapping[str, Any], metric: Metric) -> str:
    """How the winner's network does if it is trained from the start on its inputs alone, or not; "" where it was not.

    Args:
        entry: of `strategies` in `deeppp search --json`.
    """
    if not (refit := entry.get("refit")):
        return ""

    def scores(of: Mapping[str, Any]) -> str:
        test, validation = (metric.text(of[part]["mean"], of[part]["std"]) for part in ("test", "validation"))
        return f"{test} on test, {validation} on validation"

    return (
        f"Refitted, that is trained from the start on the {len(entry['selected'])} inputs that most seeds keep "
        f"({refit['epochs']} epochs), it reaches {scores(refit)}; as it was pruned, {scores(pruned(entry))} "
        "(mean ± std)."
    )
