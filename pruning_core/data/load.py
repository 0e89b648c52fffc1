"""From the name of a source to a `Dataset`: read, split, checked, filled and standardised."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from pruning_core.data.dataset import DataError, Dataset, Part, Source
from pruning_core.data.prepare import fingerprint, refuse_gaps, standardise, varying
from pruning_core.data.readers import NAMED_SETS, READERS, FileSource, Table
from pruning_core.data.split import PARTS, stratified
from pruning_core.data.wording import hint

HEAD = 5


def load_dataset(
    source: str,
    *,
    target: str | None = None,
    split: Sequence[float] = (0.7, 0.15, 0.15),
    split_seed: int = 0,
    impute: str | None = None,
    folder: Path,
) -> Dataset:
    """Reads a source and prepares it; the same arguments and data give the same split on every machine.

    Args:
        source: ``digits``, ``breast_cancer``, ``wine`` or the path of a .csv, .tsv, .parquet or .feather
            file. At least 2 of its features must vary in the training part; constant ones are left out.
        target: for files, the column with the labels; every other column is a feature.
        split: fractions of the training, validation and test part, each above 0, with the sum 1. The split is
            stratified and gives every part at least one row of every class.
        split_seed: which rows go where, 0 ... 2^32 - 1: repeat a study on other splits to see what the split adds
            to the spread of its accuracies.
        impute: ``mean`` fills missing values with their column's mean in the training part; None refuses
            them.
        folder: what a relative path in ``source`` is relative to.

    Raises:
        DataError: the data or an argument cannot be used.
    """
    if len(split) != len(PARTS) or not all(part > 0 for part in split) or abs(sum(split) - 1) > 1e-6:
        raise DataError(
            f"data.split = {list(split)} must be three fractions above 0 ({', '.join(PARTS)}) with the sum 1"
        )
    if not 0 <= split_seed < 2**32:
        raise DataError(f"data.split_seed = {split_seed} must lie in 0 ... {2**32 - 1}")
    if impute not in (None, "mean"):
        raise DataError(f"data.impute = {impute!r} must be 'mean' or null")
    table = _read(source, Path(folder), target)
    rows = stratified(table.labels, table.class_names, np.asarray(split, dtype=float), split_seed)
    varies = varying(table.values, rows[0])
    names = [name for name, kept in zip(table.feature_names, varies, strict=True) if kept]
    dropped = tuple(name for name, kept in zip(table.feature_names, varies, strict=True) if not kept)
    if len(names) < 2:
        raise DataError(
            f"data.source = {source!r} must have at least 2 features that vary in the training part, "
            f"and it has {len(names)}{_left_out(dropped)}"
        )
    x_parts = [table.values[np.ix_(part, varies)] for part in rows]
    y_parts = [table.labels[part].astype(np.int64) for part in rows]
    name, class_names = table.name, table.class_names
    original = Source(
        given=source,
        columns=tuple(table.feature_names),
        dtypes=tuple(table.dtypes),
        head=table.values[rows[0][:HEAD]],
        classes=tuple(table.classes),
        named=source not in NAMED_SETS,
    )
    del table  # the rows may be many, and they have been copied
    digest = fingerprint((names, class_names), [*x_parts, *y_parts, *rows])
    refuse_gaps(x_parts, names, source, impute)
    mean, scale = standardise(x_parts, names, source)
    train, validation, test = (
        Part(torch.from_numpy(x.astype(np.float32, order="C")), torch.from_numpy(y))
        for x, y in zip(x_parts, y_parts, strict=True)
    )
    return Dataset(
        name=name,
        feature_names=tuple(names),
        class_names=class_names,
        train=train,
        validation=validation,
        test=test,
        mean=torch.from_numpy(mean),
        scale=torch.from_numpy(scale),
        fingerprint=digest,
        dropped=dropped,
        source=original,
    )


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


def _read(source: str, folder: Path, target: str | None) -> Table:
    if source in NAMED_SETS:
        if target is not None:
            raise DataError(f"data.target = {target!r} must be left out: {source} brings its own labels")
        return NAMED_SETS[source]()
    path = folder / source
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        *types, last = READERS
        raise DataError(
            f"data.source = {source!r} must be one of {', '.join(NAMED_SETS)} "
            f"or a file that ends in {', '.join(types)} or {last}{hint(source, NAMED_SETS)}"
        )
    if not path.is_file():
        raise DataError(f"data.source = {source!r} must be a file that exists, and there is none at {path}")
    if target is None:
        raise DataError(f"data.target is missing and must name the column of {source!r} with the labels")
    return reader(FileSource(path, source, target))


def _left_out(dropped: Sequence[str]) -> str:
    return f" beside {len(dropped)} constant ones, which are left out" if dropped else ""
