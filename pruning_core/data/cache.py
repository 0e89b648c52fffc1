"""The tensors of large data in a folder: found again by what they were made of, and mapped instead of read.

A cache is a folder `<key>` of `.npy` files and one of JSON, of which nothing is unpickled. It appears as a whole or not
at all. The key is a SHA-256 over the paths of the files, their sizes and the times of their last change to the
nanosecond (of the content and of the inode: a file that was put in the place of another with its times is another one),
over everything that the section `data` says, and over the version of the package. A search's `fingerprint` is read with
the rest: a cache is what was prepared, not what it would be today.

A folder holds at most `MOST` of them: a new one takes the place of the one that has been unused for longest.
"""

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pruning_core.data.dataset import Dataset, Part, Source
from pruning_core.data.readers import FileSource
from pruning_core.data.spec import DataSpec

FORMAT, MOST = 3, 3
DESCRIPTION, PARTIAL = "data.json", ".partial-"
SECONDS_TO_WRITE = 24 * 3600
PARTS, NUMBERS = ("train", "validation", "test", "left_out"), ("mean", "scale", "filling", "class_factors")
NOT_OF_DATASET = ("source", "arrays")


def key_of(spec: DataSpec, files: Sequence[FileSource]) -> str | None:
    """The name of the cache of this data; None where some of it is no local file, and may change unseen."""
    if any(file.remote or not Path(file.where).is_file() for file in files):
        return None
    stated = [(file, Path(file.where).resolve(), Path(file.where).stat()) for file in files]
    described = [
        (str(path), file.inner, file.label, file.part, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        for file, path, stat in stated
    ]
    text = json.dumps([FORMAT, version("deeppp"), described, asdict(spec)], sort_keys=True, default=list)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def read_cached(folder: Path, key: str) -> Dataset | None:
    """The data of a cache, its tensors mapped; None where there is none, or none that can be read.

    What is written into the tensors stays in this process.
    """
    place = folder / key
    try:
        described = json.loads((place / DESCRIPTION).read_text(encoding="utf-8"))
        data = _dataset(place, described)
        os.utime(place)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return data


def keep_cached(folder: Path, key: str, data: Dataset) -> Dataset:
    """Writes a cache and returns the data as `read_cached` does, or as it is with a caution where that fails."""
    partial = folder / f"{PARTIAL}{key}-{secrets.token_hex(4)}"
    try:
        partial.mkdir(parents=True)
        _write(partial, data)
        shutil.rmtree(folder / key, ignore_errors=True)  # one that cannot be read
        with contextlib.suppress(FileExistsError):  # another process was quicker
            partial.rename(folder / key)
        _remove_old(folder)
    except OSError as error:
        caution = f"the prepared data could not be kept in {folder} for the next start: {error.strerror}"
        return replace(data, cautions=(*data.cautions, caution))
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return read_cached(folder, key) or data


def _remove_old(folder: Path) -> None:
    """Leaves the `MOST` that were used last, and of those that are being written the ones that may still be."""
    found = {path: path.stat().st_mtime for path in folder.iterdir() if path.is_dir()}
    whole = sorted((path for path in found if not path.name.startswith(PARTIAL)), key=found.__getitem__)
    broken = [p for p, at in found.items() if p.name.startswith(PARTIAL) and at < time.time() - SECONDS_TO_WRITE]
    for path in whole[:-MOST] + broken:
        shutil.rmtree(path, ignore_errors=True)


def _arrays(data: Dataset) -> Iterator[tuple[str, np.ndarray]]:
    for name in PARTS:
        part: Part | None = getattr(data, name)
        for field in fields(Part) if part is not None else ():
            if (column := getattr(part, field.name)) is not None:
                yield f"{name}.{field.name}", column.numpy()
    for name in NUMBERS:
        if (numbers := getattr(data, name)) is not None:
            yield name, numbers.numpy()


def _write(place: Path, data: Dataset) -> None:
    assert data.source is not None
    arrays = {**dict(_arrays(data)), "head": data.source.head}
    for name, array in arrays.items():
        np.save(place / f"{name}.npy", array, allow_pickle=False)
    written = {*PARTS, *NUMBERS, "source", "pool"}
    rest = {field.name: getattr(data, field.name) for field in fields(data) if field.name not in written}
    source = {field.name: getattr(data.source, field.name) for field in fields(Source) if field.name != "head"}
    text = json.dumps({**rest, "source": source, "arrays": list(arrays)})
    (place / DESCRIPTION).write_text(text, encoding="utf-8")


def _dataset(place: Path, described: Mapping[str, Any]) -> Dataset:
    # copy-on-write, so that whoever changes a tensor in place changes no other process's
    arrays = {name: np.load(place / f"{name}.npy", mmap_mode="c", allow_pickle=False) for name in described["arrays"]}
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    rest: dict[str, Any] = {name: _tuples(value) for name, value in described.items() if name not in NOT_OF_DATASET}
    for name in PARTS:
        columns: dict[str, Any] = {field.name: tensors.get(f"{name}.{field.name}") for field in fields(Part)}
        rest[name] = None if columns["x"] is None else Part(**columns)
    rest |= {name: tensors.get(name) for name in NUMBERS}
    source = {name: _tuples(value) for name, value in described["source"].items()}
    return Dataset(**rest, source=Source(**source, head=np.array(arrays["head"])))


def _tuples(value: Any) -> Any:
    """JSON has lists where a `Dataset` has tuples."""
    return tuple(value) if isinstance(value, list) else value
