"""The bytes of text files, decompressed: what they are compressed with is seen in them, whatever their name says."""

import contextlib
import lzma
import zipfile
from collections.abc import Iterator
from typing import Any

from pruning_core.data.dataset import DataError
from pruning_core.data.readers.opening import opened
from pruning_core.data.readers.table import FileSource
from pruning_core.data.wording import some

COMPRESSIONS = (".gz", ".bz2", ".zst", ".xz", ".zip")
"""What the name of a compressed table of text may end in."""

ARROW = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zstd"}
XZ, ZIP = b"\xfd7zXZ\x00", b"PK\x03\x04"
LONGEST_MAGIC = 6


@contextlib.contextmanager
def decompressed(file: FileSource) -> Iterator[Any]:
    """The bytes of a file.

    Raises:
        DataError: it is an archive of other than one file.
    """
    with opened(file) as raw:
        magic = raw.read(LONGEST_MAGIC)
        raw.seek(0)
        arrow = next((name for begin, name in ARROW.items() if magic.startswith(begin)), None)
        if arrow:
            import pyarrow as pa

            yield pa.CompressedInputStream(raw, arrow)
        elif magic.startswith(XZ):
            with lzma.open(raw) as plain:
                yield plain
        elif magic.startswith(ZIP):
            with zipfile.ZipFile(raw) as archive, archive.open(_only_name(archive, file)) as member:
                yield member
        else:
            yield raw


def _only_name(archive: zipfile.ZipFile, file: FileSource) -> str:
    names = [name for name in archive.namelist() if not name.endswith("/") and not name.startswith("__MACOSX")]
    if any(name.startswith("xl/") for name in names):
        raise DataError(f"{file} is an Excel workbook: save its sheet as CSV")
    if len(names) != 1:
        raise DataError(f"{file} must be an archive of one file, and holds {some(names) or 'none'}")
    return names[0]
