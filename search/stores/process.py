"""What a library needs of the whole process, set for as long as it is used and put back."""

import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager


@contextmanager
def process_settings(environment: Mapping[str, str], quiet_loggers: Sequence[str]) -> Iterator[None]:
    """Sets environment variables that nobody has set, and silences loggers but for what is critical.

    Afterwards environment and warning filters are what they were: what libraries have set meanwhile is gone, too (Ray
    sets `PYTHONBREAKPOINT`, for one).

    Args:
        environment: names and values.
        quiet_loggers: names.
    """
    before = dict(os.environ)
    os.environ.update({name: value for name, value in environment.items() if name not in before})
    loggers = {name: logging.getLogger(name) for name in quiet_loggers}
    levels = {name: logger.level for name, logger in loggers.items()}
    for logger in loggers.values():
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update({name: value for name, value in before.items() if os.environ.get(name) != value})
        for name, logger in loggers.items():
            logger.setLevel(levels[name])
