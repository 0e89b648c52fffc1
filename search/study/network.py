"""The section `network` of a study file: a built-in network, or a function of the user's that builds one."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from pruning_core.convolution import CHANNELS, convolutional
from pruning_core.networks import GATED_MLP, NetworkSpec, Share, count_of
from search.study.errors import StudyError, show
from search.study.own_network import OwnNetwork, read_sources
from search.study.section import Section, as_in_trial

PRUNED = {"mlp": ("inputs", "hidden"), "conv": ("inputs", "channels", "hidden")}
ARGUMENTS: dict[str, tuple[str, ...]] = {"mlp": (), "conv": ("channels",)}


class Network(Section):
    """The network that is pruned."""

    kind: str | None = Field(None, description="a built-in network: mlp (where nothing is said) or conv")
    hidden: tuple[int, ...] = as_in_trial("hidden")
    prune: dict[str, Any] = Field(
        {}, description="of a built-in network, n of the pruners on inputs, channels, hidden: counts or fractions"
    )
    build: str | None = Field(
        None, description="models.py:make or package.module:make, a function that builds a network of your own"
    )
    arguments: dict[str, Any] = Field({}, description="of that function; channels of conv")
    input_shape: tuple[int, ...] | None = Field(
        None, description="of one row as the network takes it, such as [1, 28, 28]; then constant inputs stay"
    )
    source: dict[str, str] = Field(
        {}, validate_default=True, description="the text of the modules of `build`, noted when the study is read"
    )

    @field_validator("hidden")
    @classmethod
    def _positive(cls, hidden: tuple[int, ...]) -> tuple[int, ...]:
        if any(width < 1 for width in hidden):
            raise ValueError("must be a list of widths, each at least 1")
        return hidden

    @field_validator("kind")
    @classmethod
    def _known(cls, kind: str | None) -> str | None:
        if kind not in (None, *PRUNED):
            raise ValueError("must be 'mlp' or 'conv'; network.build names a network of your own")
        return kind

    @field_validator("input_shape")
    @classmethod
    def _sizes(cls, shape: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if shape is not None and (not shape or any(size < 1 for size in shape)):
            raise ValueError("must be a list of sizes, each at least 1")
        return shape

    @field_validator("arguments")
    @classmethod
    def _plain(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        try:
            json.dumps(arguments, allow_nan=False)
        except (TypeError, ValueError):
            raise ValueError("must hold finite numbers, text, true, false, null, and lists of these") from None
        return arguments

    @field_validator("source")
    @classmethod
    def _noted(cls, source: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        build = info.data.get("build")
        return source if source or build is None else read_sources(build)

    @field_validator("prune", mode="before")
    @classmethod
    def _lists(cls, prune: object) -> object:
        if not isinstance(prune, Mapping):
            raise ValueError("must say n of each pruner, such as {inputs: 10, hidden: [0.25, 16]}")
        return {str(name): _shares(f"network.prune.{name}", value) for name, value in prune.items()}

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.build is not None:
            for name in ("kind", "hidden", "prune"):
                if (given := getattr(self, name)) != type(self).model_fields[name].default:
                    raise StudyError(
                        f"network.{name} = {show(given)} must be left out: network.build names the network"
                    )
            return self
        kind = self.kind or "mlp"
        if kind == "conv" and (self.input_shape is None or len(self.input_shape) != 3):
            given = None if self.input_shape is None else list(self.input_shape)
            raise StudyError(
                f"network.input_shape = {given} must be [channels, height, width] for network.kind = 'conv'"
            )
        if kind == "mlp" and self.input_shape is not None:
            raise StudyError(
                f"network.input_shape = {list(self.input_shape)} must be left out: network.kind = 'mlp' takes flat rows"
            )
        for name, known in (("arguments", ARGUMENTS[kind]), ("prune", PRUNED[kind])):
            if unknown := [each for each in getattr(self, name) if each not in known]:
                takes = f"takes {', '.join(known)}" if known else "takes none"
                raise StudyError(f"network.{name}.{unknown[0]} is not known: network.kind = {kind!r} {takes}")
        channels = self.arguments.get("channels", [1])
        if not isinstance(channels, list) or not channels or any(type(c) is not int or c < 1 for c in channels):
            raise StudyError(f"network.arguments.channels = {show(channels)} must be a list of widths, each at least 1")
        return self

    @property
    def own(self) -> OwnNetwork | None:
        """The user's network, if it is one."""
        return None if self.build is None else OwnNetwork(self.build, self.source)

    @property
    def warnings(self) -> list[str]:
        """A sentence, where the file of `build` holds another text by now than is noted."""
        if self.own is None or not self.own.has_changed():
            return []
        return [f"network.build = {self.build} has changed since: what was recorded with the search is used"]

    @property
    def spec(self) -> NetworkSpec:
        """How the study's network is built, joined with others and compacted."""
        if own := self.own:
            return NetworkSpec(own, self.input_shape)
        return convolutional(self.input_shape) if self.kind == "conv" and self.input_shape else GATED_MLP

    @property
    def trial_arguments(self) -> dict[str, Any]:
        """The arguments of every trial: those that are given, and what is pruned beside the inputs."""
        prune = {name: shares for name, shares in self.prune.items() if name != "inputs"}
        return {**self.arguments, **({"prune": self._of_each_layer(prune)} if prune else {})}

    @property
    def first_arguments(self) -> dict[str, Any]:
        """Where a search of arguments starts: with those that are given, else with the function's defaults."""
        return {**(self.own.defaults if self.own else {}), **self.arguments}

    def keep_of(self, features: int) -> int | None:
        """n of the pruner on the inputs as `prune` says it; None where it does not."""
        share: Share = self.prune.get("inputs")
        return count_of(share, features)

    def _of_each_layer(self, prune: Mapping[str, Any]) -> dict[str, list[Share]]:
        widths = {"hidden": self.hidden, "channels": self.arguments.get("channels", CHANNELS)}
        return {
            name: shares if isinstance(shares, list) else [shares] * len(widths[name]) for name, shares in prune.items()
        }


def _shares(key: str, value: object) -> Any:
    """A count or a fraction, or of several layers a list of these."""
    if key != "network.prune.inputs" and isinstance(value, Sequence) and not isinstance(value, str):
        return [None if each is None else _share(key, each) for each in value]
    return _share(key, value)


def _share(key: str, value: object) -> int | float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        if isinstance(value, int) and value >= 1:
            return int(value)
        if isinstance(value, float) and 0 < value < 1:
            return float(value)
    raise StudyError(f"{key} = {show(value)} must be a count of at least 1 or a fraction between 0 and 1")
