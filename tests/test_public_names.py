"""The public names: their docstrings have the form that the pages need, and their examples run."""

import doctest
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import pruning_core
import search

ROOT = Path(__file__).parent.parent
PUBLIC = {name: getattr(package, name) for package in (pruning_core, search) for name in package.__all__}
MODULES = sorted({str(inspect.getmodule(found).__name__) for found in PUBLIC.values()} | {"pruning_core", "search"})  # type: ignore[union-attr]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_run(name: str) -> None:
    module = importlib.import_module(name)
    failed, _ = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert failed == 0


@pytest.mark.parametrize("name", [name for name in PUBLIC if not name.startswith(("Stopped", "StudyError"))])
def test_every_public_name_has_an_example(name: str) -> None:
    assert ">>> " in (inspect.getdoc(PUBLIC[name]) or "")


def test_the_pages_are_built_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "docs" / "build.py"), str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    for package in (pruning_core, search):
        page = (tmp_path / f"{package.__name__}.html").read_text()
        assert all(f'id="{name}"' in page for name in package.__all__)
