"""Which rows replicas train on, in batches of which size, and which rows each holds out where there are folds."""

from collections.abc import Sequence

from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from pruning_core.config import USUAL_BATCH, TrialConfig
from pruning_core.data import Dataset, Part
from pruning_core.data.folds import Folds
from pruning_core.inner_loop import Rows

FEWEST_STEPS, MOST_STEPS, LARGEST_BATCH = 8, 400, 8192


def default_batch(config: TrialConfig, rows: int) -> int:
    """How many rows a training step takes at most: `batch_size`, or what stands for it where it is None.

    That is 64; of few rows fewer, so that an epoch has 8 steps, and of many more, up to 8,192, so that it has 400:
    small steps waste the machine on millions of rows. What that costs is measured in benchmarks/README.

    >>> [default_batch(TrialConfig(keep=1), rows) for rows in (100, 5_000, 100_000, 3_500_000)]
    [13, 64, 250, 8192]
    """
    if config.batch_size:
        return config.batch_size
    return min(LARGEST_BATCH, -(-rows // FEWEST_STEPS), max(USUAL_BATCH, -(-rows // MOST_STEPS)))


def rows_of(config: TrialConfig, data: Dataset, seeds: Sequence[int]) -> tuple[Part, Rows, Tensor | None]:
    """What replicas train on, and the rows of the pool that each holds out, (R, B) padded with -1; None without folds.

    Args:
        config: `folds` and `batch_size` are used.
        data: on the device of the replicas; with folds, a pool.
        seeds: one per replica.

    Returns:
        The part that the rows are of, the rows, and those held out.
    """
    if not config.folds:
        part, weight = data.train, data.training_weight(data.train)
        if weight is not None and bool((weight < 0).any()):
            raise ValueError("the training part must hold no negative weights")
        return part, Rows(part.x, part.y, default_batch(config, len(part.y)), _relative(weight)), None
    part, folds = data.rows, Folds(config.folds, data.rows)
    shares, held_out = zip(*(folds.of(seed) for seed in seeds), strict=True)
    count = folds.training_rows
    rows = Rows(
        part.x,
        part.y,
        default_batch(config, count),
        _relative(data.training_weight(part)),
        tuple(share.int() for share in shares),
        count,
    )
    return part, rows, pad_sequence(list(held_out), batch_first=True, padding_value=-1).to(part.x.device)


def _relative(weight: Tensor | None) -> Tensor | None:
    """Weights of the training part as L_cla takes them: 1 on average; None where all are alike.

    So L_cla is as large as without weights, and alpha means the same.

    Those below 0 are not trained on.
    """
    if weight is None or bool((weight == weight[0]).all()):
        return None
    return (weight.double() / weight[weight >= 0].double().mean()).float()
