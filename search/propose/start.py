"""What a search takes over from earlier ones, as its ledger holds it: nothing has to be read from these again."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from search.study.space import Point
from search.trials.estimate import count
from search.trials.trial import Trial, TrialEnding


@dataclass(frozen=True)
class Observed:
    """A trial of an earlier search that would be the very same one here: see `Trial` for its parts."""

    params: Point
    ending: TrialEnding
    score: float
    complete: float
    values: tuple[float, ...]
    epochs_run: int

    @classmethod
    def of(cls, trial: Trial, params: Point) -> "Observed":
        """The trial, with its hyperparameters as they are searched here."""
        assert trial.ending is not None
        return cls(params, trial.ending, trial.score or 0.0, trial.complete, trial.values, trial.epochs_run)


@dataclass(frozen=True)
class Taken:
    """How many points to be tried, and how many trials that the samplers know, an earlier search gave."""

    points: int
    observed: int

    def __add__(self, other: "Taken") -> "Taken":
        return Taken(self.points + other.points, self.observed + other.observed)


@dataclass(frozen=True)
class Start:
    """What a search starts from.

    Args:
        points: for each arm that has some, what is tried first; the best arm is first, and its first point the best.
        observed: for each arm that has some, trials that its sampler knows beforehand; they are none of this search.
        taken: how much of it is from which search, by its label.
    """

    points: Mapping[str, Sequence[Point]] = field(default_factory=dict)
    observed: Mapping[str, Sequence[Observed]] = field(default_factory=dict)
    taken: Mapping[str, Taken] = field(default_factory=dict)

    @property
    def seed(self) -> int:
        """What a sampler's seed is shifted by, so that it does not draw again what it drew in the earlier searches."""
        return zlib.crc32(" ".join(self.taken).encode()) if self.taken else 0

    def as_json(self) -> dict[str, Any]:
        """Plain values, the order of the arms included."""
        return {**asdict(self), "points": list(self.points.items())}

    @classmethod
    def read(cls, entry: Mapping[str, Any]) -> "Start":
        """What `as_json` made."""
        observed = {
            arm: [Observed(**{**each, "values": tuple(each["values"])}) for each in of_arm]
            for arm, of_arm in entry["observed"].items()
        }
        taken = {label: Taken(**counts) for label, counts in entry["taken"].items()}
        return cls(dict(entry["points"]), observed, taken)

    def sentence(self) -> str:
        """How much was taken from which search."""
        parts = []
        for label, taken in self.taken.items():
            known = f" and {count(taken.observed, 'trial')} for the samplers to know" if taken.observed else ""
            parts.append(f"{count(taken.points, 'point')} to try first{known} from {label}")
        return f"starts with {', '.join(parts)}"


NO_START = Start()
