"""What the outputs of networks on rows of known classes are worth: accuracy, balanced accuracy, AUC and rejection.

The more, the better, of each of them. Rows count with their weights as they are, negative ones too.
Legend: R replicas, B rows, C classes, K signal efficiencies.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from pruning_core.tasks import answers

if TYPE_CHECKING:
    from pruning_core.data import Dataset

SIGNAL_EFFICIENCY = 0.5


@dataclass(frozen=True)
class Answers:
    """What R networks say of the same rows, or each of its own.

    Args:
        right_RC: the sum of the weights of each class's rows that a network gets right, in float64.
        sums: that of all its rows, (C,), or (R, C) where each network has rows of its own.
        logits_RBC: the outputs; None where no metric asked for them.
        y: the rows' classes, (B,) or (R, B).
        weight: how much each row counts, of the same shape; None for all alike.
    """

    right_RC: Tensor
    sums: Tensor
    logits_RBC: Tensor | None
    y: Tensor
    weight: Tensor | None

    def log_odds(self, of: int) -> Tensor:
        """log p / (1 - p) of one class, (R, B) in float64: ordered like its probability p, and never saturated."""
        assert self.logits_RBC is not None
        logits_RBC = self.logits_RBC.double()
        others = [c for c in range(logits_RBC.shape[2]) if c != of]
        return logits_RBC[..., of] - torch.logsumexp(logits_RBC[..., others], 2)


def right_by_class(logits_RBC: Tensor, y: Tensor, weights: Tensor) -> Tensor:
    """The sum of the weights of each class's rows that a network gets right, (R, C) in float64.

    Args:
        logits_RBC: the networks' outputs.
        y: the rows' classes, (B,) or (R, B).
        weights: the rows' weights in the column of their class, 0 elsewhere, (B, C) or (R, B, C) in float64.
    """
    right_RB = (answers(logits_RBC) == y).double()
    return right_RB @ weights if weights.dim() == 2 else torch.einsum("rb,rbc->rc", right_RB, weights)


def weights_by_class(y: Tensor, classes: int, weight: Tensor | None = None) -> Tensor:
    """The weights of rows, (..., B), in the column of their class, (..., B, C) in float64; 1 for rows without them."""
    weights = _weights(y, weight)
    return torch.zeros(*y.shape, classes, dtype=torch.float64, device=y.device).scatter_(
        -1, y.unsqueeze(-1), weights.unsqueeze(-1)
    )


@dataclass(frozen=True)
class Metric(ABC):
    """A measure of how good answers are, and how its values are written.

    `name` is what stands behind `pruned_` and `full_` everywhere, `label` what stands in pictures. `of_each_class` says
    that the value stays the same when all rows of a class count twice. `factor`, `digits`, `sign` and `apart` write a
    value (0.961 -> `96.1 %`) and a difference of two (`0.4 points`). `most` is the largest possible value.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    needs_logits: ClassVar[bool] = False
    of_each_class: ClassVar[bool] = True
    factor: ClassVar[float] = 100.0
    digits: ClassVar[int] = 1
    sign: ClassVar[str] = " %"
    apart: ClassVar[str] = " points"
    most: ClassVar[float] = 1.0

    @property
    def title(self) -> str:
        """The label at the beginning of a sentence."""
        return self.label[0].upper() + self.label[1:]

    @abstractmethod
    def of(self, answers: Answers) -> Tensor:
        """The value of each replica, (R,) in float64."""

    def number(self, value: float, more_digits: int = 0) -> str:
        """A value or a difference without its unit: 0.9604 -> `96.0`, and `96.04` with one digit more."""
        digits = self.digits + more_digits
        return f"{round(self.factor * value, digits) + 0.0:.{digits}f}".replace("-", "−")

    def text(self, value: float | None, spread: float | None = None) -> str:
        """A value, maybe with its spread: 0.9613, 0.004 -> `96.1 ± 0.4 %`; `-` where there is none."""
        if value is None:
            return "-"
        return f"{self.number(value)}{'' if spread is None else f' ± {self.number(spread)}'}{self.sign}"


class Accuracy(Metric):
    """Accuracy: the share of the rows that are right, Σ v [right] / Σ v."""

    name = "accuracy"
    label = "accuracy"
    of_each_class = False

    def of(self, answers: Answers) -> Tensor:
        return answers.right_RC.sum(1) / answers.sums.sum(-1)


class BalancedAccuracy(Metric):
    """Balanced accuracy: the mean over the classes of the share of a class's rows that are right."""

    name = "balanced_accuracy"
    label = "balanced accuracy"

    def of(self, answers: Answers) -> Tensor:
        there = answers.sums != 0
        shares_RC = (answers.right_RC / answers.sums).where(there, 0)
        return shares_RC.sum(1) / there.sum(-1)


class AUC(Metric):
    """The area under the ROC curve, as scikit-learn's `roc_auc_score(sample_weight=…)` has it.

    Of more than two classes the mean over one class against the rest.
    """

    name = "auc"
    label = "AUC"
    needs_logits = True
    factor, digits, sign, apart = 1.0, 3, "", ""

    def of(self, answers: Answers) -> Tensor:
        classes = answers.sums.shape[-1]
        signals = [c for c in range(classes) if (answers.sums[..., c] != 0).any()] if classes > 2 else [1]
        areas = [auc(answers.log_odds(c), answers.y == c, answers.weight) for c in signals]
        return torch.stack(areas).nanmean(0)


