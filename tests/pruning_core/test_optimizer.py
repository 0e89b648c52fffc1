"""The optimiser does what `torch.optim.AdamW` does, bit for bit."""

from typing import Any

import torch
from torch import Tensor

from pruning_core.optimizer import AdamW, Group


def optimizers() -> tuple[AdamW, torch.optim.AdamW, dict[str, Tensor], dict[str, Tensor]]:
    """Ours and torch's, on copies of the same parameters; one of them is frozen."""
    generator = torch.Generator().manual_seed(4)
    shapes = {"weight": (3, 5, 4), "bias": (3, 5), "gates": (3, 4), "frozen": (3, 2)}
    ours = {name: torch.randn(shape, generator=generator).requires_grad_() for name, shape in shapes.items()}
    ours["frozen"].requires_grad_(False)
    others = {name: p.detach().clone().requires_grad_(p.requires_grad) for name, p in ours.items()}
    network = ("weight", "bias", "frozen")
    mine = AdamW([Group({n: ours[n] for n in network}, 3e-3, 0.05), Group({"gates": ours["gates"]}, 0.1)])
    groups: list[dict[str, Any]] = [
        {"params": [others[n] for n in network], "lr": 3e-3, "weight_decay": 0.05},
        {"params": [others["gates"]], "lr": 0.1, "weight_decay": 0.0},
    ]
    return mine, torch.optim.AdamW(groups, fused=True), ours, others


def gradients_of_step(step: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(step)
    transposed = torch.randn(3, 4, 5, generator=generator).mT
    return {
        "weight": transposed,
        "bias": torch.randn(3, 1, generator=generator).expand(3, 5),
        "gates": transposed[:, 0],
    }


def test_adamw_is_torchs() -> None:
    mine, torchs, ours, others = optimizers()
    for step in range(20):
        gradients = gradients_of_step(step)
        mine.step(gradients)
        for name, gradient in gradients.items():
            others[name].grad = gradient.contiguous()
        torchs.step()
    for name, parameter in ours.items():
        assert torch.equal(parameter, others[name]), name


def test_adamw_goes_on_from_a_saved_state() -> None:
    mine, _, ours, _ = optimizers()
    for step in range(3):
        mine.step(gradients_of_step(step))
    other, _, parameters, _ = optimizers()
    other.load_state_dict(mine.state_dict())
    for name, parameter in parameters.items():
        parameter.data.copy_(ours[name].detach())
    for step in range(3, 6):
        mine.step(gradients_of_step(step))
        other.step(gradients_of_step(step))
    for name, parameter in ours.items():
        assert torch.equal(parameter, parameters[name]), name
