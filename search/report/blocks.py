"""What the report's page is made of: sections of sentences, pictures, lists and tables, and how they become HTML."""

import base64
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar

from jinja2 import Environment, StrictUndefined


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    kind: ClassVar[str] = "text"
    text: str


@dataclass(frozen=True)
class Heading:
    """A heading below that of the section."""

    kind: ClassVar[str] = "heading"
    text: str


@dataclass(frozen=True)
class Listing:
    """A list of short items."""

    kind: ClassVar[str] = "listing"
    items: list[str]


@dataclass(frozen=True)
class Line:
    """A line of a table; `details` are (term, text) that take the whole width below it."""

    cells: list[str]
    details: list[tuple[str, str]] = field(default_factory=list)
    marked: bool = False


@dataclass(frozen=True)
class Table:
    """A table; the first column holds names, the others numbers."""

    kind: ClassVar[str] = "table"
    columns: Sequence[str]
    rows: list[Line]
    caption: str


@dataclass(frozen=True)
class Picture:
    """A PNG file, what it shows (`alt`, for those who cannot see it), and what one is to see in it."""

    kind: ClassVar[str] = "picture"
    path: Path
    alt: str
    caption: str

    @property
    def source(self) -> str:
        """The file itself as a data URI."""
        return "data:image/png;base64," + base64.b64encode(self.path.read_bytes()).decode()

    @property
    def width(self) -> int:
        return self._size()[0]

    @property
    def height(self) -> int:
        return self._size()[1]

    def _size(self) -> tuple[int, int]:
        width, height = struct.unpack(">II", self.path.read_bytes()[16:24])
        return int(width), int(height)


Block = Text | Heading | Listing | Table | Picture


@dataclass(frozen=True)
class Section:
    """A part of the page with a title."""

    title: str
    blocks: list[Block]


def render(values: Mapping[str, Any]) -> str:
    """The page: `report.html` filled with `values`, everything in them escaped."""
    template = (files("search.report") / "report.html").read_text(encoding="utf-8")
    page = Environment(autoescape=True, undefined=StrictUndefined).from_string(template).render(values)
    return page.replace(" %", "&nbsp;%")  # a number and its sign stay on one line
