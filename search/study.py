"""The study file (YAML) as a validated model, under `KEY=VALUE` overrides, and the trials that it describes.

`load_study` serves a search and `load_trial` a single trial. Whatever is wrong with the file or an override
is a `StudyError`, one sentence that names the key, the value and what is allowed.
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import yaml
from pydantic import Field, PrivateAttr, ValidationError, field_serializer, field_validator, model_validator

from pruning_core.config import Strategy, TrialConfig
from search.space import (
    HOMES,
    SEARCHABLE,
    Choices,
    Entry,
    Range,
    StudyError,
    check_hyperparameter,
    parse_entry,
    plain_entry,
    possible_numbers,
    sentence,
    show,
    users,
)
from search.study_sections import Data, Network, Resources, Search, Section, Training

if TYPE_CHECKING:
    from pruning_core.datasets import Dataset


class Study(Section):
    """A study file. Only `name` and `data` are required; `space` holds ranges, choices and fixed values.

    >>> data = {"source": "digits", "keep": 16}
    >>> study = Study.model_validate({"name": "a", "data": data, "space": {"growth": 2}})
    >>> study.trial_config({"lambda_start": 0.5}).growth
    2.0

    ``study.model_dump(mode="json")`` is the study with every default filled in.
    `Study.model_validate` reads it.
    """

    name: str = Field(max_length=100, description="letters, digits, '.', '_' and '-'; names the experiment")
    data: Data
    network: Network = Network()
    training: Training = Training()
    strategies: tuple[Strategy, ...] = Field(
        ("stepped", "plateau", "markov"), description="what competes; a single trial takes the first"
    )
    space: dict[str, Entry] = Field({}, description="name: value | {low, high, log} | {choices}")
    search: Search = Search()
    resources: Resources = Resources()

    _text: str = PrivateAttr("")

    @model_validator(mode="before")
    @classmethod
    def _skip_empty_sections(cls, document: object) -> object:
        if not isinstance(document, Mapping):
            return document
        return {key: value for key, value in document.items() if value is not None}

    @field_validator("name")
    @classmethod
    def _file_name(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", name):
            raise ValueError("must hold letters, digits, '.', '_' and '-' only, and begin with none of '.' and '-'")
        return name

    @field_validator("resources", mode="before")
    @classmethod
    def _measured(cls, resources: object) -> object:
        return {"cpu": None, "gpu": None} if resources == "auto" else resources

    @field_validator("strategies", mode="before")
    @classmethod
    def _each_once(cls, strategies: object) -> object:
        names = [strategies] if isinstance(strategies, str) else strategies
        if isinstance(names, list | tuple) and (not names or len({*map(str, names)}) < len(names)):
            raise ValueError(f"must be a list of one or more of {', '.join(get_args(Strategy))}, each once")
        return names

    @field_validator("space", mode="plain")
    @classmethod
    def _entries(cls, space: object) -> dict[str, Entry]:
        if not isinstance(space, Mapping):
            raise ValueError("must hold lines like growth: 2 or growth: {low: 1.1, high: 10, log: true}")
        return {str(name): parse_entry(str(name), value) for name, value in space.items()}

    @field_serializer("space")
    def _plain_entries(self, space: dict[str, Entry]) -> dict[str, Any]:
        return {name: plain_entry(entry) for name, entry in space.items()}

    @model_validator(mode="after")
    def _lambda_fits(self) -> "Study":
        start, most = (max(possible_numbers(self, "lambda_start")), min(possible_numbers(self, "lambda_max")))
        if start > most:
            raise StudyError(
                f"space.lambda_start may reach {start:g} in this study and must not exceed lambda_max, "
                f"which may be {most:g}"
            )
        return self

    @property
    def text(self) -> str:
        """The study file as it was written, without overrides; empty for a study that comes from no file."""
        return self._text

    @property
    def arms(self) -> dict[str, dict[str, Any]]:
        """What competes, by name, and what each fixes: a strategy, and n where the study is about several.

        Each arm has an optimiser of its own and the same number of trials.
        """
        if len(self.data.keeps) == 1:
            return {strategy: {"strategy": strategy} for strategy in self.strategies}
        return {
            f"{strategy} n={keep}": {"strategy": strategy, "keep": keep}
            for keep in self.data.keeps
            for strategy in self.strategies
        }

    def arm(self, params: Mapping[str, Any]) -> str:
        """The name of the arm that a trial with these hyperparameters belongs to."""
        return str(params["strategy"]) if len(self.data.keeps) == 1 else f"{params['strategy']} n={params['keep']}"

    def at(self, keep: int) -> "Study":
        """The same study about this n alone."""
        return self.model_copy(update={"data": self.data.model_copy(update={"keep": keep})})

    @property
    def warnings(self) -> list[str]:
        """Sentences about what is allowed but probably not meant."""
        used, untried = users(self), list(self.arms)[self.search.trials :]
        idle = [
            f"space.{name} has no effect: none of the strategies {', '.join(self.strategies)} uses it"
            for name in self.space
            if name not in used
        ]
        few = f"search.trials = {self.search.trials} leaves {', '.join(untried)} without a trial"
        return idle + [few] * bool(untried)

    def trial_config(self, hyperparameters: Mapping[str, object] | None = None) -> TrialConfig:
        """The configuration of one trial: the library's defaults, under what the study fixes, under these.

        Where these leave out `strategy` or `keep`, it is the study's first.

        Raises:
            StudyError: a name that is no hyperparameter, or a value outside its range.
        """
        values: dict[str, object] = {"keep": self.data.keeps[0], "hidden": self.network.hidden}
        values |= self.training.model_dump() | {"strategy": self.strategies[0]}
        values |= {name: entry for name, entry in self.space.items() if not isinstance(entry, Range | Choices)}
        for name, value in (hyperparameters or {}).items():
            values[name] = check_hyperparameter(name, value, name)
        try:
            return TrialConfig.model_validate(values)
        except ValidationError as error:
            raise StudyError(sentence(error)) from None

    def load_data(self) -> "Dataset":
        """The study's data. A relative path in `data.source` counts from the working directory here.

        Raises:
            pruning_core.datasets.DataError: the data cannot be used.
        """
        from pruning_core.datasets import load_dataset

        return load_dataset(folder=Path(), **{**self.data.model_dump(), "keep": max(self.data.keeps)})


def load_study(path: Path, overrides: Sequence[str] = ()) -> Study:
    """Read a study file for a search.

    Args:
        path: the study file.
        overrides: ``KEY=VALUE`` each, with a key of the study file such as ``training.epochs``, or the bare
            name of a hyperparameter, which fixes it: ``growth=2`` is ``space.growth=2``. Values are YAML.

    Raises:
        StudyError: the file or an override is wrong.
    """
    text, document = _read(path)
    for key, value in map(parse_override, overrides):
        in_space = isinstance(document.get("space"), dict) and key in document["space"]
        if key in TrialConfig.model_fields:
            key = f"space.{key}" if in_space else HOMES.get(key, f"space.{key}")
        _set(document, key, value)
    return _validate(path, text, document)


def load_trial(path: Path, overrides: Sequence[str] = ()) -> tuple[Study, TrialConfig]:
    """Read a study file for a single trial: the study, and the configuration of that trial.

    Args:
        path: the study file.
        overrides: as for `load_study`, but the bare name of a hyperparameter says what this one trial has and
            leaves the search space alone: the value may lie outside of what the study would search.

    Raises:
        StudyError: the file or an override is wrong.
    """
    text, document = _read(path)
    hyperparameters: dict[str, object] = {}
    for key, value in map(parse_override, overrides):
        if key in SEARCHABLE or key == "strategy":
            hyperparameters[key] = value
        else:
            _set(document, HOMES.get(key, key), value)
    study = _validate(path, text, document)
    return study, study.trial_config(hyperparameters)


def _parse_yaml(text: str, where: str) -> Any:
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        raise StudyError(f"{where}{line} is not valid YAML: {problem}") from None


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise StudyError(f"the study file {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise StudyError(f"the study file {path} must be text in UTF-8") from None
    document = _parse_yaml(text, str(path))
    if not isinstance(document, dict):
        raise StudyError(f"the study file {path} must hold keys such as name and data, and holds {show(document)}")
    return text, document


def parse_override(override: str) -> tuple[str, Any]:
    key, equals, value = override.partition("=")
    if not (key.strip() and equals):
        raise StudyError(f"--set {override} must have the form KEY=VALUE, such as training.epochs=80")
    return key.strip(), _parse_yaml(value, f"--set {override}")


def _set(document: dict[str, Any], key: str, value: object) -> None:
    *sections, leaf = key.split(".")
    place = document
    for depth, section in enumerate(sections, 1):
        if place.get(section) is None:
            place[section] = {}
        place = place[section]
        if not isinstance(place, dict):
            whole = ".".join(sections[:depth])
            raise StudyError(f"{key} = {show(value)} is not a key: {whole} = {show(place)} is set as a whole")
    place[leaf] = value


def _validate(path: Path, text: str, document: dict[str, Any]) -> Study:
    data = document.get("data")
    if isinstance(data, dict) and isinstance(data.get("source"), str) and Path(data["source"]).suffix:
        data["source"] = str((path.parent / data["source"]).resolve())
    try:
        study = Study.model_validate(document)
    except ValidationError as error:
        raise StudyError(_sentence(error)) from None
    study._text = text
    return study


def _sentence(error: ValidationError) -> str:
    """The first of pydantic's complaints as one sentence."""
    first = error.errors(include_url=False)[0]
    key = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        return _unknown(key, first["input"])
    if first["type"] == "model_type":
        return f"{key} = {show(first['input'])} must be a section with the keys {', '.join(_below(key))}"
    return sentence(error)


@cache
def _keys() -> tuple[str, ...]:
    """Every key of a study file."""
    keys = list(Study.model_fields)
    for section, field in Study.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            keys += [f"{section}.{name}" for name in field.annotation.model_fields]
    return (*keys, *(f"space.{name}" for name in SEARCHABLE))


def _below(section: str) -> list[str]:
    return [name for where, _, name in (key.rpartition(".") for key in _keys()) if where == section]


def _unknown(key: str, value: object) -> str:
    section, _, name = key.rpartition(".")
    keys = sorted(_keys(), key=lambda known: known.rpartition(".")[0] != section)  # this section's first
    names = [known.rpartition(".")[2] for known in keys]
    close = difflib.get_close_matches(name, names, 1)
    hint = f"; did you mean {keys[names.index(close[0])]}?" if close else ""
    takes = f"{section or 'a study file'} takes {', '.join(_below(section))}"
    return f"{key} = {show(value)} is not a key of the study file: {takes}{hint}"
