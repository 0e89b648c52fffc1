"""What a hyperparameter is: its meaning, what it may be, its default, and where a search looks for it."""

import math
from dataclasses import dataclass, field
from typing import Any

from pydantic import Field
from pydantic.fields import FieldInfo

Value = str | int | float


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``, both included; on a log scale or integers only, if so marked.

    One that is `drawn` is left to samplers that draw: a grid, which it would make three times as large, keeps the
    default.
    """

    low: float
    high: float
    log: bool = False
    integer: bool = False
    drawn: bool = False

    def nearest(self, value: Any) -> Value:
        """The number of this range that is closest to the number ``value``."""
        inside = min(max(value, self.low), self.high)
        return round(inside) if self.integer else inside

    def grid(self) -> list[Value]:
        """Both ends and the middle (the geometric one if ``log``), each once."""
        middle = math.sqrt(self.low) * math.sqrt(self.high) if self.log else self.low / 2 + self.high / 2
        return list(dict.fromkeys([self.low, self.nearest(middle), self.high]))

    def __str__(self) -> str:
        return f"{self.low:g} ... {self.high:g}" + ", log" * self.log + ", integer" * self.integer


@dataclass(frozen=True)
class Choices:
    """One of ``values``."""

    values: tuple[Value, ...]

    def nearest(self, value: Any) -> Value:
        """``value`` itself if it is among the choices, of numbers the closest one, else the first of them."""
        if value in self.values:
            return value
        if all(isinstance(each, int | float) for each in (value, *self.values)):
            return min(self.values, key=lambda each: abs(each - value))
        return self.values[0]

    def grid(self) -> list[Value]:
        """All the choices."""
        return list(self.values)

    def __str__(self) -> str:
        return " | ".join(map(short, self.values))


def short(value: Value) -> str:
    """A value as tables show it."""
    return f"{value:g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class Hyperparameter:
    """A hyperparameter that a strategy declares; strategies that share one name it alike.

    Args:
        name: the same in code, study file, Optuna, MLflow and report.
        kind: its type, such as `float` or `Literal["weights", "gates"]`.
        default: its value where nobody sets it.
        meaning: in a few words.
        search: where a search looks for it if a study says nothing; None keeps the default.
        limits: of a number, in pydantic's words: `gt`, `ge`, `lt`, `le`.
    """

    name: str
    kind: Any
    default: Value
    meaning: str
    search: Range | Choices | None = None
    limits: dict[str, float] = field(default_factory=dict)

    def as_field(self) -> FieldInfo:
        """The field of `TrialConfig` that holds it."""
        described: Any = searched_field(self.default, self.search, description=self.meaning, **self.limits)
        return FieldInfo.from_annotated_attribute(self.kind, described)


def searched_field(default: Any, search: Range | Choices | None, **about: Any) -> Any:
    """A field of a configuration that knows where a search looks for it."""
    return Field(default, json_schema_extra={"search": search} if search else None, **about)  # type: ignore[dict-item]


def search_of(info: FieldInfo) -> Range | Choices | None:
    """Where a search looks for a field's value by default; None for one that keeps its default."""
    extra = info.json_schema_extra
    found = extra.get("search") if isinstance(extra, dict) else None
    return found if isinstance(found, Range | Choices) else None
