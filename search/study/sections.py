"""The sections of a study file as validated models: what may stand in each, its default and its limits."""

from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from pruning_core.data import DataError, parse_cut, parse_split
from pruning_core.data.spec import ENCODE, IMPUTE
from pruning_core.data.split import FORMS
from pruning_core.data.weights import CLASS_WEIGHT
from pruning_core.metrics import SIGNAL_EFFICIENCY
from search.study.early_stopping import STOPPING_RULES
from search.study.entries import check_hyperparameter
from search.study.errors import StudyError, show
from search.study.objectives import SCORES, SPEED, objectives
from search.study.samplers import SAMPLERS
from search.study.section import Section, as_in_trial

T = TypeVar("T")
AUTO: Literal["auto"] = "auto"
AUTO_FOLDS = (8, 4)
"""So many folds by default, or so many where a class is too small for the first."""
MANY = 10_000
"""So many rows that validate speak for themselves: half a point of accuracy is then more than their noise."""
AS_THEY_ARE = "none"
Addresses = str | tuple[str, ...]


def _checked(read: Callable[[], T]) -> T:
    """What `read` returns; its complaints are those about a study."""
    try:
        return read()
    except DataError as error:
        raise StudyError(str(error)) from None


def _addresses(key: str, paths: object) -> Addresses:
    """A path or several."""
    if isinstance(paths, str | int) and not isinstance(paths, bool):
        return str(paths)
    if isinstance(paths, list | tuple) and paths and all(isinstance(path, str) for path in paths):
        return tuple(paths)
    raise StudyError(f"{key} = {show(paths)} must be a path, a glob or a list of these")


def one_of(names: Collection[str]) -> Callable[[str], str]:
    """A validator that takes the names that are known when a study is read."""

    def check(name: str) -> str:
        *others, last = map(repr, names)
        if name not in names:
            raise ValueError(f"must be {', '.join(others)} or {last}")
        return name

    return check


