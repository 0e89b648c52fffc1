"""A line of `space` in a study file: a range, choices or a fixed value, within the limits of `TrialConfig`."""

import difflib
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from pruning_core.config import ARGUMENT, TrialConfig
from pruning_core.hyperparameters import Choices, Range, Value
from search.study.errors import StudyError, sentence, show

Entry = Range | Choices | Value

HOMES = {
    "keep": "data.keep",
    "hidden": "network.hidden",
    "arguments": "network.arguments",
    "strategy": "strategies",
    "epochs": "training.epochs",
    "batch_size": "training.batch_size",
    "seeds": "training.seeds",
    "folds": "training.folds",
    "settle_epochs": "training.settle_epochs",
    "tolerance": "training.tolerance",
}
"""Hyperparameters that a study sets outside `space`, and under which key."""


def searchable() -> tuple[str, ...]:
    """The names that `space` may hold. `batch_size` may stand there too, and then overrides `training`."""
    return tuple(name for name in TrialConfig.model_fields if name not in HOMES or name == "batch_size")


def parse_entry(name: str, value: object) -> Entry:
    """A line of `space` as a range, choices or a fixed value, all within the limits of `TrialConfig`.

    Raises:
        StudyError: the name cannot stand in `space`, or the value is not allowed.
    """
    key = f"space.{name}"
    if name in HOMES and name not in searchable():
        raise StudyError(f"{key} = {show(value)} cannot be searched: {HOMES[name]} sets it")
    if not (name in searchable() or is_argument(name)) or not isinstance(value, Mapping):
        return check_hyperparameter(name, value, key)
    allowed = ("choices",) if "choices" in value else ("low", "high", "log")
    for part in value:
        if part not in allowed:
            raise StudyError(
                f"{key}.{part} = {show(value[part])} is not a key: a range takes low, high and log, "
                "and a choice takes choices"
            )
    return _choices(name, key, value["choices"]) if "choices" in value else _range(name, key, value)


def is_argument(name: str) -> bool:
    """Whether a name is that of an argument of the network, such as `network.width`."""
    return name.startswith(ARGUMENT) and name.removeprefix(ARGUMENT).isidentifier()


def plain_entry(entry: Entry) -> Any:
    """The entry as it stands in a study file."""
    if isinstance(entry, Range):
        return {"low": entry.low, "high": entry.high, "log": entry.log}
    return {"choices": list(entry.values)} if isinstance(entry, Choices) else entry


def check_hyperparameter(name: str, value: object, key: str) -> Any:
    """The value as `TrialConfig` would take it for ``name``; messages call it ``key``.

    Raises:
        StudyError: there is no such hyperparameter, or the value is outside its range.
    """
    if is_argument(name):
        if not isinstance(value, str | int | float) or value in (float("inf"), -float("inf")) or value != value:
            raise StudyError(f"{key} = {show(value)} must be a finite number, a name, true or false")
        return value
    if name not in TrialConfig.model_fields:
        close = difflib.get_close_matches(name, TrialConfig.model_fields, 1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(TrialConfig.model_fields)}"
        raise StudyError(f"{key} = {show(value)} is not a hyperparameter: {hint}")
    if isinstance(value, bool):
        raise StudyError(f"{key} = {show(value)} must be a number or a name, not true or false")
    field = TrialConfig.model_fields[name]
    kind: Any = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
    try:
        return TypeAdapter(kind, config=ConfigDict(allow_inf_nan=False)).validate_python(value)
    except ValidationError as error:
        raise StudyError(sentence(error, key)) from None


def _choices(name: str, key: str, values: object) -> Choices:
    if not isinstance(values, list | tuple) or not values:
        raise StudyError(f"{key}.choices = {show(values)} must be a list of at least one value")
    checked = tuple(check_hyperparameter(name, value, f"{key}.choices") for value in values)
    if len(set(checked)) < len(checked):
        raise StudyError(f"{key}.choices = {show(values)} must hold every value once")
    return Choices(checked)


def _range(name: str, key: str, value: Mapping[str, object]) -> Range:
    kind = _argument_kind(value) if is_argument(name) else TrialConfig.model_fields[name].annotation
    integer = kind in (int, int | None)
    if not integer and kind is not float:
        raise StudyError(f"{key} = {show(dict(value))} must be {{choices: [...]}}, as {name} is not a number")
    for end in ("low", "high"):
        if end not in value:
            raise StudyError(f"{key}.{end} is missing: a range has low and high, and log if wanted")
    low, high = (check_hyperparameter(name, value[end], f"{key}.{end}") for end in ("low", "high"))
    log = value.get("log", False)
    if not isinstance(log, bool):
        raise StudyError(f"{key}.log = {show(log)} must be true or false")
    if low > high:
        raise StudyError(f"{key}.low = {low} must not exceed {key}.high = {high}")
    if log and low <= 0:
        raise StudyError(f"{key}.low = {low} must be above 0, as log is true")
    return Range(low, high, log, integer=integer)


def _argument_kind(value: Mapping[str, object]) -> type:
    """The type of an argument of the network that is searched in a range: integers if both ends are."""
    ends = [value.get("low"), value.get("high")]
    if all(isinstance(end, int) and not isinstance(end, bool) for end in ends):
        return int
    return float if all(isinstance(end, int | float) for end in ends if end is not None) else str
