"""Runs the notebooks from top to bottom, each in an empty folder, and stores them with outputs: `make notebooks`."""

import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parent / "notebooks"
SECONDS = 300


def execute(notebook: Path, to: Path) -> None:
    """Runs a notebook and writes it into a folder.

    Raises:
        nbclient.exceptions.CellExecutionError: one of its cells did.
    """
    cells = nbformat.read(notebook, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(cells, timeout=SECONDS, record_timing=False, resources={"metadata": {"path": folder}}).execute()
    for cell in cells.cells:  # what libraries say on stderr is about this machine
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    cells.metadata.pop("language_info", None)
    nbformat.write(cells, to / notebook.name)


if __name__ == "__main__":
    for each in sorted(NOTEBOOKS.glob("*.ipynb")):
        execute(each, Path(sys.argv[1]) if len(sys.argv) > 1 else NOTEBOOKS)
