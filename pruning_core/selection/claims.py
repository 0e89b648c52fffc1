"""Which inputs can be claimed, with an error rate: each must beat the decoys that competed with it for the gates.

Legend: R replicas, M decoys of each input, N inputs.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CLAIMED_AT = 0.1


@dataclass(frozen=True)
class Claims:
    """What the competition with decoys says.

    Attributes
    ----------
    q_values : array of shape (N,)
        The smallest rate of false discoveries at which an input is claimed; 1 where it never is.
    frequency : array of shape (N,)
        The share of the replicas that keep an input among the decoys.
    decoys : array of shape (N,)
        The largest such share of its decoys.
    noise : float
        The share of noise to be expected among the inputs that a replica keeps.
    least : int
        So many inputs, at least, must be claimed together to be claimed at `CLAIMED_AT`: 1 / (M * 0.1).
    """

    q_values: NDArray[np.floating]
    frequency: NDArray[np.floating]
    decoys: NDArray[np.floating]
    noise: float
    least: int

    @property
    def claimed(self) -> NDArray[np.intp]:
        """The inputs that can be claimed at `CLAIMED_AT`, the surest first."""
        found = np.flatnonzero(self.q_values <= CLAIMED_AT)
        return found[np.argsort(-(self.frequency - self.decoys)[found], kind="stable")]


def claims(kept_RKN: NDArray[np.bool_]) -> Claims:
    """Compares how often each input and its decoys are kept.

    An input counts for a discovery where it is kept more often than each of its decoys, and against one where a decoy
    is: of inputs that carry nothing, M of M + 1 count against. Those that count, by a difference of t at least between
    the two most frequent, hold a share of false discoveries of at most (1 + those against) / M / those for
    (Barber & Candès, Annals of Statistics 43, 2015; with M decoys Gimenez & Zou, AISTATS 2019). It holds on average
    over data, for decoys that are knockoffs; all replicas must have had the same.

    Parameters
    ----------
    kept_RKN : array of shape (R, 1 + M, N)
        What each replica keeps: inputs first, then their decoys, copy after copy.

    Examples
    --------
    >>> import numpy as np
    >>> kept = np.zeros((8, 5, 20), dtype=bool)
    >>> kept[:, 0, :4] = True
    >>> found = claims(kept)
    >>> found.claimed.tolist(), float(found.q_values[0]), found.least
    ([0, 1, 2, 3], 0.0625, 3)
    """
    copies = kept_RKN.shape[1] - 1
    share_KN = kept_RKN.mean(0)
    ascending_KN = np.sort(share_KN, axis=0)
    margin_N = ascending_KN[-1] - ascending_KN[-2]
    real_N = share_KN[0] == ascending_KN[-1]
    q_N = np.ones(len(margin_N))
    smallest = 1.0
    for least in np.unique(margin_N[margin_N > 0]):
        counted_N = margin_N >= least
        found, against = int((counted_N & real_N).sum()), int((counted_N & ~real_N).sum())
        if found:
            smallest = min(smallest, (1 + against) / copies / found)
            q_N[counted_N & real_N] = smallest
    kept_real, kept_decoys = share_KN[0].sum(), share_KN[1:].sum()
    return Claims(
        q_values=q_N,
        frequency=share_KN[0],
        decoys=share_KN[1:].max(0),
        noise=float(min(1.0, kept_decoys / copies / kept_real)) if kept_real else 1.0,
        least=int(np.ceil(1 / copies / CLAIMED_AT)),
    )
