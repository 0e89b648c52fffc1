"""Reads study files: the YAML, under `KEY=VALUE` overrides, for a search or for a single trial.

`load_study` serves a search and `load_trial` a single trial. Whatever is wrong with the file or an override
is a `StudyError`, one sentence that names the key, the value and what is allowed.
"""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pruning_core.config import ARGUMENT, TrialConfig
from search.study.document import parse_yaml
from search.study.entries import HOMES, is_argument, searchable
from search.study.errors import StudyError, sentence, show
from search.study.network import Network
from search.study.own_network import absolute
from search.study.paths import from_folder
from search.study.section import Section
from search.study.study import Study


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
        if _names_argument(key):
            key = f"space.{key}" if in_space else key.replace(".", ".arguments.", 1)
        elif key in TrialConfig.model_fields:
            key = f"space.{key}" if in_space else HOMES.get(key, f"space.{key}")
        _set(document, key, value)
    return read_study(document, path.parent, text)


def load_trial(path: Path, overrides: Sequence[str] = ()) -> tuple[Study, TrialConfig]:
    """Read a study file for a single trial: the study, and the configuration of that trial.

    Args:
        path: the study file.
        overrides: as for `load_study`, but the bare name of a hyperparameter says what this one trial has and
            leaves the search space alone: the value may lie outside of what the study would search. Where none says
            which strategy it is, it is the study's first that uses all of these names.

    Raises:
        StudyError: the file or an override is wrong.
    """
    text, document = _read(path)
    hyperparameters: dict[str, object] = {}
    for key, value in map(parse_override, overrides):
        if key in searchable() or key == "strategy" or _names_argument(key):
            hyperparameters[key] = value
        else:
            _set(document, HOMES.get(key, key), value)
    study = read_study(document, path.parent, text)
    if study.data.auto:
        raise StudyError("data.keep = 'auto' is found by a search: a single trial takes a number, --set data.keep=16")
    return study, study.trial_config({"strategy": study.first_with(hyperparameters), **hyperparameters})


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise StudyError(f"the study file {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise StudyError(f"the study file {path} must be text in UTF-8") from None
    document = parse_yaml(text, str(path))
    if not isinstance(document, dict):
        raise StudyError(f"the study file {path} must hold keys such as name and data, and holds {show(document)}")
    return text, document


def parse_override(override: str) -> tuple[str, Any]:
    key, equals, value = override.partition("=")
    if not (key.strip() and equals):
        raise StudyError(f"--set {override} must have the form KEY=VALUE, such as training.epochs=80")
    return key.strip(), parse_yaml(value, f"--set {override}")


def _names_argument(key: str) -> bool:
    """Whether a key such as `network.width` is that of an argument of the network, not of its section."""
    return is_argument(key) and key.removeprefix(ARGUMENT) not in Network.model_fields


def _set(document: dict[str, Any], key: str, value: object) -> None:
    *sections, leaf = key.split(".", 1) if key.startswith(f"space.{ARGUMENT}") else key.split(".")
    place = document
    for depth, section in enumerate(sections, 1):
        if place.get(section) is None:
            place[section] = {}
        place = place[section]
        if not isinstance(place, dict):
            whole = ".".join(sections[:depth])
            raise StudyError(f"{key} = {show(value)} is not a key: {whole} = {show(place)} is set as a whole")
    place[leaf] = value


def read_study(document: Mapping[str, Any], folder: Path = Path(), text: str = "") -> Study:
    """The study that stands in a document.

    Args:
        document: what a study file holds.
        folder: from which relative paths of files count.
        text: the study file, if there is one.

    Raises:
        StudyError: the document is wrong.
    """
    document = dict(document)
    data = document.get("data")
    if isinstance(data, dict):
        document["data"] = from_folder(data, folder)
    network = document.get("network")
    if isinstance(network, dict) and isinstance(network.get("build"), str):
        document["network"] = {**network, "build": absolute(network["build"], folder)}
    try:
        return Study.read(document, text)
    except ValidationError as error:
        raise StudyError(_what_is_wrong(error)) from None


def _what_is_wrong(error: ValidationError) -> str:
    """The first of pydantic's complaints as one sentence."""
    first = error.errors(include_url=False)[0]
    key = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        return _unknown(key, first["input"])
    if first["type"] == "model_type":
        return f"{key} = {show(first['input'])} must be a section with the keys {', '.join(_below(key))}"
    return sentence(error)


def _keys() -> tuple[str, ...]:
    """Every key of a study file."""
    keys = list(Study.model_fields)
    for section, field in Study.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            keys += [f"{section}.{name}" for name in field.annotation.model_fields]
    return (*keys, *(f"space.{name}" for name in searchable()))


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
