"""Opening files, here or far away, and saying in one sentence why that does not work."""

import contextlib
import importlib
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

from pruning_core.data.dataset import DataError
from pruning_core.data.readers.table import FileSource

PLUGINS = {
    "root": "fsspec-xrootd",
    "s3": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "http": "aiohttp",
    "https": "aiohttp",
    "abfs": "adlfs",
    "sftp": "paramiko",
    "ssh": "paramiko",
    "smb": "smbprotocol",
}
"""The package that fsspec needs for a protocol."""

STAND_INS = {
    b"version https://git-lfs": "a pointer of Git LFS: git lfs pull fetches the file itself",
    b"<!doctype html": "a page of HTML, as a failed download leaves",
    b"<html": "a page of HTML, as a failed download leaves",
    b"\x93numpy": "a single array without names, as numpy.save writes it: numpy.savez writes one per column",
}
"""How files begin that stand in place of another, in lower case, and what they are."""


def package(name: str, extra: str, file: FileSource) -> Any:
    """The imported package that reads a file; ``extra`` is that of deepPP which brings it."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise DataError(
            f"{file} needs the package {name}, which is not installed: pip install 'deeppp[{extra}]'"
        ) from None


def filesystem(file: FileSource) -> Any:
    """The fsspec file system of a URL.

    Raises:
        DataError: the plug-in for it is not installed.
    """
    import fsspec

    protocol = file.where.partition("://")[0]
    try:
        return fsspec.core.url_to_fs(file.where)[0]
    except (ImportError, ValueError) as error:
        plugin = PLUGINS.get(protocol)
        what = (
            f"the package {plugin}, which is not installed: pip install {plugin}" if plugin else "a plug-in of fsspec"
        )
        raise DataError(f"{file} is reached by {protocol}://, which needs {what}") from error


@contextlib.contextmanager
def opened(file: FileSource) -> Iterator[BinaryIO]:
    """The bytes of a file."""
    if file.remote:
        with filesystem(file).open(file.where, "rb") as remote:
            yield remote
    else:
        with open(file.where, "rb") as local:
            yield cast(BinaryIO, local)


def refuse_stand_ins(file: FileSource) -> None:
    """Refuses a local file that holds something else in place of what its name promises."""
    with opened(file) as stream:
        head = stream.read(64).lstrip().lower()
    for beginning, what in STAND_INS.items():
        if head.startswith(beginning):
            raise DataError(f"{file} is {what}")


@contextlib.contextmanager
def readable(file: FileSource, kind: str) -> Iterator[None]:
    """Says what is wrong with a file where a library cannot read it, whatever that library raises."""
    try:
        yield
    except (DataError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise DataError(f"{file} must be a file that exists, and there is none at {file.where}") from error
    except Exception as error:
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        shortened = reason if len(reason) <= 200 else f"{reason[:200]} ..."
        raise DataError(f"{file} cannot be read as {kind}: {shortened}") from error
