"""ROOT files by uproot, TTree and RNTuple alike; ROOT itself is not needed."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from pruning_core.data.dataset import DataError
from pruning_core.data.readers.npz import column_of_array
from pruning_core.data.readers.opening import filesystem, package
from pruning_core.data.readers.table import Column, Columns, FileSource, Lists
from pruning_core.data.wording import hint, some

READABLE = ("number", "text", "list")
TREES = ("TTree", "TNtuple", "TNtupleD", "TChain", "ROOT::RNTuple")


class RootColumns(Columns):
    """The branches of a tree; a branch is read when it is asked for."""

    def __init__(self, file: FileSource) -> None:
        self.file = file
        self._uproot = package("uproot", "root", file)
        if file.remote:
            filesystem(file)
        with self._uproot.open({file.where: None}) as root:
            self._tree = self._name(root)
            tree = root[self._tree]
            self.rows = int(tree.num_entries)
            paths = "RNTuple" in tree.classname  # a TTree's branches have a name of their own, a record's parts none
            names = list(dict.fromkeys(map(str, tree.keys(recursive=True, full_paths=paths))))
            kinds = {name: _kind(tree[name]) for name in names}
        parents = {name[:i] for name in names for i, letter in enumerate(name) if letter in "./"}
        whole = {name for name in parents if kinds.get(name) not in READABLE}  # their parts are columns
        self.names = [name for name in names if name not in whole]
        self.lists = {name for name, kind in kinds.items() if kind == "list"}
        self.others = {name: kinds[name] for name in self.names if kinds[name] not in READABLE}

    def read(self, names: Sequence[str]) -> Iterator[Column | Lists]:
        # a cache of arrays would outlive the file: its objects refer to each other
        with self._uproot.open({self.file.where: None}, array_cache=None) as root:
            tree = root[self._tree]
            for name in names:
                array = tree[name].array(library="ak")
                yield _lists(array) if name in self.lists else _column(array)

    def _name(self, root: Any) -> str:
        """The tree that the address names, or the only one."""
        inner, kinds = self.file.inner, root.classnames(cycle=False)
        trees = [name for name, kind in kinds.items() if kind in TREES]
        if inner in trees:
            return str(inner)
        if inner:
            raise DataError(
                f"{self.file}: there is no tree {inner!r} in the file, which has {some(trees) or 'none'}"
                f"{hint(inner, trees)}"
            )
        if len(trees) != 1:
            example = f", such as {self.file.given}:{trees[0]}" if trees else ""
            raise DataError(f"{self.file} must name one tree of the file{example}: it has {some(trees) or 'none'}")
        return trees[0]


def _kind(branch: Any) -> str:
    """`number`, `text` or `list`, or else the type as awkward calls it."""
    import awkward as ak

    try:
        kind = _form(branch).type
    except OSError:
        raise
    except Exception as error:  # uproot knows no way to read it, and says so in many ways
        return type(error).__name__
    inside = _without_options(kind)
    if kind.parameters.get("__array__") == "string":
        return "text"
    if isinstance(inside, ak.types.ListType | ak.types.RegularType):
        inside = _without_options(inside.content)
        return "list" if _is_number(inside) else str(kind)
    return "number" if _is_number(inside) else str(kind)


def _form(branch: Any) -> Any:
    """What a branch of a TTree, or a field of an RNTuple, becomes in awkward; nothing of it is read."""
    if hasattr(branch, "interpretation"):
        return branch.interpretation.awkward_form(branch.file)
    return branch.to_akform()[0].contents[0]


def _without_options(kind: Any) -> Any:
    import awkward as ak

    return kind.content if isinstance(kind, ak.types.OptionType) else kind


def _is_number(kind: Any) -> bool:
    import awkward as ak

    if not isinstance(kind, ak.types.NumpyType) or kind.parameters:
        return False
    return kind.primitive == "bool" or np.dtype(kind.primitive).kind in "iuf"


def _column(array: Any) -> Column:
    import awkward as ak

    if array.type.content.parameters.get("__array__") == "string":
        return Column(np.array(array.to_list(), dtype=object), "str")
    return column_of_array(_filled(ak, array))


def _lists(array: Any) -> Lists:
    import awkward as ak

    array = ak.fill_none(array, [], axis=0)
    return Lists.of_lengths(_filled(ak, ak.flatten(array)), np.asarray(ak.num(array)))


def _filled(ak: Any, array: Any) -> np.ndarray:
    """Numbers without holes: NaN stands for a missing one."""
    holes = isinstance(array.type.content, ak.types.OptionType)
    return np.asarray(ak.fill_none(array, np.nan) if holes else array)
