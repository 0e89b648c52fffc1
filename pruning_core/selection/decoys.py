"""A data set in which every input has decoys: knockoffs that are known to carry nothing about the label."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pruning_core.data import Dataset, Part
from pruning_core.selection.knockoffs import knockoffs

ROWS = 50_000


def with_decoys(data: Dataset, copies: int, seed: int = 0) -> Dataset:
    """The same rows with decoys of each input behind the inputs, copy after copy, and without the test part.

    Parameters
    ----------
    data : Dataset
        Its rows that are not test, all together, say what the inputs look like. Labels are not looked at. Of more than
        `ROWS` some are drawn.
    copies : int
        M, how many decoys each input has. With more of them fewer inputs can be claimed (3 with four, 10 with one), and
        a network sees 1 + M times as many inputs.
    seed : int, default=0
        Of the decoys.
    """
    data = _some_rows(data.without_test()).pooled()
    pool, times = data.rows, copies + 1
    copies_MBF = knockoffs(pool.x.cpu().numpy(), copies, seed)
    x = torch.cat([pool.x, *(torch.from_numpy(copy).to(pool.x.device) for copy in copies_MBF)], dim=1)
    names = [*data.feature_names, *(f"{name} (decoy {m})" for m in range(1, times) for name in data.feature_names)]
    more = replace(
        data,
        feature_names=tuple(names),
        mean=data.mean.repeat(times),
        scale=data.scale.repeat(times),
        filling=None if data.filling is None else data.filling.repeat(times),
        missing=data.missing * times,
        source=None,
        fingerprint=f"{data.fingerprint}-decoys-{seed}",
    )
    return more.with_rows(Part(x, pool.y, pool.weight, pool.group))


def _some_rows(data: Dataset) -> Dataset:
    """The same data with at most `ROWS` rows."""
    parts = {name: part for name in ("train", "validation", "left_out") if (part := getattr(data, name)) is not None}
    share = ROWS / sum(len(part.y) for part in parts.values())
    if share >= 1:
        return data
    random = np.random.default_rng(0)
    fewer: dict[str, Any] = {}
    for name, part in parts.items():
        rows = torch.from_numpy(np.sort(random.choice(len(part.y), int(share * len(part.y)), replace=False)))
        weight, group = (None if column is None else column[rows] for column in (part.weight, part.group))
        fewer[name] = Part(part.x[rows], part.y[rows], weight, group)
    return replace(data, pool=None, **fewer)


def kept_beside(kept_RN: NDArray[np.bool_], copies: int) -> NDArray[np.bool_]:
    """What replicas keep of inputs and decoys, (R, (1 + M) N), as `claims` takes it, (R, 1 + M, N)."""
    return kept_RN.reshape(len(kept_RN), copies + 1, -1)
