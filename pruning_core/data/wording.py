"""Parts of sentences that messages about data share."""

import difflib
from collections.abc import Iterable
from typing import Any


def some(names: Iterable[Any], most: int = 5) -> str:
    """A few of the names.

    >>> some("abcdefg")
    'a, b, c, d, e and 2 more'
    """
    every = [str(name) for name in names]
    listed = ", ".join(every[:most])
    return listed if len(every) <= most else f"{listed} and {len(every) - most} more"


def hint(word: str, allowed: Iterable[str]) -> str:
    """The allowed word that was probably meant, to be added to a sentence; empty where none is close.

    >>> hint("digit", ["digits", "wine"])
    "; did you mean 'digits'?"
    """
    close = difflib.get_close_matches(word, list(allowed), 1)
    return f"; did you mean {close[0]!r}?" if close else ""