class Data(Section):
    """Which rows to learn from, and how many of their features shall survive; see `DataSpec`."""

    source: Addresses | dict[str, Addresses] = Field(
        description="digits, breast_cancer, wine, or files relative to the study file: a path, a glob, a list of "
        "these, or a mapping from class to any of these"
    )
    target: str | None = Field(None, description="for files without classes of their own, the column with the labels")
    keep: int | tuple[int, ...] | Literal["auto"] | None = Field(
        None,
        description="n of the pruner on the inputs; of a list, each in turn; auto finds how many are enough; left out "
        "where the network says it",
    )
    costs: dict[str, Annotated[float, Field(gt=0)]] = Field(
        {}, description="what inputs cost, by name or glob, others 1: keep: auto takes the cheapest n that is enough"
    )
    features: tuple[str, ...] | None = Field(
        None,
        description="inputs: names, globs, elements of lists as Jet_pt[:2]; null takes every column without a role",
    )
    exclude: tuple[str, ...] = Field((), description="names and globs of columns that are no inputs")
    weight: str | None = Field(None, description="the column with the weights of the rows")
    class_weight: str | None = Field(
        None,
        description="balanced makes all classes count alike in training, none as their rows do; null decides by the "
        "objective",
    )
    missing: tuple[float, ...] = Field((), description="numbers that stand for a missing value")
    impute: str | None = Field(None, description="mean or median fills missing values; null refuses them")
    encode: str | None = Field(None, description="onehot makes an input of each category of text; null refuses text")
    cut: str | None = Field(None, description="a condition on columns that rows must meet")
    signal: str | None = Field(None, description="which of two classes is the signal")
    split: tuple[float, ...] | dict[str, Any] = Field(
        (0.7, 0.15, 0.15), description=f"fractions of the training, validation and test part; or one of {FORMS}"
    )
    split_seed: int = Field(
        0, ge=0, lt=2**32, description="which rows go where; a study may be repeated on other splits"
    )

    @field_validator("source", mode="before")
    @classmethod
    def _named(cls, source: object) -> object:
        if not isinstance(source, Mapping):
            return _addresses("data.source", source)
        if not source or any(isinstance(label, bool) or not isinstance(label, str | int | float) for label in source):
            raise ValueError("must name the files of each class, such as {signal: sig.root, background: bkg.root}")
        return {str(label): _addresses(f"data.source.{label}", paths) for label, paths in source.items()}

    @field_validator("costs", mode="before")
    @classmethod
    def _by_name(cls, costs: object) -> object:
        if not isinstance(costs, Mapping) or any(isinstance(cost, bool) for cost in costs.values()):
            raise ValueError("must hold lines of an input and its cost, such as lepton_iso: 3")
        return {str(name): cost for name, cost in costs.items()}

    @field_validator("features", "exclude", "missing", mode="before")
    @classmethod
    def _listed(cls, values: object) -> object:
        return [values] if isinstance(values, str | int | float) else values

    @field_validator("features")
    @classmethod
    def _some(cls, features: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if features == ():
            raise ValueError("must name at least one column; leave it out to take all")
        return features

    @field_validator("impute", "encode", "class_weight")
    @classmethod
    def _one_of(cls, name: str | None, info: ValidationInfo) -> str | None:
        allowed = {"impute": IMPUTE, "encode": ENCODE, "class_weight": (*CLASS_WEIGHT, AS_THEY_ARE)}[
            str(info.field_name)
        ]
        if name not in (None, *allowed):
            raise ValueError(f"must be {', '.join(map(repr, allowed))} or null")
        return name

    @field_validator("split", mode="before")
    @classmethod
    def _one_form(cls, split: object) -> object:
        if isinstance(split, Mapping):
            return _checked(lambda: parse_split(split)) and {str(key): value for key, value in split.items()}
        if not isinstance(split, list | tuple) or any(isinstance(part, bool | str) for part in split):
            raise ValueError(f"must be {FORMS}")
        return tuple(split)

    @field_validator("cut")
    @classmethod
    def _readable(cls, cut: str | None) -> str | None:
        return None if cut is None else _checked(lambda: parse_cut(cut)).text

    @field_validator("keep", mode="before")
    @classmethod
    def _one_or_more(cls, keep: object) -> object:
        if keep is None or keep == AUTO:
            return keep
        if isinstance(keep, str) and not keep.lstrip("-").isdecimal():
            raise ValueError("must be a number, a list of numbers, or auto")
        if not isinstance(keep, list | tuple):
            return check_hyperparameter("keep", keep, "data.keep")
        if AUTO in keep:
            raise ValueError("must be auto alone, or hold numbers only")
        checked = tuple(check_hyperparameter("keep", each, "data.keep") for each in keep)
        if not checked or len(set(checked)) < len(checked):
            raise ValueError("must be a number or a list of one or more numbers, each once")
        return checked if len(checked) > 1 else checked[0]

    @property
    def keeps(self) -> tuple[Any, ...]:
        """Every n that the study is about, the first one first.

        It is None where the network says it, or drops no input, and as long as it is still to be found.
        """
        if self.auto:
            return (None,)
        return self.keep if isinstance(self.keep, tuple) else (self.keep,)

    @property
    def auto(self) -> bool:
        """Whether n is still to be found."""
        return self.keep == AUTO


class Training(Section):
    """What is the same in every trial of the study; only `batch_size` may stand in `space` instead."""

    epochs: int = as_in_trial("epochs")
    batch_size: int | None = as_in_trial("batch_size")
    seeds: int = as_in_trial("seeds")
    folds: int | Literal["auto"] | None = Field(
        AUTO,
        description="K folds of all rows but the test part, of which each seed holds out its own; auto: "
        f"{' or '.join(map(str, AUTO_FOLDS))}, as the smallest class allows, unless {MANY:,} rows validate or "
        "data.split says which do; null: what split says",
    )
    settle_epochs: int = as_in_trial("settle_epochs")
    tolerance: float = as_in_trial("tolerance")

    @field_validator("folds", mode="before")
    @classmethod
    def _number_or_auto(cls, folds: object) -> object:
        return folds if folds in (None, AUTO) else check_hyperparameter("folds", folds, "training.folds")

    @property
    def known_folds(self) -> int | None:
        """K; None without folds, and as long as that is left to the data."""
        return self.folds if isinstance(self.folds, int) else None


FIRST_FRESH_SEED = 1_000_000
"""The first of the seeds that confirm the best trials: none of them has trained in the search."""
FIRST_CURVE_SEED = 2_000_000
"""The first of the seeds that draw the curve of `data.keep: auto`, which train nowhere else."""


class Search(Section):
    """How the space is searched."""

    trials: int = Field(40, ge=1, description="how many trials the search has")
    sampler: Annotated[str, AfterValidator(one_of(SAMPLERS))] = Field("tpe", description="what proposes the next trial")
    objective: tuple[str, ...] | str = Field(
        "pruned_accuracy",
        description=f"what is maximised, {', '.join(SCORES)}; with completion_epoch, which is minimised, a Pareto set",
    )
    signal_efficiency: float = Field(
        SIGNAL_EFFICIENCY, gt=0, lt=1, description="at which pruned_rejection is measured: the share of the signal kept"
    )
    confirm_seeds: int = Field(16, ge=1, description="fresh seeds that confirm the best of each strategy")
    decoys: int = Field(
        0,
        ge=0,
        le=20,
        description="so many decoys of each input compete with it, to tell which inputs can be claimed",
    )
    early_stopping: Annotated[str, AfterValidator(one_of(STOPPING_RULES))] = Field(
        "hopeless", description="which trials are stopped before their end"
    )
    seed: int = Field(0, ge=0, lt=2**32, description="seed of the sampler, not of the trials")
    hours: float | None = Field(
        None, gt=0, description="a budget of wall time: no trial is begun that cannot end, and be confirmed, in it"
    )
    start_from: tuple[str, ...] = Field(
        (), description="earlier searches of the same storage, by study or by label, whose good points are tried first"
    )
    plateau: int | None = Field(
        None, ge=1, description="ends the search when so many trials in a row bring no gain beyond the spread of seeds"
    )
    max_failures: int | None = Field(None, ge=0, description="ends the search when more trials have failed")

    @field_validator("objective", mode="before")
    @classmethod
    def _one_or_two(cls, objective: object) -> str | tuple[str, ...]:
        found = objectives(objective)
        if found is None:
            *others, last = SCORES
            raise ValueError(f"must be {', '.join(others)} or {last}, or a list of one of these and {SPEED}")
        return found if len(found) > 1 else found[0]

    @field_validator("start_from", mode="before")
    @classmethod
    def _names(cls, names: object) -> object:
        return [names] if isinstance(names, str) else names

    @model_validator(mode="after")
    def _grid_starts_nowhere(self) -> "Search":
        if self.start_from and SAMPLERS[self.sampler].whole_grid:
            raise StudyError(
                f"search.start_from = [{', '.join(self.start_from)}] must be left out with search.sampler = "
                f"{self.sampler!r}, which tries the points of its grid and no others"
            )
        return self

    @model_validator(mode="after")
    def _sampler_fits(self) -> "Search":
        if len(self.objectives) > 1 and not SAMPLERS[self.sampler].several_objectives:
            *others, last = (name for name, kind in SAMPLERS.items() if kind.several_objectives)
            raise StudyError(
                f"search.sampler = {self.sampler!r} takes one objective only: "
                f"for search.objective = [{', '.join(self.objectives)}] it must be {', '.join(others)} or {last}"
            )
        return self

    @property
    def objectives(self) -> tuple[str, ...]:
        """What trials are judged by: the score, and maybe `completion_epoch`."""
        return (self.objective,) if isinstance(self.objective, str) else self.objective

    @property
    def fresh_seeds(self) -> range:
        """The seeds that confirm the best trials."""
        return range(FIRST_FRESH_SEED, FIRST_FRESH_SEED + self.confirm_seeds)

    @property
    def curve_seeds(self) -> range:
        """The seeds of the curve that `data.keep: auto` goes by: as many as confirm the best trials."""
        return range(FIRST_CURVE_SEED, FIRST_CURVE_SEED + self.confirm_seeds)

    @property
    def score(self) -> str:
        """What is maximised, such as `pruned_accuracy`."""
        return self.objectives[0]


class Resources(Section):
    """What a worker occupies; fractions let several share a core or a GPU.

    A worker trains one trial at a time or, where networks are so small that it pays, several in one batch.

    `resources: auto` leaves both to a measurement where the search runs; until then they are None.
    """

    cpu: float | None = Field(1, gt=0, description="cores per worker")
    gpu: float | None = Field(0, ge=0, description="GPUs per worker; a worker without one trains on the CPU")

    @field_validator("gpu")
    @classmethod
    def _whole_above_one(cls, gpu: float | None) -> float | None:
        if gpu is not None and gpu > 1 and gpu != int(gpu):
            raise ValueError("must be a fraction of one GPU or a whole number of GPUs")
        return gpu

    @property
    def auto(self) -> bool:
        """Whether a part of it is still to be measured."""
        return self.cpu is None or self.gpu is None

    @property
    def threads(self) -> int:
        """CPU threads of one trial: whole cores, at least one."""
        return max(1, int(self.cpu or 1))

    @property
    def device(self) -> str:
        """Where a trial of a search trains: `cuda` or `cpu`."""
        return "cuda" if self.gpu else "cpu"
