"""What the sections of a study file have in common."""

from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator

from pruning_core.config import TrialConfig


def as_in_trial(name: str) -> Any:
    """The default, the limits and the meaning that `TrialConfig` gives to ``name``."""
    return TrialConfig.model_fields[name]


class Section(BaseModel):
    """A part of the study file: unknown keys, infinite numbers and true for 1 are refused.

    Text that is a number is taken as one, since YAML 1.1 reads 1e-4 as text, and a number as a name where a
    name is wanted.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, coerce_numbers_to_str=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_values(cls, value: object) -> object:
        if isinstance(value, bool):
            raise ValueError("must be a number or a name, not true or false")
        return value
