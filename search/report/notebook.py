"""What a notebook shows of a search: its table of strategies and how the gates of the winner closed."""

import base64
from collections.abc import Mapping
from html import escape
from typing import Any

from search.trials.result import by_keep, network_of

COLUMNS = ("strategy", "n", "trials", "completed", "complete", "epoch", "validation", "test", "network")


def result_html(result: Mapping[str, Any], picture: bytes | None) -> str:
    """A search in HTML.

    Args:
        result: what `deeppp search --json` writes.
        picture: PNG of the winner's gates, if there is one.
    """
    head = f"<b>{escape(result['study'])}</b>: {result['trials']} trials ({result['stopped']} stopped, "
    head += f"{result['failed']} failed) in {result['seconds']:.0f} s"
    rows = [
        _row(keep, name, entry, won=name == part["winner"])
        for keep, part in by_keep(result).items()
        for name, entry in part["strategies"].items()
    ]
    titles = "".join(f"<th>{title}</th>" for title in COLUMNS)
    table = f"<table><thead><tr>{titles}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return f"<div>{head}{table}{'' if picture is None else _image(picture)}</div>"


def _row(keep: str, name: str, entry: Mapping[str, Any], won: bool) -> str:
    epoch = entry["completion_epoch"]["mean"]
    cells = [
        f"<b>{escape(name)}</b>" if won else escape(name),
        escape(keep or str(entry["config"].get("keep", "all"))),
        str(entry["trials"]),
        str(entry["completed"]),
        f"{100 * entry['outcome']['complete']:.0f} %",
        "-" if epoch is None else f"{epoch:.0f}",
        _percent(entry["validation"]),
        _percent(entry["test"]),
        network_of(entry),
    ]
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _percent(score: Mapping[str, Any]) -> str:
    return f"{100 * score['mean']:.1f} ± {100 * score['std']:.1f} %"


def _image(picture: bytes) -> str:
    data = base64.b64encode(picture).decode()
    return f'<img alt="gates of the winner" style="max-width: 760px" src="data:image/png;base64,{data}">'
