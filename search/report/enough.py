"""The report's section about `data.keep: auto`: the curve that n was taken from."""

from pathlib import Path

from search.figures.enough import score_within_band
from search.report.blocks import Line, Picture, Section, Table, Text
from search.report.search_record import SearchRecord
from search.trials.enough import Curve, sentence


def section(search: SearchRecord, folder: Path) -> Section:
    """The section.

    Args:
        search: of which n was found.
        folder: for the picture.
    """
    curve, metric = Curve.read(search.result["keep"]), search.metric
    path = folder / "keep.png"
    score_within_band(path, curve, metric)
    against = "the mean cost of the inputs kept" if curve.priced else "n"
    caption = (
        f"{metric.title} under the hard mask against {against}, on rows that were not trained on: the mean over the "
        "seeds and one standard error on both sides. At every n the same few configurations have trained with the same "
        "seeds, and the best of them stands here. The band is no interval for the winner below, which is tuned and "
        "confirmed for this n alone."
    )
    rows = [
        Line(
            [
                str(point.keep),
                *([f"{point.cost:.4g}"] if curve.priced else []),
                metric.text(point.mean),
                metric.text(point.error),
                f"{100 * point.complete:.0f} %",
                str(point.params["strategy"]),
            ],
            marked=point == curve.chosen,
        )
        for point in curve.points
    ]
    columns = ("n", *(["mean cost"] if curve.priced else []), metric.label, "standard error", "complete", "strategy")
    table = Table(columns, rows, "The points of the curve; one counts if every seed completed.")
    picture = Picture(path, f"Curve: {metric.label} against {against}, with the chosen n", caption)
    return Section("How many inputs are enough", [Text(sentence(curve, metric)), picture, table])
