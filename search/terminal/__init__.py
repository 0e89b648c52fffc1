"""What the user sees in the terminal, by `rich`: a line per epoch of a trial, the live table of a search, results."""

from search.terminal.screen import console, errors, plain_table, reading, warn
from search.terminal.search import SearchDisplay, show_result
from search.terminal.study import show_study
from search.terminal.trial import TrialDisplay

__all__ = [
    "SearchDisplay",
    "TrialDisplay",
    "console",
    "errors",
    "plain_table",
    "reading",
    "show_result",
    "show_study",
    "warn",
]
