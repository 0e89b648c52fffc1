"""What the report says of the selection itself: how sure each input is, what its decoys say, and its twins."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search.figures.selection import selection_picture, shown
from search.report.blocks import Block, Line, Picture, Table, Text
from search.trials.estimate import count, listing

MOST_TWINS = 12


def blocks(selection: Mapping[str, Any], folder: Path) -> list[Block]:
    """The picture, what it says, and the twins of kept inputs.

    Args:
        selection: the entry of that name in `deeppp search --json`.
        folder: for the picture.
    """
    path = folder / "claims.png"
    left_out = selection_picture(path, selection)
    rest = f" Not shown: {count(left_out, 'input')} that hardly any replica keeps." if left_out else ""
    caption = (
        f"The share of the {selection['replicas']} replicas that keep each input, with Wilson's 95 % interval; the "
        f"dashed line ends the {selection['keep']} most frequent.{_decoys_drawn(selection)}{rest}"
    )
    found: list[Block] = [Picture(path, "How often each input is kept, beside its decoys", caption)]
    found.append(Text(" ".join([*_stability(selection), *_claims(selection)])))
    found.append(_numbers(selection))
    rows = [
        Line([entry["name"], twin["name"], f"{twin['correlation']:.2f}", _replaces(twin), _lost(twin)])
        for entry in selection["inputs"]
        for twin in entry.get("twins", ())[:1]
    ]
    if rows:
        found.append(
            Table(
                ["kept input", "can stand in for it", "correlation", "takes its place", "accuracy lost"],
                rows[:MOST_TWINS],
                "For each kept input the dropped one that is most like it or takes its place most often: by how much "
                "more often replicas keep it where they lack the other, and what the winner's network loses on the "
                "validation part, not retrained, if it is told the best linear guess from the stand-in.",
            )
        )
    return found


def _numbers(selection: Mapping[str, Any]) -> Table:
    """What the picture draws, for those who would rather copy it."""
    beside = "decoys" in selection
    rows = []
    for entry in shown(selection):
        cells = [entry["name"], *(f"{100 * entry[name]:.0f} %" for name in ("frequency", "low", "high"))]
        if beside:
            cells += [f"{100 * entry['decoys']:.0f} %", f"{entry['q_value']:.2f}"]
        rows.append(Line(cells, marked=beside and entry["name"] in selection["decoys"]["claimed"]))
    columns = ["input", "kept by", "from", "to", *(["its decoys", "q"] if beside else [])]
    return Table(columns, rows, f"The numbers of the picture{'; what can be claimed is marked' if beside else ''}.")


def _decoys_drawn(selection: Mapping[str, Any]) -> str:
    if "decoys" not in selection:
        return ""
    decoys = selection["decoys"]
    return (
        f" Diamonds: in {count(decoys['replicas'], 'replica')} in which {decoys['copies']} decoys of every input "
        "competed, how often the most frequent of its decoys was kept; q is the smallest rate of false discoveries at "
        "which the input is claimed."
    )


def _stability(selection: Mapping[str, Any]) -> list[str]:
    if "stability" not in selection:
        return []
    index = selection["stability"]
    return [
        f"The stability of the selection is {index['index']:.2f} (95 % interval {index['low']:.2f} to "
        f"{index['high']:.2f}; 1: every replica keeps the same inputs, 0: as by chance; Nogueira's index)."
    ]


def _claims(selection: Mapping[str, Any]) -> list[str]:
    if "decoys" not in selection:
        return ["With search.decoys: 4, decoys compete with the inputs, and tell which of them can be claimed."]
    decoys = selection["decoys"]
    level = f"{100 * decoys['level']:.0f} %"
    noise = f"About {100 * decoys['noise']:.0f} % of what a replica keeps beside decoys is noise."
    if not decoys["claimed"]:
        return [
            f"No input can be claimed at a false discovery rate of {level}: at least {decoys['least']} must be kept "
            f"clearly more often than their decoys.",
            noise,
        ]
    names = decoys["claimed"]
    few = len(names) <= MOST_TWINS
    claimed = listing(names) if few else f"{', '.join(names[:MOST_TWINS])} and {len(names) - MOST_TWINS} more"
    beyond = len(names) > selection["keep"]
    more = f" More can be claimed than the {selection['keep']} that are kept: a larger n may pay." if beyond else ""
    return [
        f"At a false discovery rate of {level} {count(len(names), 'input')} can be claimed: {claimed}.{more}",
        noise,
    ]


def _replaces(twin: Mapping[str, Any]) -> str:
    return f"{100 * twin['replaces']:+.0f} points".replace("-", "−") if twin["replaces"] else "–"


def _lost(twin: Mapping[str, Any]) -> str:
    return f"{100 * twin['accuracy_lost']:.1f} points".replace("-", "−") if "accuracy_lost" in twin else "–"
