"""Knockoffs: copies of inputs that look like them beside all others, and carry nothing more about the label.

Given the inputs, M copies of each are drawn without a look at the label, so that exchanging an input for one of its
copies leaves the distribution of all inputs and copies what it is (Candès, Fan, Janson & Lv, "Panning for gold",
JRSS B 80, 2018; several at once: Gimenez & Zou, AISTATS 2019). An input that carries nothing about the label beyond the
others is then as likely to be chosen as each of its copies, whatever chooses.

The inputs are taken to be a Gaussian copula: each follows its own distribution, and their normal scores are jointly
Gaussian. Legend: B rows, F inputs, M copies.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from sklearn.covariance import ledoit_wolf

Floats = NDArray[np.floating]
SWEEPS, ENOUGH = 50, 1e-4
LEAST_EIGENVALUE = 1e-6


def knockoffs(x_BF: Floats, copies: int, seed: int) -> NDArray[np.float32]:
    """Copies of inputs, (M, B, F).

    Parameters
    ----------
    x_BF : array of shape (B, F)
        Inputs that vary.
    copies : int
        M.
    seed : int
        Of the random numbers.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.random.default_rng(0).normal(size=(500, 3))
    >>> knockoffs(x, copies=2, seed=0).shape
    (2, 500, 3)
    """
    random = np.random.default_rng(seed)
    scores_BF = normal_scores(x_BF, random)
    correlation_FF = _correlation(scores_BF)
    inverse_FF = np.linalg.inv(correlation_FF)
    distinct_F = distinctness(correlation_FF, copies)
    mean_BF = scores_BF - scores_BF @ inverse_FF * distinct_F
    # The copies' mean has this covariance around `mean_BF`, and each copy `distinct_F` around their mean.
    together_FF = (copies + 1) / copies * np.diag(distinct_F) - distinct_F[:, None] * inverse_FF * distinct_F
    shape = len(x_BF), len(distinct_F)
    own_MBF = random.standard_normal((copies, *shape)) * np.sqrt(distinct_F)
    copies_MBF = mean_BF + random.standard_normal(shape) @ _root(together_FF) + own_MBF - own_MBF.mean(0)
    return _back(copies_MBF, x_BF)


def normal_scores(x_BF: Floats, random: np.random.Generator) -> Floats:
    """Each input's ranks as quantiles of the normal distribution, (B, F); equal values in random order."""
    rows = len(x_BF)
    order_BF = np.lexsort((random.random(x_BF.shape), x_BF), axis=0)
    ranks_BF = np.empty_like(order_BF)
    np.put_along_axis(ranks_BF, order_BF, np.arange(rows)[:, None], axis=0)
    scores: Floats = ndtri((ranks_BF + 0.5) / rows)
    return scores


def distinctness(correlation_FF: Floats, copies: int) -> Floats:
    """How far copies may differ from their inputs, (F,): 1 - the correlation of an input with each of its copies.

    The largest determinant of the joint correlation matrix, found by one coordinate after the other ("maximum
    entropy"; Spector & Janson, Annals of Statistics 50, 2022).
    """
    copies_and_one = copies + 1
    least = float(np.linalg.eigvalsh(correlation_FF)[0])
    distinct_F = np.full(len(correlation_FF), 0.9 * min(1.0, copies_and_one / copies * least))
    free_FF = np.linalg.inv(copies_and_one / copies * correlation_FF - np.diag(distinct_F))
    for _ in range(SWEEPS):
        moved = 0.0
        for j in range(len(distinct_F)):
            room = free_FF[j, j]
            step = (copies - room * distinct_F[j]) / (room * copies_and_one)
            step = min(step, 1 - distinct_F[j])
            distinct_F[j] += step
            free_FF += np.outer(free_FF[:, j], free_FF[j]) * (step / (1 - step * room))
            moved = max(moved, abs(step))
        if moved < ENOUGH:
            break
    return distinct_F


def _correlation(scores_BF: Floats) -> Floats:
    """The inputs' correlation matrix, shrunk as far as the number of rows asks for (Ledoit & Wolf 2004)."""
    covariance_FF, _ = ledoit_wolf(scores_BF, assume_centered=True)
    values, vectors = np.linalg.eigh(covariance_FF)
    covariance_FF = (vectors * np.maximum(values, LEAST_EIGENVALUE)) @ vectors.T
    deviation_F = np.sqrt(np.diag(covariance_FF))
    correlation_FF: Floats = covariance_FF / np.outer(deviation_F, deviation_F)
    return correlation_FF


def _root(covariance_FF: Floats) -> Floats:
    """A matrix A with A'A = covariance."""
    values, vectors = np.linalg.eigh((covariance_FF + covariance_FF.T) / 2)
    root: Floats = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    return root


def _back(scores_MBF: Floats, x_BF: Floats) -> NDArray[np.float32]:
    """Normal scores as values that the inputs have, of equal rank."""
    ascending_BF = np.sort(x_BF, axis=0)
    ranks_MBF = np.argsort(np.argsort(scores_MBF, axis=1), axis=1)
    return np.take_along_axis(ascending_BF[None], ranks_MBF, axis=1).astype(np.float32)
