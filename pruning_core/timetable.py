"""The timetable of `adaptive` and `swap`: how many units may still be there at each moment."""


def share_left(share: float) -> float:
    """How much of the pruning is left after this share of `shrink_epochs`: (1 - share)^3 of the N - n units that go.

    Fast while there are many, slowly at the end. Zhu and Gupta 2017, "To prune, or not to prune", equation 1.

    >>> [share_left(share) for share in (0, 0.5, 1, 1.5)]
    [1, 0.125, 0, 0.0]
    """
    return (1 - min(share, 1.0)) ** 3
