"""Which files a source names: paths, globs, URLs, the tree or group behind a colon, files by class."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pruning_core.data.dataset import DataError
from pruning_core.data.readers import NAMED_SETS, READERS, Columns, FileSource, filesystem, kind_of, open_columns
from pruning_core.data.readers.table import REMOTE
from pruning_core.data.spec import Paths
from pruning_core.data.wording import hint, some

INNER = re.compile(r"(.+\.(?:root|h5|hdf5))(?::/?(.+))", re.IGNORECASE)
GLOB = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class OpenFile:
    """A file and its columns."""

    file: FileSource
    columns: Columns


def find_files(source: Paths | Mapping[str, Paths], folder: Path, key: str = "data.source") -> list[FileSource]:
    """Every file of a source: of several classes in the sorted order of their names.

    Args:
        source: as in `DataSpec`.
        folder: what relative paths count from.
        key: of the study file, for messages.

    Raises:
        DataError: a file is missing or named twice.
    """
    if isinstance(source, str) and source in NAMED_SETS and key == "data.source":
        return [FileSource(source, source)]
    files = list(_files(source, folder, key))
    refuse_twice(files)
    return files


def open_file(file: FileSource) -> OpenFile:
    """Opens a file, or the named set that stands in place of one.

    Raises:
        DataError: it cannot be read.
    """
    return OpenFile(file, NAMED_SETS[file.where]() if file.where in NAMED_SETS else open_columns(file))


def refuse_twice(files: Sequence[FileSource]) -> None:
    """Refuses a file that is named in two places."""
    seen: dict[tuple[str, str], FileSource] = {}
    for file in files:
        place = (file.where if file.remote else str(Path(file.where).resolve()), file.inner)
        if place in seen:
            keys = dict.fromkeys((seen[place].key, file.key))
            raise DataError(f"{' and '.join(keys)} must name every file once, and {file.given!r} is named twice")
        seen[place] = file


def without_inner(address: str) -> tuple[str, str]:
    """The file of an address, and the tree or group behind the colon.

    >>> without_inner("runs/a.root:Events"), without_inner("a.csv")
    (('runs/a.root', 'Events'), ('a.csv', ''))
    """
    match = INNER.fullmatch(address)
    return (match.group(1), match.group(2)) if match else (address, "")


def _files(source: Paths | Mapping[str, Paths], folder: Path, key: str) -> Iterator[FileSource]:
    if not isinstance(source, Mapping):
        yield from _addressed(source, folder, key, None)
        return
    if len(source) < 2:
        raise DataError(f"{key} = {dict(source)} must name the files of at least 2 classes")
    for label, paths in sorted((str(label), paths) for label, paths in source.items()):
        yield from _addressed(paths, folder, f"{key}.{label}", label)


def _addressed(paths: Paths, folder: Path, key: str, label: str | None) -> Iterator[FileSource]:
    addresses = [paths] if isinstance(paths, str) else list(paths)
    if not addresses:
        raise DataError(f"{key} = [] must name at least one file")
    for address in addresses:
        yield from _found(address, folder, key, label)


def _found(address: str, folder: Path, key: str, label: str | None) -> Iterator[FileSource]:
    """The files behind one address: more than one only where it is a glob."""
    path, inner = (address, "") if (folder / address).is_file() else without_inner(address)
    where = path if REMOTE in path else str(folder / path)
    if REMOTE not in path and Path(where).is_dir():
        yield from _in_folder(FileSource(where, address, inner, key, label))
        return
    if kind_of(path) is None and not GLOB.search(path):
        *types, last = READERS
        named = f"one of {', '.join(NAMED_SETS)} or " if key == "data.source" else ""
        raise DataError(
            f"{key} = {address!r} must be {named}a file that ends in {', '.join(types)} or {last}"
            f"{hint(address, NAMED_SETS)}"
        )
    file = FileSource(where, address, inner, key, label)
    if file.remote:
        yield from _found_remote(file)
    elif Path(where).is_file():
        yield file
    elif GLOB.search(path):
        root, pattern = _root_and_pattern(where)
        yield from _matches(file, sorted(str(match) for match in root.glob(pattern) if match.is_file()))
    else:
        raise DataError(f"{key} = {address!r} must be a file that exists, and there is none at {where}")


def _in_folder(folder: FileSource) -> Iterator[FileSource]:
    """The files of one type in a folder, as Spark and Dask write tables; names that begin with . or _ are none."""
    found = [str(path) for path in sorted(Path(folder.where).iterdir()) if path.name[0] not in "._"]
    kinds = {kind_of(path) for path in found if Path(path).is_file()}
    if len(kinds) != 1 or None in kinds or not all(Path(path).is_file() for path in found):
        raise DataError(
            f"{folder} is a folder, and must hold files of one of the types {', '.join(READERS)} and nothing else; a "
            "glob such as FOLDER/*.csv chooses some"
        )
    yield from _matches(folder, found)


def _found_remote(file: FileSource) -> Iterator[FileSource]:
    system = filesystem(file)
    if file.where.startswith("http") or not GLOB.search(file.where):
        yield file
        return
    try:
        found = sorted(system.unstrip_protocol(match) for match in system.glob(file.where))
    except OSError as error:
        raise DataError(f"{file} cannot be listed: {error}") from error
    yield from _matches(file, found)


def _matches(pattern: FileSource, found: list[str]) -> Iterator[FileSource]:
    if not found:
        raise DataError(f"{pattern} must match at least one file, and there is none at {pattern.where}")
    if unknown := [PurePosixPath(match).name for match in found if kind_of(match) is None]:
        raise DataError(f"{pattern} must match files of known types only, unlike {some(unknown)}")
    for match in found:
        given = match + (f":{pattern.inner}" if pattern.inner else "")
        yield FileSource(match, given, pattern.inner, pattern.key, pattern.label)


def _root_and_pattern(where: str) -> tuple[Path, str]:
    """The folder above the first part of a path that is a pattern, and the rest of the path."""
    parts = Path(where).parts
    first = next(
        i for i, part in enumerate(parts) if GLOB.search(part) and not Path(*parts[: i + 1]).exists()
    )  # what is there is no pattern, whatever its name
    return Path(*parts[:first]), str(PurePosixPath(*parts[first:]))
