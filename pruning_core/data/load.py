"""From the name of a source to a `Dataset`: read, split, checked, filled and standardised."""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pruning_core.data.cache import keep_cached, key_of, read_cached
from pruning_core.data.columns import Pick, choose, in_order
from pruning_core.data.cut import parse_cut
from pruning_core.data.dataset import DataError, Dataset, Part, Source
from pruning_core.data.inputs import Progress, read_inputs
from pruning_core.data.large import is_large
from pruning_core.data.leaks import label_warnings, raw_warnings, shared_warnings
from pruning_core.data.prepare import Preparation, feed
from pruning_core.data.readers import LABELS, NAMED_SETS, FileSource
from pruning_core.data.rows import Roles, Rows, read_rows
from pruning_core.data.sources import OpenFile, find_files, open_file, refuse_twice
from pruning_core.data.spec import DataSpec, Paths
from pruning_core.data.split import ByFiles, Split, parse_split
from pruning_core.data.weights import class_factors, for_training
from pruning_core.data.wording import hint, some


def load_dataset(
    source: Paths | Mapping[str, Paths],
    *,
    folder: Path,
    cache: Path | None = None,
    progress: Progress = lambda share: None,
    **keys: Any,
) -> Dataset:
    """Reads a source and prepares it; the same arguments and data give the same split on every machine.

    Large data, of more than `large.LARGE` values, is read a few columns at a time, so that it takes little more memory
    than its tensors.

    Parameters
    ----------
    source : str, sequence of str or mapping
        Which rows to learn from. At least 2 of their features must vary in the training part; constant ones are left
        out.
    folder : Path
        What a relative path is relative to.
    cache : Path, optional
        A folder in which the tensors of large data are kept and found again, see `cache`; None keeps none.
    progress : callable, optional
        Is told how much has been read.
    keys : optional
        The other keys of `DataSpec`, such as ``target`` and ``split``.

    Raises
    ------
    DataError
        The data or an argument cannot be used.

    Examples
    --------
    >>> len(load_dataset("digits", folder=Path()).feature_names)
    60
    """
    spec = DataSpec(source, **keys)
    split = parse_split(spec.split)
    cut = None if spec.cut is None else parse_cut(spec.cut)
    _check_target(spec)
    found = _find(spec, split, Path(folder))
    key = key_of(spec, found) if cache else None
    if cache and key and (kept := read_cached(cache, key)):
        return kept
    files = [open_file(file) for file in found]
    roles = Roles.of(spec, split, cut, LABELS if _named(spec) else spec.target)
    roles.check(files)
    picks = _same_picks(spec, roles, files)
    rows = read_rows(spec, files, roles, split)
    _check_signal(spec.signal, rows.labels.names)
    name = some((Path(each.file.where).name for each in files), 2)
    given = source if isinstance(source, str) else name
    inputs = picks if spec.features is not None else in_order(files[0].columns, picks)
    preparation = Preparation(given, spec, rows, picks)
    for block in read_inputs(spec, files, inputs, rows, given, progress):
        preparation.take(block)
    data = replace(_dataset(spec, preparation, rows), name=name)
    large = is_large(len(data.feature_names) * sum(rows.counts))
    return keep_cached(cache, key, data) if cache and key and large else data


def check_keep(data: Dataset, keep: int) -> None:
    """Refuses an n that leaves nothing to prune, or nothing.

    Args:
        data: of which some features shall survive.
        keep: n, how many; 1 ... N - 1, where N leaves out constant features.

    Raises:
        DataError: n lies outside.
    """
    features = len(data.feature_names)
    if not 1 <= keep < features:
        given = data.name if data.source is None else data.source.given
        raise DataError(
            f"data.keep = {keep} must lie in 1 ... {features - 1}, as {given!r} has {features} features"
            f"{_left_out(data.dropped)}"
        )


def _named(spec: DataSpec) -> bool:
    return isinstance(spec.source, str) and spec.source in NAMED_SETS


def _check_target(spec: DataSpec) -> None:
    if spec.target is None:
        return
    if _named(spec):
        raise DataError(f"data.target = {spec.target!r} must be left out: {spec.source} brings its own labels")
    if spec.by_class:
        raise DataError(f"data.target = {spec.target!r} must be left out: data.source names the files of each class")


def _find(spec: DataSpec, split: Split, folder: Path) -> list[FileSource]:
    files = find_files(spec.source, folder)
    if spec.target is None and not spec.by_class and not _named(spec):
        raise DataError(f"data.target is missing and must name the column of {files[0].given!r} with the labels")
    if isinstance(split, ByFiles):
        for part, key in enumerate(("validation", "test"), 1):
            files += _find_part(spec, getattr(split, key), f"data.split.{key}", part, folder)
        refuse_twice(files)
    return files


def _find_part(spec: DataSpec, source: Any, key: str, part: int, folder: Path) -> list[FileSource]:
    """The files of the validation or test part, named in the same way as those of the training part."""
    by_class = isinstance(source, Mapping)
    if by_class != spec.by_class or (by_class and {*map(str, source)} != {*map(str, spec.source)}):
        like = f"a mapping of the classes {some(spec.source)}" if spec.by_class else "a file, a glob or a list of these"
        raise DataError(f"{key} = {source!r} must be {like}, as data.source is")
    return [replace(file, part=part) for file in find_files(source, folder, key)]


