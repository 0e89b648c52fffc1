"""The study file (YAML) as a validated model, and the trials that it describes."""

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    Field,
    PrivateAttr,
    ValidationError,
    field_serializer,
    field_validator,
    model_validator,
)

from pruning_core.config import ARGUMENT, TrialConfig, strategy_hyperparameters
from pruning_core.data import DataError, Dataset, Progress, check_keep, load_dataset
from pruning_core.data.folds import Folds
from pruning_core.data.split import ByFiles, Marked, parse_split
from pruning_core.hyperparameters import Choices, Range
from pruning_core.metrics import METRICS, Metric
from pruning_core.strategies import STRATEGIES
from search.study.costs import costs_of
from search.study.entries import Entry, check_hyperparameter, is_argument, parse_entry, plain_entry
from search.study.errors import StudyError, sentence
from search.study.network import Network
from search.study.objectives import metric_for, metric_name
from search.study.section import Section
from search.study.sections import AS_THEY_ARE, AUTO, AUTO_FOLDS, MANY, Data, Resources, Search, Training, one_of
from search.study.space import Point, Space

StrategyName = Annotated[str, AfterValidator(one_of(STRATEGIES))]


class Study(Section):
    """A study file. Only `name` and `data` are required; `space` holds ranges, choices and fixed values.

    ``study.model_dump(mode="json")`` is the study with every default filled in.
    `Study.model_validate` reads it.

    Examples
    --------
    >>> data = {"source": "digits", "keep": 16}
    >>> study = Study.model_validate({"name": "a", "data": data, "space": {"growth": 2}})
    >>> study.trial_config({"lambda_start": 0.5}).growth
    2.0
    """

    name: str = Field(max_length=100, description="letters, digits, '.', '_' and '-'; names the experiment")
    data: Data
    network: Network = Network()
    training: Training = Training()
    strategies: tuple[StrategyName, ...] = Field(
        ("adaptive", "stepped", "plateau", "swap"),
        description="what competes; a single trial takes the first, or the first that uses what --set sets",
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
            raise ValueError(f"must be a list of one or more of {', '.join(STRATEGIES)}, each once")
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
        start = max(self.varied.possible_numbers("lambda_start"))
        most = min(self.varied.possible_numbers("lambda_max"))
        if start > most:
            raise StudyError(
                f"space.lambda_start may reach {start:g} in this study and must not exceed lambda_max, "
                f"which may be {most:g}"
            )
        return self

    @model_validator(mode="after")
    def _network_fits(self) -> "Study":
        """n of the inputs stands in one place, and only a network of one's own takes arguments of any name."""
        said = self.network.prune.get("inputs")
        if said is not None and self.data.keep not in (None, said):
            raise StudyError(
                f"network.prune.inputs = {said} must be left out where data.keep = {self.data.keep} says n"
            )
        if self.network.build is None:
            if self.data.keep is None and not self.network.prune:
                raise StudyError("data.keep is missing: it says how many inputs shall survive")
            if names := [name for name in self.space if is_argument(name)]:
                raise StudyError(f"space.{names[0]} is no hyperparameter: only a network.build has arguments to search")
        return self

    @model_validator(mode="after")
    def _decoys_fit(self) -> "Study":
        if self.search.decoys and (self.network.build or self.network.kind not in (None, "mlp")):
            raise StudyError(
                f"search.decoys = {self.search.decoys} must be 0 for another network than the built-in one of linear "
                "layers: with decoys there are more inputs than it may be made for"
            )
        return self

    @model_validator(mode="after")
    def _folds_fit(self) -> "Study":
        split = parse_split(self.data.split)
        if self.training.known_folds and isinstance(split, Marked | ByFiles):
            raise StudyError(
                f"training.folds = {self.training.folds} must be left out where data.split says which rows validate: "
                "folds take fractions, a group, or a column with modulo"
            )
        return self

    @classmethod
    def read(cls, document: object, text: str = "") -> "Study":
        """The study that a document describes; `text` is the file that it stands in.

        Raises:
            StudyError, pydantic.ValidationError: it describes none.
        """
        study = cls.model_validate(document)
        study._text = text
        return study

    @property
    def text(self) -> str:
        """The study file as it was written, without overrides; empty for a study that comes from no file."""
        return self._text

    @property
    def varied(self) -> Space:
        """What the search varies, and what competes."""
        return Space(self.space, self.strategies, self.data.keeps, self.network.first_arguments)

    @property
    def arms(self) -> dict[str, Point]:
        """What competes, by name, and what each fixes; see `Space.arms`."""
        return self.varied.arms

    def arm(self, params: Mapping[str, Any]) -> str:
        """The name of the arm that a trial with these hyperparameters belongs to."""
        return str(params["strategy"]) if len(self.data.keeps) == 1 else f"{params['strategy']} n={params['keep']}"

    def at(self, keep: int | None) -> "Study":
        """The same study about this n alone."""
        return self.model_copy(update={"data": self.data.model_copy(update={"keep": keep})})

    def first_with(self, names: Iterable[str]) -> str:
        """The first strategy that uses all of these hyperparameters, of this study if it has one, or just its first."""
        names = strategy_hyperparameters().intersection(names)
        for strategies in (self.strategies, tuple(STRATEGIES)):
            users = self.model_copy(update={"strategies": strategies}).varied.users
            if using := [s for s in strategies if all(s in users.get(name, ()) for name in names)]:
                return using[0]
        return self.strategies[0]

    @property
    def warnings(self) -> list[str]:
        """Sentences about what is allowed but probably not meant."""
        used, untried = self.varied.users, list(self.arms)[self.search.trials :]
        idle = [
            f"space.{name} has no effect: none of the strategies {', '.join(self.strategies)} uses it"
            for name in self.space
            if name not in used
        ]
        few = f"search.trials = {self.search.trials} leaves {', '.join(untried)} without a trial"
        free = "data.costs has no effect without data.keep: auto, which takes the cheapest n that is enough"
        return idle + [few] * bool(untried) + [free] * (bool(self.data.costs) and not self.data.auto)

    def trial_config(self, hyperparameters: Mapping[str, object] | None = None) -> TrialConfig:
        """The configuration of one trial: the library's defaults, under what the study fixes, under these.

        Where these leave out `strategy` or `keep`, it is the study's first.

        Raises
        ------
        StudyError
            A name that is no hyperparameter, or a value outside its range.
        """
        values: dict[str, Any] = {
            "keep": self.data.keeps[0],
            "hidden": () if self.network.build else self.network.hidden,
        }
        values |= {f"{ARGUMENT}{name}": value for name, value in self.network.trial_arguments.items()}
        values |= self.varied.default_arguments
        values |= self.training.model_dump()
        values |= {"folds": self.training.known_folds, "strategy": self.strategies[0]}
        values |= {name: entry for name, entry in self.space.items() if not isinstance(entry, Range | Choices)}
        for name, value in (hyperparameters or {}).items():
            values[name] = check_hyperparameter(name, value, name)
        try:
            return TrialConfig.model_validate(values)
        except ValidationError as error:
            raise StudyError(sentence(error)) from None

    def load_data(self, cache: Path | None = None, progress: Progress = lambda share: None) -> Dataset:
        """The study's data. A relative path in `data` counts from the working directory here.

        Parameters
        ----------
        cache : Path, optional
            A folder in which the tensors of large data are kept for the next time.
        progress : callable, optional
            Is told which share of it has been read.

        Raises
        ------
        pruning_core.data.DataError
            The data cannot be used.
        """
        keys = self.data.model_dump(exclude={"keep", "costs"}) | {"class_weight": self.class_weight}
        keys["constant"] = self.network.input_shape is not None
        data = load_dataset(folder=Path(), cache=cache, progress=progress, **keys)
        data = data.pooled() if self.training.known_folds else data
        self.check(data)
        return data

    @property
    def class_weight(self) -> str | None:
        """How classes count in training: where the study leaves it open, alike if they do in what it maximises."""
        given = self.data.class_weight
        if given is None and METRICS[metric_name(self.search.score)].of_each_class:
            return "balanced"
        return None if given == AS_THEY_ARE else given

    def check(self, data: Dataset) -> None:
        """Refuses data that this study cannot be about.

        Raises:
            pruning_core.data.DataError: n lies outside, the data has too few rows for the folds, or the metric cannot
                be measured on it.
        """
        for keep in self.data.keeps:
            if keep is not None:
                check_keep(data, keep)
        costs_of(self.data.costs, data)
        if self.training.known_folds:
            self._check_folds(self.training.known_folds, data)
        self.metric(data)

    def _check_folds(self, count: int, data: Dataset) -> None:
        seeds = [*range(self.training.seeds), *self.search.fresh_seeds, *self.search.curve_seeds]
        Folds(count, data.pooled().rows).check(seeds, data.class_names)

    def with_folds(self, data: Dataset) -> "Study":
        """The same study with K, or without folds, where `training.folds` leaves that to the data."""
        return self.in_folds(self._auto_folds(data)) if self.training.folds == AUTO else self

    def in_folds(self, count: int | None) -> "Study":
        """The same study with this `training.folds`."""
        return self.model_copy(update={"training": self.training.model_copy(update={"folds": count})})

    def _auto_folds(self, data: Dataset) -> int | None:
        if isinstance(parse_split(self.data.split), Marked | ByFiles) or len(data.validation.y) >= MANY:
            return None
        for count in AUTO_FOLDS:
            with suppress(DataError):
                self._check_folds(count, data)
                return count
        return None

    def rows_of(self, data: Dataset) -> str:
        """How many rows there are for what, in words."""
        parts = [data.train, data.validation, *([data.test] if data.test else [])]
        counts = [f"{len(part.y):,}" for part in parts]
        if not self.training.known_folds:
            return f"{' / '.join(counts)} rows to train, validate, test"
        rows = f"{len(data.pooled().rows.y):,} rows in {self.training.known_folds} folds"
        return f"{rows}, of which each seed holds out one, and {counts[-1]} to test"

    def metric(self, data: Dataset) -> Metric:
        """What the study maximises, as it is measured on this data."""
        return metric_for(metric_name(self.search.score), data, self.search.signal_efficiency)
