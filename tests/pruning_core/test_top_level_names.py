"""`import pruning_core` costs nothing and changes nothing; its names come when they are asked for."""

import inspect
import subprocess
import sys
from importlib import import_module

import pytest

import pruning_core

IMPORTED = """
import logging, os, signal, sys, threading, warnings

def process():
    handlers = {s: signal.getsignal(s) for s in signal.valid_signals()}
    return dict(os.environ), list(warnings.filters), list(logging.root.handlers), handlers, threading.active_count()

before, modules = process(), set(sys.modules)
import pruning_core
assert process() == before
print(*{name.partition(".")[0] for name in set(sys.modules) - modules} - sys.stdlib_module_names)
assert {"train", "Pruner"} <= set(dir(pruning_core))
from pruning_core import Pruner
assert "torch" in sys.modules
"""
HOMES = {
    "Dataset": "data.dataset",
    "NetworkSpec": "networks",
    "Pruner": "pruner",
    "PruningClassifier": "estimators.classifier",
    "PruningSelector": "estimators.selector",
    "Strategy": "strategies.strategy",
    "TrialConfig": "config",
    "from_arrays": "data.arrays",
    "load_dataset": "data.load",
    "register": "config",
    "train": "training",
}


def test_importing_the_package_loads_nothing_and_changes_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTED], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["pruning_core"], "")


@pytest.mark.parametrize(("name", "home"), HOMES.items())
def test_each_name_is_that_of_its_module(name: str, home: str) -> None:
    module = import_module(f"pruning_core.{home}")
    assert getattr(pruning_core, name) is getattr(module, name)
    assert inspect.getmodule(getattr(pruning_core, name)) is module


def test_all_names_are_the_names() -> None:
    assert set(pruning_core.__all__) == set(HOMES)


def test_an_unknown_name_is_none_of_the_package() -> None:
    with pytest.raises(AttributeError, match="'pruning_core' has no attribute 'trian'"):
        _ = pruning_core.trian
