"""A search shows its table of strategies and the winner's gates in a notebook."""

from typing import Any
from xml.etree import ElementTree

from search.report.notebook import result_html


def entry(validation: float, epoch: float | None) -> dict[str, Any]:
    score = {"mean": validation, "std": 0.01, "per_seed": [validation]}
    outcome = {"complete": 0.75, "too little": 0.25}
    common = {"trials": 7, "completed": 4, "outcome": outcome, "completion_epoch": {"mean": epoch, "std": None}}
    return {**common, "config": {"keep": 4}, "validation": score, "test": score}


def texts(html: str) -> list[list[str]]:
    """The cells of each row."""
    page = ElementTree.fromstring(html.partition("<img")[0].removesuffix("</div>") + "</div>")
    return [["".join(cell.itertext()) for cell in row] for row in page.iter("tr")]


RESULT = {"study": "a<b", "trials": 14, "stopped": 2, "failed": 1, "seconds": 12.3}


def test_a_row_for_each_strategy_and_the_winner_in_bold() -> None:
    strategies = {"stepped": entry(0.9, 31.2), "markov": entry(0.8, None)}
    html = result_html({**RESULT, "strategies": strategies, "winner": "stepped"}, None)
    assert texts(html)[1:] == [
        ["stepped", "4", "7", "4", "75 %", "31", "90.0 ± 1.0 %", "90.0 ± 1.0 %", "pruned"],
        ["markov", "4", "7", "4", "75 %", "-", "80.0 ± 1.0 %", "80.0 ± 1.0 %", "pruned"],
    ]
    assert "<b>stepped</b>" in html
    assert "<b>markov</b>" not in html
    assert "<b>a&lt;b</b>: 14 trials (2 stopped, 1 failed) in 12 s" in html
    assert "<img" not in html


def test_a_search_over_several_n_has_a_row_for_each() -> None:
    part = {"strategies": {"stepped": entry(0.9, 30)}, "winner": "stepped"}
    html = result_html({**RESULT, **part, "keeps": {"8": part, "4": part}}, b"picture")
    assert [row[1] for row in texts(html)[1:]] == ["8", "4"]
    assert 'src="data:image/png;base64,cGljdHVyZQ=="' in html
