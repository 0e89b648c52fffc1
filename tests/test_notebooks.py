"""The notebooks run from top to bottom, and are stored with their outputs."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


def outputs(notebook: Path) -> list[list[dict[str, Any]]]:
    """The outputs of each cell of code."""
    cells = nbformat.read(notebook, as_version=4).cells
    return [cell.outputs for cell in cells if cell.cell_type == "code"]


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the notebooks after another run."""
    folder = tmp_path_factory.mktemp("notebooks")
    command = [sys.executable, str(ROOT / "docs" / "execute.py"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_with_outputs_that_tell_nothing_of_the_machine(notebook: Path) -> None:
    found = outputs(notebook)
    assert sum(map(bool, found)) >= len(found) - 1
    assert not any(output["output_type"] == "error" for of_cell in found for output in of_cell)
    assert not re.search(r"/(home|root|tmp|work|Users)/|site-packages", notebook.read_text())


@pytest.mark.long
def test_both_run_from_top_to_bottom_and_show_what_is_stored(executed: Path) -> None:
    assert [notebook.name for notebook in NOTEBOOKS] == ["search.ipynb", "training.ipynb"]
    for notebook in NOTEBOOKS:
        stored, again = (
            [{kind for output in of_cell for kind in output.get("data", {})} for of_cell in outputs(each)]
            for each in (notebook, executed / notebook.name)
        )
        assert again == stored


@pytest.mark.long
def test_a_search_shows_its_result(executed: Path) -> None:
    *_, result = outputs(executed / "search.ipynb")[0]
    assert "<b>cellar</b>: 16 trials" in result["data"]["text/html"]
    assert "data:image/png;base64" in result["data"]["text/html"]
