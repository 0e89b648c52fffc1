"""The arithmetic of a training step: what no implementation can do without. Needs nothing but torch.

The network has F gated inputs, H hidden units and C classes, and a step has B rows. Legend as in `pruning_core`.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Shape:
    """A training step of one replica; the defaults are the digits."""

    features: int = 64
    hidden: int = 64
    classes: int = 10
    batch: int = 64

    @property
    def flops(self) -> int:
        """Multiplications and additions of the five matrix products.

        x W1 and h W2 forward, and the gradients of W2, h and W1. The gates multiply W1, so no gradient of x is needed.
        """
        return 2 * self.batch * (2 * self.features * self.hidden + 3 * self.hidden * self.classes)

    @property
    def parameters(self) -> int:
        """Weights, biases and gates."""
        return self.hidden * (self.features + 1) + self.classes * (self.hidden + 1) + self.features

    @property
    def bytes(self) -> int:
        """What must move between memory and processor even if everything else stays in a cache, in float32.

        The parameters and Adam's two moments are read and written, the batch is read.
        """
        return 4 * (6 * self.parameters + self.batch * (self.features + 1))


def rows_first(shape: Shape, replicas: int, steps: int, device: str = "cpu") -> Callable[[], None]:
    """The products of so many steps as one would write them, by `torch.bmm` on (R, B, F), (R, B, H) and (R, B, C)."""
    b, sizes = shape.batch, (shape.features, shape.hidden, shape.classes)
    x, h, logits = (torch.randn(replicas, b, size, device=device) for size in sizes)
    w1 = torch.randn(replicas, shape.features, shape.hidden, device=device)
    w2 = torch.randn(replicas, shape.hidden, shape.classes, device=device)
    to_h, to_w1, to_w2 = torch.empty_like(h), torch.empty_like(w1), torch.empty_like(w2)

    def products() -> None:
        for _ in range(steps):
            torch.bmm(x, w1, out=h)
            torch.bmm(h, w2, out=logits)
            torch.bmm(h.mT, logits, out=to_w2)
            torch.bmm(logits, w2.mT, out=to_h)
            torch.bmm(x.mT, to_h, out=to_w1)

    return products


def rows_last(shape: Shape, replicas: int, steps: int, device: str = "cpu") -> Callable[[], None]:
    """The same products on (R, H, B) and (R, C, B), as `GatedMLP.stacked_forward` has them: faster with few classes."""
    b = shape.batch
    x = torch.randn(replicas, b, shape.features, device=device)
    h, logits = (torch.randn(replicas, size, b, device=device) for size in (shape.hidden, shape.classes))
    w1 = torch.randn(replicas, shape.hidden, shape.features, device=device)
    w2 = torch.randn(replicas, shape.classes, shape.hidden, device=device)
    to_h, to_w1, to_w2 = torch.empty_like(h), torch.empty_like(w1), torch.empty_like(w2)

    def products() -> None:
        for _ in range(steps):
            torch.bmm(w1, x.mT, out=h)
            torch.bmm(w2, h, out=logits)
            torch.bmm(logits, h.mT, out=to_w2)
            torch.bmm(w2.mT, logits, out=to_h)
            torch.bmm(to_h, x, out=to_w1)

    return products


def best_seconds(calls: Sequence[Callable[[], object]], seconds: float, device: str = "cpu") -> list[float]:
    """The shortest time that each call took, when all take turns for so many seconds, each at least three times."""
    best = [float("inf")] * len(calls)
    end = time.perf_counter() + seconds
    turns = 0
    while turns < 3 or time.perf_counter() < end:
        for i, call in enumerate(calls):
            started = time.perf_counter()
            call()
            if device != "cpu":
                torch.cuda.synchronize()
            best[i] = min(best[i], time.perf_counter() - started)
        turns += 1
    return best
