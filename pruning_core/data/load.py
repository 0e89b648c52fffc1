"""From the name of a source to a `Dataset`: read, split, checked, filled and standardised."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pruning_core.data.columns import Pick, choose
from pruning_core.data.cut import parse_cut
from pruning_core.data.dataset import DataError, Dataset, Part, Source
from pruning_core.data.inputs import Inputs, read_inputs
from pruning_core.data.leaks import label_warnings, raw_warnings, shared_warnings
from pruning_core.data.prepare import fingerprint, refuse_gaps, standardise, varying
from pruning_core.data.readers import LABELS, NAMED_SETS
from pruning_core.data.rows import Roles, Rows, read_rows
from pruning_core.data.sources import OpenFile, open_source, refuse_twice
from pruning_core.data.spec import DataSpec, Paths
from pruning_core.data.split import ByFiles, Split, parse_split
from pruning_core.data.weights import for_training
from pruning_core.data.wording import hint, some

HEAD = 5


def load_dataset(source: Paths | Mapping[str, Paths], *, folder: Path, **keys: Any) -> Dataset:
    """Reads a source and prepares it; the same arguments and data give the same split on every machine.

    >>> len(load_dataset("digits", folder=Path()).feature_names)
    60

    Args:
        source: which rows to learn from. At least 2 of their features must vary in the training part; constant
            ones are left out.
        folder: what a relative path is relative to.
        keys: the other keys of `DataSpec`, such as ``target`` and ``split``.

    Raises:
        DataError: the data or an argument cannot be used.
    """
    spec = DataSpec(source, **keys)
    split = parse_split(spec.split)
    cut = None if spec.cut is None else parse_cut(spec.cut)
    _check_target(spec)
    files = _open(spec, split, Path(folder))
    roles = Roles.of(spec, split, cut, LABELS if _named(spec) else spec.target)
    roles.check(files)
    picks = _same_picks(spec, roles, files)
    rows = read_rows(spec, files, roles, split)
    _check_signal(spec.signal, rows.labels.names)
    name = some((Path(each.file.where).name for each in files), 2)
    given = source if isinstance(source, str) else name
    inputs = read_inputs(spec, files, picks, rows, given)
    return replace(_prepare(spec, given, inputs, rows), name=name)


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


def _open(spec: DataSpec, split: Split, folder: Path) -> list[OpenFile]:
    files = open_source(spec.source, folder)
    if spec.target is None and not spec.by_class and not _named(spec):
        raise DataError(f"data.target is missing and must name the column of {files[0].file.given!r} with the labels")
    if isinstance(split, ByFiles):
        for part, key in enumerate(("validation", "test"), 1):
            files += _open_part(spec, getattr(split, key), f"data.split.{key}", part, folder)
        refuse_twice([each.file for each in files])
    return files


def _open_part(spec: DataSpec, source: Any, key: str, part: int, folder: Path) -> list[OpenFile]:
    """The files of the validation or test part, named in the same way as those of the training part."""
    by_class = isinstance(source, Mapping)
    if by_class != spec.by_class or (by_class and {*map(str, source)} != {*map(str, spec.source)}):
        like = f"a mapping of the classes {some(spec.source)}" if spec.by_class else "a file, a glob or a list of these"
        raise DataError(f"{key} = {source!r} must be {like}, as data.source is")
    return [replace(each, part=part) for each in open_source(source, folder, key)]


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


def _prepare(spec: DataSpec, given: str, inputs: Inputs, rows: Rows) -> Dataset:
    """The tensors of a data set that has no name yet; uses up the inputs' arrays."""
    x_parts = inputs.x_parts
    head = x_parts[0][:HEAD].copy()
    varies = varying(x_parts[0])
    names = [name for name, kept in zip(inputs.names, varies, strict=True) if kept]
    dropped = tuple(name for name, kept in zip(inputs.names, varies, strict=True) if not kept)
    if len(names) < 2:
        raise DataError(
            f"data.source = {given!r} must have at least 2 features that vary in the training part, "
            f"and it has {len(names)}{_left_out(dropped)}"
        )
    if dropped:
        x_parts = [np.ascontiguousarray(x[:, varies]) for x in x_parts]
    y_parts = [rows.labels.codes[part].astype(np.int64) for part in rows.parts]
    weights = [None] * 3 if rows.weight is None else [rows.weight[part] for part in rows.parts]
    weighted = [weight for weight in weights if weight is not None]
    digest = fingerprint((names, rows.labels.names), [*x_parts, *y_parts, *rows.parts, *weighted])
    missing = _missing(x_parts)
    refuse_gaps(x_parts, names, given, spec.impute)
    cautions = raw_warnings(x_parts[0], names)
    mean, scale, filling = standardise(x_parts, names, given, spec.impute)
    train, validation, test = (
        Part(
            torch.from_numpy(x.astype(np.float32, order="C")),
            torch.from_numpy(y),
            None if weight is None else torch.from_numpy(weight),
        )
        for x, y, weight in zip(x_parts, y_parts, weights, strict=True)
    )
    x_train = train.x.numpy()
    cautions += label_warnings(x_train, y_parts[0], names)
    cautions += shared_warnings(x_train, test.x.numpy()) + _negative(spec.weight, rows.weight)
    source = Source(
        given=given,
        columns=tuple(inputs.names),
        dtypes=tuple(inputs.dtypes),
        head=head,
        classes=tuple(rows.classes),
        named=not _named(spec),
        missing=tuple(map(float, spec.missing)),
    )
    return Dataset(
        name=given,
        feature_names=tuple(names),
        class_names=tuple(rows.labels.names),
        train=for_training(train, spec.class_weight),
        validation=validation,
        test=test,
        mean=torch.from_numpy(mean),
        scale=torch.from_numpy(scale),
        fingerprint=digest,
        dropped=dropped,
        source=source,
        signal=spec.signal,
        rows_read=rows.read,
        rows_kept=sum(rows.counts),
        missing=missing,
        filling=torch.from_numpy(filling),
        cautions=tuple(cautions),
    )


def _missing(x_parts: Sequence[np.ndarray]) -> tuple[float, ...]:
    """The share of missing values of each column."""
    gaps = sum(np.isnan(x).sum(axis=0) for x in x_parts)
    return tuple((gaps / sum(len(x) for x in x_parts)).tolist())


def _negative(name: str | None, weight: np.ndarray | None) -> list[str]:
    """A warning about negative weights."""
    if weight is None or not (negative := weight < 0).any():
        return []
    share = 100 * weight[negative].sum() / weight.sum()
    return [
        f"the weight {name} is negative in {int(negative.sum())} of {len(weight)} rows, {share:.3g} % of the sum: "
        "they count as they are in scores, and are left out of training"
    ]


def _left_out(dropped: Sequence[str]) -> str:
    return f" beside {len(dropped)} constant ones, which are left out" if dropped else ""
