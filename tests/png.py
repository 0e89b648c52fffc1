"""How large a picture is."""

import struct
from pathlib import Path


def size(path: Path) -> tuple[int, int]:
    """Width and height of a PNG, in pixels."""
    header = path.read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", header[16:24])
    return width, height
