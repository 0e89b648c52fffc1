"""Multiply-adds, as one counts them by hand, whichever way torch would compute them."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from pruning_core.compaction import multiply_adds, size

TOKENS, WIDTH = 8, 16
PROJECTIONS, BETWEEN_TOKENS = 4 * TOKENS * WIDTH * WIDTH, 2 * TOKENS * TOKENS * WIDTH


class Of(nn.Module):
    """What a function makes of the rows and a layer."""

    def __init__(self, function: Callable[[nn.Module, Tensor], Tensor], layer: nn.Module) -> None:
        super().__init__()
        self.function, self.layer = function, layer

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.layer, x)


def attention() -> nn.Module:
    return nn.MultiheadAttention(WIDTH, 2, batch_first=True)


COUNTED: dict[str, tuple[nn.Module, int]] = {
    "attention": (Of(lambda a, x: a(x, x, x)[0], attention()), PROJECTIONS + BETWEEN_TOKENS),
    "attention without weights": (
        Of(lambda a, x: a(x, x, x, need_weights=False)[0], attention()),
        PROJECTIONS + BETWEEN_TOKENS,
    ),
    "scaled dot product": (
        Of(lambda _, x: functional.scaled_dot_product_attention(x, x, x), nn.Identity()),
        BETWEEN_TOKENS,
    ),
    "encoder": (
        nn.TransformerEncoderLayer(WIDTH, 2, 32, batch_first=True),
        PROJECTIONS + BETWEEN_TOKENS + 2 * TOKENS * WIDTH * 32,
    ),
    "linear": (nn.Linear(WIDTH, 5), TOKENS * WIDTH * 5),
    "convolution": (nn.Conv1d(TOKENS, 3, 5, padding=2), WIDTH * TOKENS * 3 * 5),
}


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", COUNTED)
def test_multiply_adds_are_those_counted_by_hand(name: str, training: bool) -> None:
    network, by_hand = COUNTED[name]
    row = torch.zeros(1, TOKENS, WIDTH)
    assert multiply_adds(network.train(training), row) == by_hand
    assert size(network, row.shape[1:]).multiply_adds == by_hand
    assert torch.backends.mha.get_fastpath_enabled()
