"""Where the rows come from: named sets and files, split, standardised and encoded as tensors.

`load_dataset` is the only way in. What cannot be used it refuses with a `DataError`, one sentence that names the key of
the study file, the value it got and what is allowed.
"""

from pruning_core.data.cut import parse_cut
from pruning_core.data.dataset import DataError, Dataset, Part, Source
from pruning_core.data.inputs import Progress
from pruning_core.data.load import check_keep, load_dataset
from pruning_core.data.readers import kind_of
from pruning_core.data.spec import DataSpec
from pruning_core.data.split import parse_split

__all__ = [
    "DataError",
    "DataSpec",
    "Dataset",
    "Part",
    "Progress",
    "Source",
    "check_keep",
    "kind_of",
    "load_dataset",
    "parse_cut",
    "parse_split",
]
