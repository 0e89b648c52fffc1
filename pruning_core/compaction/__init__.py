"""The pruned network as a plain, smaller `nn.Module`: no gates, only the units that survive, raw columns as input.

`compact` follows any network that `torch.fx` can trace, layer by layer (`tracing`, `analysis`), makes the smaller one
(`shrink`) and compares the two. What cannot lose units is told in a sentence. `describe` and `rebuild` turn a chain of
layers into a list for a JSON file and back.
"""

from pruning_core.compaction.compact import Compacted, PrunedReplica, compact, on_raw_columns
from pruning_core.compaction.counts import Size, multiply_adds, size
from pruning_core.compaction.description import describe, rebuild
from pruning_core.compaction.tracing import CompactionError

__all__ = [
    "Compacted",
    "CompactionError",
    "PrunedReplica",
    "Size",
    "compact",
    "describe",
    "multiply_adds",
    "on_raw_columns",
    "rebuild",
    "size",
]
