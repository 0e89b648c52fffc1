"""Where the rows come from: named sets and files, split, standardised and encoded as tensors.

`load_dataset` is the only way in. What cannot be used it refuses with a `DataError`, one sentence that names the key of
the study file, the value it got and what is allowed.
"""

from pruning_core.data.dataset import DataError, Dataset, Part, Source
from pruning_core.data.load import check_keep, load_dataset

__all__ = ["DataError", "Dataset", "Part", "Source", "check_keep", "load_dataset"]
