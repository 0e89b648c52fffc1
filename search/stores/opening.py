"""The stores of MLflow and Optuna: where they are by default, whether they are there, their errors.

Both libraries would make a SQLite file that is not there, and try an unusable one for over a minute.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from search.stores.addresses import sqlite_address, without_password
from search.stores.locks import hold
from search.study import StudyError


def sqlite_file(address: str) -> Path | None:
    """The file behind the address of a SQLite store; None for other stores.

    Raises:
        StudyError: the address begins like one and is none.

    >>> sqlite_file("sqlite:///%2F50%25%2Fmlflow.db")
    PosixPath('/50%/mlflow.db')
    """
    if not address.startswith("sqlite:"):
        return None
    try:
        return Path(make_url(address).database or ":memory:")
    except SQLAlchemyError:
        raise StudyError(f"{address} must have the form sqlite:///FILE, such as sqlite:////srv/mlflow.db") from None


def existing_store(uri: str | None, output: Path, database: str) -> str:
    """The address of a store that is to be read.

    Args:
        uri: its address; None stands for the SQLite file `database` in `output`.
        output: the folder of the results.
        database: such as `mlflow.db`.

    Raises:
        StudyError: the address names a SQLite file that is not there, or that is none.
    """
    address = uri or sqlite_address(output.absolute() / database)
    if path := sqlite_file(address):
        if not path.is_file() or not path.stat().st_size:
            raise StudyError(
                f"there is no {path}, which {address} names"
                if uri
                else f"--output {output} holds no {database} yet: run a search first"
            )
        with readable(address):
            _open(path)
    return address


@contextmanager
def alone(address: str) -> Iterator[None]:
    """Makes or opens the file behind a SQLite address, and its folder, before MLflow does; others are left alone.

    And keeps other searches out meanwhile: MLflow fails when two processes make the tables of one file.

    Raises:
        sqlite3.Error, OSError: the file cannot be used.
    """
    path = sqlite_file(address)
    if path is None:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with hold(path.with_name(f".{path.name}.lock"), wait=True):
        _open(path)
        yield


def _open(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA schema_version")


@contextmanager
def readable(address: str, *errors: type[Exception]) -> Iterator[None]:
    """Turns what goes wrong in reading a store into a `StudyError` of one sentence.

    Args:
        address: of the store.
        errors: that the library which reads it raises, besides those of databases and files.
    """
    caught: tuple[type[Exception], ...] = (SQLAlchemyError, sqlite3.Error, OSError, RuntimeError, KeyError, *errors)
    try:
        yield
    except caught as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise StudyError(without_password(f"the store {address} cannot be read: {reason}")) from error
