"""Searches for the schedule under which the pruning of a network completes.

>>> from search import run_study
>>> result = run_study("studies/quick.yaml", trials=12)  # doctest: +SKIP
>>> result.winner, result.strategies[result.winner]["test"]["mean"]  # doctest: +SKIP

Nothing is imported before it is used, and importing this package changes nothing in the process.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search.estimator import PruningSearchCV
    from search.record.moved import tracking_uri
    from search.result import SearchResult
    from search.run import Stopped, run_study
    from search.study import Study, StudyError

__all__ = ["PruningSearchCV", "SearchResult", "Stopped", "Study", "StudyError", "run_study", "tracking_uri"]

_HOMES = {
    "PruningSearchCV": "search.estimator",
    "SearchResult": "search.result",
    "Stopped": "search.run",
    "Study": "search.study",
    "StudyError": "search.study",
    "run_study": "search.run",
    "tracking_uri": "search.record.moved",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
