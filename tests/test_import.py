"""Importing the packages costs next to nothing and changes nothing in the process."""

import subprocess
import sys

UNCHANGED = """
import gc, logging, os, signal, sys, time, warnings

def state():
    known = logging.root.manager.loggerDict.items()
    loggers = {name: logger.level for name, logger in known if hasattr(logger, "level")}
    return dict(os.environ), list(warnings.filters), loggers, gc.get_freeze_count(), gc.get_threshold(), sys.excepthook

before, started = state(), time.process_time()
import search, pruning_core
seconds = time.process_time() - started
assert state() == before, "something changed"
heavy = {"torch", "ray", "optuna", "mlflow", "pandas", "sklearn", "matplotlib", "pydantic"} & set(sys.modules)
assert not heavy, heavy
assert seconds < 0.2, seconds
from search import SearchResult, Stopped, Study, StudyError, run_study
from pruning_core import Pruner, Strategy, TrialConfig, register, train
assert callable(run_study) and Study.__name__ == "Study" and Pruner(4, 2).keep == 2
"""


def test_importing_changes_nothing_in_the_process_and_is_quick() -> None:
    done = subprocess.run([sys.executable, "-c", UNCHANGED], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
