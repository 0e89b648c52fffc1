"""When two networks differ in nothing but their numbers, so that one can compute with those of the other."""

from collections.abc import Hashable, Iterator
from enum import Enum
from types import BuiltinFunctionType, FunctionType
from typing import Any

import torch
from torch import nn

from pruning_core.pruner import Pruner

REGISTERED = ("_parameters", "_buffers", "_modules", "_non_persistent_buffers_set")
PLAIN = (bool, int, float, complex, str, bytes, Enum, torch.dtype, torch.device, type(None))
BY_IDENTITY = (type, FunctionType, BuiltinFunctionType)


class _IncomparableError(Exception):
    """A value that may differ in ways that nobody can see."""


def structure(network: nn.Module) -> Hashable | None:
    """All that the modules of a network are but for their parameters and buffers; None where that cannot be compared.

    These are their places and types, what `extra_repr` says and every attribute: numbers, names, functions, and
    collections of them. Any other attribute, such as a tensor that is no buffer, makes a network incomparable. n of a
    `Pruner` does not count: its gates do not depend on it.

    >>> tanh, relu = nn.Sequential(nn.Linear(3, 2), nn.Tanh()), nn.Sequential(nn.Linear(3, 2), nn.ReLU())
    >>> structure(tanh) == structure(relu)
    False
    """
    try:
        return tuple(
            (path, type(module), module.extra_repr(), tuple(_attributes(module)))
            for path, module in network.named_modules(remove_duplicate=False)
        )
    except _IncomparableError:
        return None


def _attributes(module: nn.Module) -> Iterator[tuple[str, Hashable]]:
    unused = (*REGISTERED, "keep", "name") if type(module) is Pruner else REGISTERED
    for name, value in vars(module).items():
        if name not in unused:
            yield name, _comparable(value)


def _comparable(value: Any) -> Hashable:
    """The value as something that is equal for equal values; types keep 1, 1.0 and True apart."""
    if isinstance(value, BY_IDENTITY):
        return value
    if isinstance(value, PLAIN):
        return type(value), value
    if isinstance(value, list | tuple):
        return type(value), tuple(map(_comparable, value))
    if isinstance(value, set | frozenset):
        return type(value), frozenset(map(_comparable, value))
    if isinstance(value, dict):
        return type(value), tuple((_comparable(key), _comparable(item)) for key, item in value.items())
    raise _IncomparableError
