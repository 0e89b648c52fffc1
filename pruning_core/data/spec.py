"""What to read and how, as the section `data` of a study file says it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pruning_core.data.dataset import DataError
from pruning_core.data.weights import CLASS_WEIGHT

Paths = str | Sequence[str]
"""A path or URL, a glob, or several of these."""

IMPUTE = ("mean", "median")
ENCODE = ("onehot",)


@dataclass(frozen=True)
class DataSpec:
    """The keys of `data`, each as it stands in a study file.

    Attributes:
        source: ``digits``, ``breast_cancer``, ``wine``, the path of a file, a glob, several of these, or a mapping
            from class to any of these.
        target: for files without classes of their own, the column with the labels.
        split: fractions of the training, validation and test part with the sum 1, or a mapping, see
            `pruning_core.data.split`.
        split_seed: which rows go where, 0 ... 2^32 - 1: repeat a study on other splits to see what the split adds
            to the spread of its accuracies.
        features: names, globs and elements of lists (``Jet_pt[:2]``) of the columns that are inputs; None takes all
            that have no other role.
        exclude: names and globs of columns that are no inputs.
        weight: the column with the weights of the rows.
        class_weight: ``balanced`` makes all classes count alike in training, whatever their rows or weights add up to.
        missing: numbers that stand for a missing value.
        impute: ``mean`` or ``median`` fills missing values with that of their column in the training part; None
            refuses them.
        encode: ``onehot`` makes an input of each category of text; None refuses text.
        cut: a condition on columns; the rows that it does not hold for are left out.
        signal: which of two classes is the signal.
        constant: whether inputs that are constant in the training part stay, as zeros, instead of being left out.
    """

    source: Paths | Mapping[str, Paths]
    target: str | None = None
    split: Sequence[float] | Mapping[str, Any] = (0.7, 0.15, 0.15)
    split_seed: int = 0
    features: Sequence[str] | None = None
    exclude: Sequence[str] = ()
    weight: str | None = None
    class_weight: str | None = None
    missing: Sequence[float] = ()
    impute: str | None = None
    encode: str | None = None
    cut: str | None = None
    signal: str | None = None
    constant: bool = False

    def __post_init__(self) -> None:
        for key in ("features", "exclude", "missing"):
            if isinstance(value := getattr(self, key), str | int | float):
                object.__setattr__(self, key, (value,))
        if not 0 <= self.split_seed < 2**32:
            raise DataError(f"data.split_seed = {self.split_seed} must lie in 0 ... {2**32 - 1}")
        if self.impute not in (None, *IMPUTE):
            raise DataError(f"data.impute = {self.impute!r} must be 'mean', 'median' or null")
        if self.class_weight not in (None, *CLASS_WEIGHT):
            raise DataError(f"data.class_weight = {self.class_weight!r} must be 'balanced' or null")
        if self.encode not in (None, *ENCODE):
            raise DataError(f"data.encode = {self.encode!r} must be 'onehot' or null")

    @property
    def by_class(self) -> bool:
        """Whether the source says the class of each file."""
        return isinstance(self.source, Mapping)
