"""Builds the pages about the public names in Python, from their docstrings: `make docs`.

The packages import their names when they are asked for; pdoc looks at what is there, so that they are asked for here.
"""

import sys
import warnings
from pathlib import Path

import pdoc

import pruning_core
import search

PAGES = Path(__file__).parent / "api"


def build(pages: Path) -> None:
    """Writes one page per package into a folder; whatever pdoc warns of is an error."""
    for package in (pruning_core, search):
        vars(package).update({name: getattr(package, name) for name in package.__all__})
    pdoc.render.configure(docformat="numpy", show_source=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        pdoc.pdoc("pruning_core", "!pruning_core.", "search", "!search.", output_directory=pages)


if __name__ == "__main__":
    build(Path(sys.argv[1]) if len(sys.argv) > 1 else PAGES)
