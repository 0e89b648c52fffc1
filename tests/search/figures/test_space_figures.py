"""Axes of hyperparameters: every value and every tick lies on them."""

from collections.abc import Sequence
from typing import Any

import pytest

from pruning_core.hyperparameters import Choices, Range
from search.figures.space import Scale


@pytest.mark.parametrize(
    ("entry", "values"),
    [
        (Range(1e-4, 10, log=True), (1e-4, 0.03, 10.0)),
        (Range(1.02, 10, log=True), (1.02, 3.0, 10.0)),
        (Range(1, 1), (1.0,)),
        (Range(1, 10, integer=True), (1, 5, 10)),
        (Range(1, 20, log=True, integer=True), (1, 5, 20)),
        (Range(3, 3, integer=True), (3,)),
        (Choices(("a", "b")), ("a", "b")),
    ],
    ids=str,
)
def test_axes_place_values_and_ticks_inside(entry: Range | Choices, values: Sequence[Any]) -> None:
    scale = Scale(entry)
    places = [scale.place(value) for value in values]
    assert places == sorted(places)
    assert all(-1e-9 <= place <= 1 + 1e-9 for place in [*places, *(place for place, _ in scale.ticks())])
    assert scale.ticks()
    edges = scale.edges()
    assert edges == sorted(edges)
    assert all(edges[0] <= place <= edges[-1] for place in places)