def _same_picks(spec: DataSpec, roles: Roles, files: Sequence[OpenFile]) -> list[Pick]:
    """The inputs, which must be the same in all files."""
    first, *others = files
    picks = choose(spec, roles.named, first.columns, first.file.given)
    for each in others:
        try:
            theirs = choose(spec, roles.named, each.columns, each.file.given)
        except DataError as error:
            raise DataError(f"data.source must have the same columns in all files: {error}") from error
        if different := set(map(str, picks)) ^ set(map(str, theirs)):
            raise DataError(
                f"data.source must have the same columns in all files, and {each.file.given!r} differs from "
                f"{first.file.given!r} in {some(sorted(different))}; data.features or data.exclude choose what "
                "all of them have"
            )
    return picks


def _check_signal(signal: str | None, classes: Sequence[str]) -> None:
    if signal is None:
        return
    if signal not in classes:
        raise DataError(f"data.signal = {signal!r} must be a class, one of {some(classes, 10)}{hint(signal, classes)}")
    if len(classes) != 2:
        raise DataError(f"data.signal = {signal!r} needs data of two classes, and there are {len(classes)}")


def _dataset(spec: DataSpec, prepared: Preparation, rows: Rows) -> Dataset:
    """A data set that has no name yet."""
    names = prepared.names
    if len(names) < 2:
        raise DataError(
            f"data.source = {prepared.given!r} must have at least 2 features that vary in the training part, "
            f"and it has {len(names)}{_left_out(prepared.dropped)}"
        )
    y_parts = [rows.labels.codes[part].astype(np.int64) for part in rows.parts]
    weights = [None] * 3 if rows.weight is None else [rows.weight[part] for part in rows.parts]
    groups = [None] * 3 if rows.group is None else [rows.group[part] for part in rows.parts]
    feed(prepared.digest, [*y_parts, *rows.parts, *(weight for weight in weights if weight is not None)])
    train, validation, test = (
        Part(torch.from_numpy(x), torch.from_numpy(y), _tensor(weight), _tensor(group))
        for x, y, weight, group in zip(prepared.tensors(), y_parts, weights, groups, strict=True)
    )
    cautions = [
        *raw_warnings(prepared.sample, names),
        *label_warnings(train.x.numpy(), y_parts[0], names),
        *shared_warnings(train.x.numpy(), test.x.numpy()),
        *_negative(spec.weight, rows.weight),
        *_restated(prepared.restated),
        *_rounded(prepared.rounded),
        *_alike(rows.labels.names),
    ]
    in_file = prepared.in_file
    source = Source(
        given=prepared.given,
        columns=tuple(prepared.columns[i] for i in in_file),
        dtypes=tuple(prepared.dtypes[i] for i in in_file),
        head=prepared.head[:, in_file],
        classes=tuple(rows.classes),
        named=not _named(spec),
        missing=tuple(map(float, spec.missing)),
    )
    train, left_out = for_training(train)
    return Dataset(
        name=prepared.given,
        feature_names=tuple(names),
        class_names=tuple(rows.labels.names),
        train=train,
        validation=validation,
        test=test,
        mean=torch.from_numpy(prepared.mean),
        scale=torch.from_numpy(prepared.scale),
        fingerprint=prepared.digest.hexdigest(),
        dropped=tuple(prepared.dropped),
        source=source,
        signal=spec.signal,
        rows_read=rows.read,
        rows_kept=sum(rows.counts),
        missing=tuple(prepared.missing.tolist()),
        filling=torch.from_numpy(prepared.filling),
        cautions=tuple(cautions),
        class_factors=class_factors(train, spec.class_weight),
        left_out=left_out,
    )


def _tensor(column: np.ndarray | None) -> torch.Tensor | None:
    return None if column is None else torch.from_numpy(column)


def _negative(name: str | None, weight: np.ndarray | None) -> list[str]:
    """A warning about negative weights."""
    if weight is None or not (negative := weight < 0).any():
        return []
    share = 100 * weight[negative].sum() / weight.sum()
    return [
        f"the weight {name} is negative in {int(negative.sum())} of {len(weight)} rows, {share:.3g} % of the sum: "
        "they count as they are in scores, and are left out of training"
    ]


def _restated(columns: Sequence[str]) -> list[str]:
    """A warning about text that says no more than the class."""
    if not columns:
        return []
    return [f"text with a single value in each class is no input: {some(columns)}"]


def _rounded(columns: Sequence[str]) -> list[str]:
    """A warning about whole numbers that float64 cannot tell apart."""
    if not columns:
        return []
    return [f"whole numbers beyond 2^53 lose their last digits, and neighbours become alike: {some(columns)}"]


def _alike(classes: Sequence[str]) -> list[str]:
    """A warning about classes that were probably meant to be one."""
    seen: dict[str, list[str]] = {}
    for name in classes:
        seen.setdefault(" ".join(unicodedata.normalize("NFKC", name).casefold().split()), []).append(name)
    alike = [name for names in seen.values() if len(names) > 1 for name in names]
    return (
        [f"classes that differ in capitals, blanks or the form of accents only: {some(map(repr, alike))}"]
        if alike
        else []
    )


def _left_out(dropped: Sequence[str]) -> str:
    return f" beside {len(dropped)} constant ones, which are left out" if dropped else ""