@dataclass(frozen=True)
class Rejection(Metric):
    """Background rejection: 1 / background efficiency at a signal efficiency, of two classes.

    It is at most the (effective) number of background rows: a smaller efficiency cannot be told from none.

    Args:
        signal_efficiency: the share of the signal that is to be kept, in (0, 1).
        signal: index of the class that is the signal.
    """

    signal_efficiency: float = SIGNAL_EFFICIENCY
    signal: int = 1

    name = "rejection"
    needs_logits = True
    factor, digits, sign, apart = 1.0, 1, "", ""
    most = float("inf")

    @property
    def label(self) -> str:  # type: ignore[override]
        return f"background rejection at {100 * self.signal_efficiency:g} % signal efficiency"

    def of(self, answers: Answers) -> Tensor:
        signal = answers.y == self.signal
        efficiency = torch.tensor([self.signal_efficiency], dtype=torch.float64)
        background_RK = background_efficiency(answers.log_odds(self.signal), signal, efficiency, answers.weight)
        of_background = _weights(answers.y, answers.weight) * ~signal
        least = (of_background**2).sum(-1) / of_background.sum(-1) ** 2
        return 1 / background_RK[:, 0].clamp(min=least)


METRICS: dict[str, type[Metric]] = {kind.name: kind for kind in (Accuracy, BalancedAccuracy, AUC, Rejection)}
ACCURACY = Accuracy()
BESIDE = (ACCURACY, BalancedAccuracy())
"""What is always measured, whatever a search maximises."""


def auc(scores_RB: Tensor, signal: Tensor, weight: Tensor | None = None) -> Tensor:
    """The area under the ROC curve of each replica, (R,) in float64.

    The sum over all pairs of a signal and a background row of v_s v_b [score_s > score_b], where equal scores count
    half, over (Σ v_s · Σ v_b).

    Args:
        scores_RB: the greater, the more like signal.
        signal: which rows are signal, bool, (B,) or (R, B).
        weight: how much each row counts, negative ones too, (B,) or (R, B); None for all alike.
    """
    order_RB, first_RB, behind_RB = _ties(scores_RB)
    weight_RB = _weights(signal, weight).expand_as(order_RB).gather(1, order_RB)
    signal_RB = signal.expand_as(order_RB).gather(1, order_RB)
    background_RB = _cumulative(weight_RB * ~signal_RB)
    beaten_RB = (background_RB.gather(1, first_RB) + background_RB.gather(1, behind_RB)) / 2
    pairs_R = (weight_RB * signal_RB).sum(1) * background_RB[:, -1]
    return (weight_RB * signal_RB * beaten_RB).sum(1) / pairs_R


def background_efficiency(
    scores_RB: Tensor, signal: Tensor, efficiency_K: Tensor, weight: Tensor | None = None
) -> Tensor:
    """The ROC curve of each replica, (R, K) in float64: the background's efficiency at these of the signal.

    The curve is straight between the thresholds that the scores allow; rows of equal score pass together. Where
    negative weights make it turn back, the first crossing counts.

    Args:
        scores_RB: the greater, the more like signal.
        signal: which rows are signal, bool, (B,) or (R, B).
        efficiency_K: signal efficiencies in (0, 1), float64.
        weight: how much each row counts, (B,) or (R, B); None for all alike.
    """
    order_RB, first_RB, behind_RB = _ties(-scores_RB)
    weight_RB = _weights(signal, weight).expand_as(order_RB).gather(1, order_RB)
    signal_RB = signal.expand_as(order_RB).gather(1, order_RB)
    passed_RB, leaked_RB = _cumulative(weight_RB * signal_RB), _cumulative(weight_RB * ~signal_RB)
    passed_RB, leaked_RB = passed_RB / passed_RB[:, -1:], leaked_RB / leaked_RB[:, -1:]
    reached_RB = passed_RB.gather(1, behind_RB).cummax(1).values.contiguous()
    wanted_RK = efficiency_K.to(reached_RB.device).expand(len(scores_RB), -1).contiguous()
    place_RK = torch.searchsorted(reached_RB, wanted_RK).clamp(max=reached_RB.shape[1] - 1)
    before_RK, after_RK = first_RB.gather(1, place_RK), behind_RB.gather(1, place_RK)
    start_RK, end_RK = passed_RB.gather(1, before_RK), passed_RB.gather(1, after_RK)
    share_RK = ((wanted_RK - start_RK) / (end_RK - start_RK)).nan_to_num(1.0).clamp(0, 1)
    return torch.lerp(leaked_RB.gather(1, before_RK), leaked_RB.gather(1, after_RK), share_RK)


def signal_class(data: "Dataset") -> int | None:
    """The index of the class that counts as signal: the one that the data names, else the last of two."""
    if len(data.class_names) != 2:
        return None
    return 1 if data.signal is None else data.class_names.index(data.signal)


def measure(answers: Answers, metrics: Sequence[Metric]) -> dict[str, Tensor]:
    """Each metric's value for each replica, (R,), by name."""
    return {metric.name: metric.of(answers) for metric in metrics}


def _weights(rows: Tensor, weight: Tensor | None) -> Tensor:
    if weight is None:
        return torch.ones(rows.shape, dtype=torch.float64, device=rows.device)
    return weight.double()


def _cumulative(values_RB: Tensor) -> Tensor:
    """The sums of the first 0, 1, …, B values, (R, B + 1)."""
    return torch.nn.functional.pad(values_RB.cumsum(1), (1, 0))


def _ties(scores_RB: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The ascending order of scores, and for each place in it where its run of equal scores begins and ends."""
    ascending_RB, order_RB = scores_RB.sort(1)
    ascending_RB = ascending_RB.contiguous()
    first_RB = torch.searchsorted(ascending_RB, ascending_RB)
    return order_RB, first_RB, torch.searchsorted(ascending_RB, ascending_RB, right=True)
