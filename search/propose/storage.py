"""The Optuna storage behind a URL: opened so that what is wrong is one sentence, within seconds."""

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from search.stores.addresses import without_password
from search.study import StudyError

JOURNAL = "journal:///"
SECONDS_TO_CONNECT = 10
TRIES = 8
RACING = ("exist", "unique", "duplicate", "no such table", "locked")
STORAGE_ERRORS = (SQLAlchemyError, StorageInternalError)
"""What every use of a storage raises when it is lost."""


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Optuna without its log and its warnings about what it calls experimental, for as long as the context lasts."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)


def open_storage(url: str) -> BaseStorage:
    """The Optuna storage at a URL of SQLAlchemy, or at `journal:///PATH` for Optuna's journal file.

    Raises:
        StudyError: it cannot be used, or does not answer within seconds.
    """
    shown = without_password(f"--storage {url}")
    try:
        if url.startswith(JOURNAL):
            path = Path("/" + url.removeprefix(JOURNAL))
            path.parent.mkdir(parents=True, exist_ok=True)
            return JournalStorage(JournalFileBackend(str(path)))
        dialect = make_url(url).get_backend_name()
        timeout = {"sqlite": {"timeout": 60}, "postgresql": {"connect_timeout": SECONDS_TO_CONNECT}}.get(dialect, {})
        return _open_tables(url, {"connect_args": timeout, "pool_pre_ping": True})
    except (SQLAlchemyError, ImportError, OSError, ValueError) as error:
        reason = " ".join(str(error).split("[SQL:")[0].split())
        raise StudyError(without_password(f"{shown} cannot be used: {reason}")) from None


def storage_to_read(url: str) -> BaseStorage:
    """The Optuna storage at a URL that `open_storage` takes, in which nothing is written."""
    return open_storage(url) if url.startswith(JOURNAL) else optuna.storages.get_storage(url)


def _open_tables(url: str, engine: dict[str, Any]) -> RDBStorage:
    """Opens a database; where another search is just making its tables, the one that comes second tries again."""
    for attempt in range(TRIES):
        try:
            return RDBStorage(url, engine_kwargs=engine)
        except (SQLAlchemyError, RuntimeError) as error:
            if attempt == TRIES - 1 or not any(sign in str(error).lower() for sign in RACING):
                raise
            time.sleep(0.25 * (attempt + 1))
    raise AssertionError
