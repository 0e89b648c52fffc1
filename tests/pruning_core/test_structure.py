"""Two networks count as alike only where nothing but their numbers can differ."""

import functools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pruning_core.pruner import Pruner
from pruning_core.structure import structure


class Own(nn.Module):
    """A user's network with attributes of its own."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__()
        self.pruner = Pruner(6, keep=2)
        self.last = nn.Linear(6, 3)
        for name, value in attributes.items():
            setattr(self, name, value)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.pruner(x))


class Counting(Pruner):
    """A pruner whose forward may depend on its n."""


def chained(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(Pruner(6, 2), nn.Linear(6, 4), *layers, nn.Linear(4, 3))


ALIKE: dict[str, Callable[[], nn.Module]] = {
    "layers": lambda: chained(nn.ReLU(), nn.Dropout(0.3)),
    "no attributes": Own,
    "numbers and words": lambda: Own(depth=3, slope=0.1, name="a", bias=None),
    "functions": lambda: Own(activation=torch.tanh, other=nn.functional.relu, layer=nn.Linear),
    "collections": lambda: Own(sizes=[1, (2, 3)], names={"a": 1}, kinds={torch.float32}, shape=torch.Size([2])),
    "buffers": lambda: chained(nn.BatchNorm1d(4)),
}


@pytest.mark.parametrize("build", ALIKE.values(), ids=ALIKE.keys())
def test_networks_that_are_built_alike_have_one_structure(
    build: Callable[[], nn.Module],
) -> None:
    one, other = build(), build()
    for parameter in other.parameters():
        nn.init.normal_(parameter)
    assert structure(one) is not None
    assert structure(one) == structure(other)
    assert hash(structure(one)) == hash(structure(other))


DIFFERENT: dict[str, tuple[nn.Module, nn.Module]] = {
    "activations": (chained(nn.ReLU()), chained(nn.Tanh())),
    "a slope": (chained(nn.LeakyReLU(0.1)), chained(nn.LeakyReLU(0.2))),
    "a dropout": (chained(nn.Dropout(0.1)), chained(nn.Dropout(0.2))),
    "a momentum": (chained(nn.BatchNorm1d(4, momentum=0.1)), chained(nn.BatchNorm1d(4, momentum=0.2))),
    "an order": (chained(nn.ReLU(), nn.Dropout(0.1)), chained(nn.Dropout(0.1), nn.ReLU())),
    "a function": (Own(activation=torch.tanh), Own(activation=torch.relu)),
    "functions of one name": (Own(activation=lambda x: x), Own(activation=lambda x: 2 * x)),
    "a number": (Own(depth=1), Own(depth=2)),
    "the type of a number": (Own(depth=1), Own(depth=True)),
    "a private attribute": (Own(_depth=1), Own(_depth=2)),
    "a class": (Own(layer=nn.Linear), Own(layer=nn.Bilinear)),
    "something in a collection": (Own(sizes=[1, (2, 3)]), Own(sizes=[1, (2, 4)])),
    "a missing attribute": (Own(), Own(depth=1)),
    "a hook": (chained(), chained()),
    "a name": (Own(first=nn.ReLU()), Own(second=nn.ReLU())),
    "trailing dimensions": (nn.Sequential(Pruner(6, 2)), nn.Sequential(Pruner(6, 2, trailing_dims=1))),
    "n of a pruner that may use it": (Counting(6, 2), Counting(6, 3)),
    "evaluation": (chained(), chained().eval()),
}
DIFFERENT["a hook"][1].register_forward_hook(lambda module, inputs, output: 2 * output)


@pytest.mark.parametrize(("one", "other"), DIFFERENT.values(), ids=DIFFERENT.keys())
def test_networks_that_differ_in_more_than_their_numbers_are_told_apart(one: nn.Module, other: nn.Module) -> None:
    assert structure(one) is not None
    assert structure(one) != structure(other)


def test_n_of_a_pruner_does_not_count() -> None:
    assert structure(Pruner(6, 2)) == structure(Pruner(6, 3))


@pytest.mark.parametrize(
    "attribute",
    [torch.zeros(3), SimpleNamespace(depth=1), functools.partial(torch.add, 1), [nn.ReLU()], {"a": torch.ones(1)}],
    ids=["a tensor", "an object", "a partial function", "modules in a list", "a tensor in a dictionary"],
)
def test_a_network_with_an_attribute_that_cannot_be_compared_has_none(attribute: object) -> None:
    assert structure(Own(attribute=attribute)) is None
