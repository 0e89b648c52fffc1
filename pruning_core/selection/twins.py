"""Twins: inputs that are not kept and can stand in for one that is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOST, LEAST_CORRELATION = 3, 0.5


@dataclass(frozen=True)
class Twin:
    """An input that can stand in for a kept one.

    Attributes
    ----------
    name : str
        Of the input that is not kept.
    correlation : float
        Of the two, on the rows that are not test.
    replaces : float
        By how much more often replicas keep it where they lack the kept one than where they have it, in [-1, 1].
    """

    name: str
    correlation: float
    replaces: float


def twins(
    kept_RN: NDArray[np.bool_], x_BN: NDArray[np.floating], kept: int, others: Sequence[int], names: Sequence[str]
) -> list[Twin]:
    """The twins of a kept input, at most three: those that take its place in other replicas, and those much like it.

    Parameters
    ----------
    kept_RN : array of shape (R, N)
        What each replica keeps.
    x_BN : array of shape (B, N)
        Rows, standardised.
    kept : int
        The kept input.
    others : sequence of int
        The inputs that are not kept.
    names : sequence of str
        Of the inputs.
    """
    with_it, without = kept_RN[kept_RN[:, kept]], kept_RN[~kept_RN[:, kept]]
    replaces_N = without.mean(0) - with_it.mean(0) if len(without) and len(with_it) else np.zeros(len(names))
    centred_BN = x_BN - x_BN.mean(0)
    deviation_N = np.sqrt((centred_BN**2).mean(0))
    correlation_N = (centred_BN * centred_BN[:, [kept]]).mean(0) / np.maximum(deviation_N * deviation_N[kept], 1e-12)
    like_N = np.abs(correlation_N)
    candidates = [i for i in others if replaces_N[i] > 0 or like_N[i] >= LEAST_CORRELATION]
    candidates.sort(key=lambda i: replaces_N[i] + like_N[i], reverse=True)
    return [Twin(names[i], float(correlation_N[i]), float(replaces_N[i])) for i in candidates[:MOST]]
