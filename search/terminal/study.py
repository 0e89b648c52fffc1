"""A study in the terminal, as `deeppp check` shows it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.text import Text

from search.study import Study
from search.study.objectives import SCORES
from search.study.sections import AUTO
from search.study.space import Row
from search.terminal.screen import console, metric_of, percent, plain_table
from search.trials.enough import CONFIGURATIONS, grid

if TYPE_CHECKING:
    from pruning_core.network_check import NetworkDescription


def show_study(study: Study, rows: Sequence[Row], data: Any, network: "NetworkDescription") -> None:
    """The resolved study, its network and its search space, as `deeppp check` prints them."""
    auto = study.data.auto
    listed = AUTO if auto else "all" if study.data.keep is None else ", ".join(map(str, study.data.keeps))
    console.print(
        f"[bold]{study.name}[/]: keep {listed} of {len(data.feature_names)} features of {escape(data.name)}, "
        f"{len(data.class_names)} classes, {study.rows_of(data)}"
    )
    if study.data.cut:
        console.print(
            f"the cut {study.data.cut} keeps {data.rows_kept} of {data.rows_read} rows "
            f"({percent(data.rows_kept / data.rows_read)})",
            markup=False,
        )
    search, training = study.search, study.training
    if auto:
        keeps = ", ".join(map(str, grid(len(data.feature_names))))
        console.print(
            f"keep auto: n is found first, on {keeps} and then between them, with {CONFIGURATIONS} configurations; "
            "what follows has that n"
        )
    console.print(
        f"{search.trials} trials by {search.sampler}, each with {training.seeds} seeds for at most "
        f"{training.epochs} epochs; the best of each strategy is confirmed with {search.confirm_seeds} fresh seeds"
    )
    if search.plateau:
        console.print(f"it ends once {search.plateau} trials in a row bring no gain beyond the spread of the seeds")
    if search.start_from:
        console.print(f"good points of {', '.join(search.start_from)} are tried first", markup=False)
    if search.score != SCORES[0]:
        console.print(f"maximised: {metric_of(study).label} under the hard mask, on the validation part")
    if len(search.objectives) > 1:
        console.print(f"two objectives, {' and '.join(search.objectives)}: the search is for their Pareto front")
    console.print()
    table = plain_table("hyperparameter", "values", "used by")
    for row in rows:
        style = "" if row.values.startswith(("default", "fixed")) else "bold"
        table.add_row(row.name, Text(row.values, style=style), row.strategies)
    console.print(table)
    _show_network(network)
    _show_missing(study, data)


def _show_network(network: "NetworkDescription") -> None:
    """The layers and the pruners of a network."""
    console.print(
        f"\nthe network has {network.parameters:,} parameters and takes {network.multiply_adds:,} multiply-adds a row"
    )
    if len(network.pruners) > 1 or network.on_inputs is None:
        pruners = [f"{pruner.name} {pruner.keep} of {pruner.units}" for pruner in network.pruners]
        console.print(f"its pruners keep {', '.join(pruners)}", markup=False)
    if not network.stacked:
        console.print("its replicas are computed by vmap, at about half the speed of layers that are known")
    table = plain_table("layer", "", "a row becomes", ">parameters")
    for layer in network.layers:
        shape = "" if layer.output is None else " x ".join(map(str, layer.output))
        table.add_row(Text(layer.path), Text(f"{layer.type}({layer.sizes})"), shape, f"{layer.parameters:,}")
    console.print(table)


def _show_missing(study: Study, data: Any) -> None:
    """The share of missing values of each input that lacks some."""
    shares = {name: share for name, share in zip(data.feature_names, data.missing, strict=False) if share}
    if not shares:
        return
    console.print()
    table = plain_table("input", ">missing", "filled with")
    for name, share in shares.items():
        table.add_row(Text(name), percent(share), f"the {study.data.impute} of the training part")
    console.print(table)
