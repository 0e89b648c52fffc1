"""Where the rows come from: named sets and files, split, standardised and encoded as tensors.

`load_dataset` reads files, `from_arrays` takes what is in memory. What cannot be used they refuse with a `DataError`,
one sentence that names the key of the study file, the value it got and what is allowed.
"""

from pruning_core.data.arrays import ArrayPart, from_arrays
from pruning_core.data.cut import parse_cut
from pruning_core.data.dataset import DataError, Dataset, Part, Source
from pruning_core.data.inputs import Progress
from pruning_core.data.load import check_keep, load_dataset
from pruning_core.data.readers import kind_of
from pruning_core.data.spec import DataSpec
from pruning_core.data.split import parse_split

__all__ = [
    "ArrayPart",
    "DataError",
    "DataSpec",
    "Dataset",
    "Part",
    "Progress",
    "Source",
    "check_keep",
    "from_arrays",
    "kind_of",
    "load_dataset",
    "parse_cut",
    "parse_split",
]
