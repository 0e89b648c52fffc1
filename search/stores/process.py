"""What a library needs of the whole process, set for as long as it is used and put back."""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager


@contextmanager
def process_settings(environment: Mapping[str, str], quiet_loggers: Sequence[str]) -> Iterator[None]:
    """Sets environment variables that nobody has set, and silences loggers but for what is critical.

    Args:
        environment: names and values.
        quiet_loggers: names.
    """
    added = [name for name in environment if name not in os.environ]
    os.environ.update({name: environment[name] for name in added})
    loggers = {name: logging.getLogger(name) for name in quiet_loggers}
    levels = {name: logger.level for name, logger in loggers.items()}
    for logger in loggers.values():
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
        for name, logger in loggers.items():
            logger.setLevel(levels[name])
