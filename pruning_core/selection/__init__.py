"""What a selection is worth: how often each input is kept, how much of it is noise, and what can stand in for what.

From several replicas of one configuration, each with its seed and, with `folds`, rows of its own.
"""

from pruning_core.selection.claims import Claims, claims
from pruning_core.selection.competition import compete
from pruning_core.selection.decoys import kept_beside, with_decoys
from pruning_core.selection.frequency import Frequency, Stability, frequency, kept_matrix, stability
from pruning_core.selection.twins import Twin, twins

__all__ = [
    "Claims",
    "Frequency",
    "Stability",
    "Twin",
    "claims",
    "compete",
    "frequency",
    "kept_beside",
    "kept_matrix",
    "stability",
    "twins",
    "with_decoys",
]
