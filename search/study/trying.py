"""A study's network is built and computes a batch before anything else happens, so that a wrong one costs nothing."""

from collections.abc import Iterator

from pruning_core.config import TrialConfig
from pruning_core.data import Dataset
from pruning_core.hyperparameters import Choices, Range, Value
from search.study.entries import Entry, is_argument
from search.study.errors import StudyError, show
from search.study.study import Study


def on(study: Study, data: Dataset) -> Study:
    """The same study about this data: `training.folds` is known, its network has been tried, and `data.keep` says n of
    its inputs, or auto.

    n stays None where the network drops no input, or where n depends on what is searched.

    Raises:
        StudyError: the network cannot be trained.
        pruning_core.data.DataError: n lies outside, or the metric cannot be measured on the data.
    """
    study = study.with_folds(data)
    if study.data.auto:
        on(with_some_n(study, data), data)
        return study
    keep = study.network.keep_of(len(data.feature_names)) if study.data.keep is None else study.data.keep
    prune = {name: shares for name, shares in study.network.prune.items() if name != "inputs"}
    network = study.network.model_copy(update={"prune": prune})
    said = study.model_copy(update={"network": network, "data": study.data.model_copy(update={"keep": keep})})
    said.check(data)
    if not (study.network.build or study.network.prune or study.network.kind):
        return said
    found = try_network(said, data)
    return said.at(found) if keep is None else said


def with_some_n(study: Study, data: Dataset) -> Study:
    """The same study, where its n is still to be found with one that is possible: half of the inputs."""
    return study.at(max(1, len(data.feature_names) // 2)) if study.data.auto else study


def try_network(study: Study, data: Dataset) -> int | None:
    """Builds the network of a study with its defaults, and at both ends of each argument that is searched.

    Returns:
        n of the pruner on its inputs, None where it has none, or where n depends on what is searched.

    Raises:
        StudyError: it cannot be trained, or that n is not `data.keep`.
    """
    found = {_inputs_kept(study, config, data) for config in _corners(study)}
    return found.pop() if len(found) == 1 else None


def _corners(study: Study) -> Iterator[TrialConfig]:
    """The study's default with each n, and with each argument at its ends."""
    searched = {name: entry for name, entry in study.varied.given.items() if is_argument(name)}
    default = study.varied.default_arguments
    for keep in study.data.keeps:
        fixed = {} if keep is None else {"keep": keep}
        yield study.trial_config({**default, **fixed})
        for name, entry in searched.items():
            for end in _ends(entry):
                yield study.trial_config({**default, **fixed, name: end})


def _ends(entry: Entry) -> tuple[Value, ...]:
    if isinstance(entry, Range):
        return entry.low, entry.high
    return entry.values if isinstance(entry, Choices) else ()


def _inputs_kept(study: Study, config: TrialConfig, data: Dataset) -> int | None:
    from pruning_core.network_check import NetworkError, check_network

    network = study.network
    if own := network.own:
        given = {name: f"network.arguments.{name}" for name in network.arguments}
        given |= {name.partition(".")[2]: f"space.{name}" for name in study.space if is_argument(name)}
        own.check_arguments(given)
    try:
        on_inputs = check_network(network.spec, config, data).on_inputs
    except NetworkError as error:
        where = f"network.build = {network.build}" if network.build else "network"
        arguments = {name: value for name, value in config.arguments.items() if name not in network.arguments}
        raise StudyError(f"{where}{f' with {show(arguments)}' if arguments else ''}: {error}") from None
    kept = None if on_inputs is None else on_inputs.keep
    if config.keep is not None and kept != config.keep:
        has = "no pruner on its inputs" if kept is None else f"n = {kept} on its inputs"
        raise StudyError(f"data.keep = {config.keep} must be left out: network.build = {network.build} has {has}")
    return kept
