"""The stratified split into training, validation and test part."""

from collections.abc import Sequence

import numpy as np

from pruning_core.data.dataset import DataError

PARTS = ("training", "validation", "test")


def stratified(labels: np.ndarray, class_names: Sequence[str], split: np.ndarray, seed: int) -> list[np.ndarray]:
    """Row numbers of each part; rounding is carried from class to class, so that the parts' sizes come out.

    (scikit-learn's `train_test_split` splits too, but importing it takes a second.)

    Args:
        labels: (rows,) int in [0, C).
        class_names: C names, for messages.
        split: the parts' fractions.
        seed: which rows go where.

    Raises:
        DataError: fewer than 2 classes, or a class with fewer rows than parts.
    """
    sizes = np.bincount(labels, minlength=len(class_names))
    if len(class_names) < 2:
        raise DataError(f"data.target must tell at least 2 classes apart, and the labels hold {list(class_names)} only")
    if sizes.min() < len(PARTS):
        smallest = int(sizes.argmin())
        raise DataError(
            f"data.target: class {class_names[smallest]!r} has {sizes[smallest]} rows, and every class "
            f"needs {len(PARTS)} at least, one each for {', '.join(PARTS)}"
        )
    # RandomState, unlike Generator, promises the same numbers in every version of NumPy
    random = np.random.RandomState(seed)
    rows_by_class = np.split(np.argsort(labels, kind="stable"), np.cumsum(sizes)[:-1])
    pieces: list[list[np.ndarray]] = [[] for _ in PARTS]
    carry = np.zeros(len(PARTS))
    for rows in rows_by_class:
        wanted = len(rows) * split + carry
        counts = np.maximum(1, np.floor(wanted).astype(int))
        while counts.sum() < len(rows):
            counts[np.argmax(wanted - counts)] += 1
        while counts.sum() > len(rows):
            counts[np.argmin(np.where(counts > 1, wanted - counts, np.inf))] -= 1
        carry = wanted - counts
        shares = np.split(random.permutation(rows), np.cumsum(counts)[:-1])
        for piece, share in zip(pieces, shares, strict=True):
            piece.append(share)
    return [np.sort(np.concatenate(piece)) for piece in pieces]
