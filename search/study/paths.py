"""The files that the section `data` of a study names: made absolute, and named anew where they lie elsewhere now."""

import itertools
import os
from collections.abc import Callable, Mapping
from glob import glob
from pathlib import Path
from typing import Any

from pruning_core.data.sources import GLOB, without_inner
from search.study.errors import StudyError, show


def from_folder(data: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The section with the same files from anywhere: a relative path counts from the study file's folder."""
    return {**data, **_with_paths(data, lambda path: str((folder / path).resolve()))}


def moved(data: Mapping[str, Any], to: Path) -> dict[str, Any]:
    """The section of a study whose files lie elsewhere now.

    Args:
        data: the section.
        to: the folder that has taken the place of the one above all of the files; of a single file, that file or the
            folder that it lies in.

    Raises:
        StudyError: one file cannot stand for all of them, or the study names none.
    """
    paths = _paths(data)
    if not paths:
        raise StudyError(f"--data {to} must be left out: data.source = {show(data['source'])} names no file")
    above = os.path.commonpath([_folder(path) for path in paths])
    if to.is_dir():
        return {**data, **_with_paths(data, lambda path: str(to.resolve() / os.path.relpath(path, above)))}
    if len(paths) > 1 or GLOB.search(paths[0]):
        raise StudyError(f"--data {to} must be a folder that holds what {above} held: the study names several files")
    inner = without_inner(paths[0])[1]
    return {**data, **_with_paths(data, lambda path: f"{to.resolve()}{f':{inner}' if inner else ''}")}


def are_there(data: Mapping[str, Any]) -> bool:
    """Whether all files are there that the section names; URLs are not looked at."""
    return all(Path(file).is_file() or glob(file) for file, _ in map(without_inner, _paths(data)))


def _with_paths(data: Mapping[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    """The keys that name files, with every path changed."""
    split = data.get("split")
    by_files = isinstance(split, Mapping) and set(split) == {"validation", "test"}
    keys = [key for key in ("source", "split") if key in data and (key == "source" or by_files)]
    return {key: _each_path(data[key], change) for key in keys}


def _each_path(source: Any, change: Callable[[str], str]) -> Any:
    """The same source with every path in it changed; URLs and the names of sets stay."""
    if isinstance(source, Mapping):
        return {label: _each_path(paths, change) for label, paths in source.items()}
    if isinstance(source, list | tuple):
        return type(source)(_each_path(path, change) for path in source)
    if not isinstance(source, str) or "://" in source or not set(source) & set("./*?"):
        return source
    return change(source)


def _paths(data: Mapping[str, Any]) -> list[str]:
    found: list[str] = []

    def note(path: str) -> str:
        found.append(path)
        return path

    _with_paths(data, note)
    return found


def _folder(address: str) -> str:
    """The folder of a path, or of a pattern the one above the first part that is one."""
    parts = Path(os.path.abspath(without_inner(address)[0])).parts[:-1]
    return str(Path(*itertools.takewhile(lambda part: not GLOB.search(part), parts)))
