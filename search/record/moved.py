"""A folder of results that was renamed, copied or mounted elsewhere, and MLflow's database in it.

MLflow keeps absolute places of files in its tables. They are brought up to date when a command opens the folder;
without that, files of a moved folder would be looked for, and written, where it once lay.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

from search.record.private import experiment_places, move_places
from search.stores.addresses import mlflow_address

DATABASE, ARTIFACTS = "mlflow.db", "mlartifacts"
SECONDS_TO_WAIT = 60


def artifact_place(output: Path, experiment: str) -> str:
    """Where the files of an experiment lie in a folder of results, as MLflow calls it."""
    return (output.resolve() / ARTIFACTS / experiment).as_uri()


def is_gone(place: str) -> bool:
    """Whether a place in the words of MLflow is a folder of this machine that is not there."""
    parts = urlsplit(place)
    return parts.scheme in ("", "file") and not os.path.isdir(unquote(parts.path))


def tracking_uri(output: Path | str = "runs") -> str:
    """The address of MLflow's store of a folder of results, whose files are found where the folder lies now.

    It is what `mlflow.set_tracking_uri` takes; where `MLFLOW_TRACKING_URI` is set, it is that.

    Examples
    --------
    >>> import mlflow
    >>> from search import tracking_uri
    >>> mlflow.set_tracking_uri(tracking_uri("runs"))  # doctest: +SKIP
    """
    follow(Path(output))
    return mlflow_address(None, Path(output))


def follow(output: Path) -> None:
    """Has the database in a folder of results, if there is one, name the places where its files lie now.

    Only what lies in the folder follows. A database that this process cannot write to is left as it is.
    """
    database = output.absolute() / DATABASE
    if not database.is_file() or not database.stat().st_size:
        return
    with suppress(OSError, sqlite3.Error), closing(sqlite3.connect(database, SECONDS_TO_WAIT)) as connection:
        if not any(_moved(connection, output)):  # what is wrong with it is said by whoever reads it next
            return
        connection.execute("BEGIN IMMEDIATE")
        for old, new in list(_moved(connection, output)):
            move_places(connection, old, new)
        connection.commit()


def left_behind(output: Path) -> list[str]:
    """The places that the database still names though their files lie in `output`: it could not be written to."""
    database = output.absolute() / DATABASE
    if database.is_file():
        with suppress(OSError, sqlite3.Error), closing(sqlite3.connect(database, SECONDS_TO_WAIT)) as connection:
            return [unquote(urlsplit(old).path) for old, _ in _moved(connection, output)]
    return []


def _moved(connection: sqlite3.Connection, output: Path) -> Iterator[tuple[str, str]]:
    """The old and the new place of every experiment whose files have moved with the folder."""
    for name, old in experiment_places(connection):
        new = artifact_place(output, name)
        if not old or old == new or not old.endswith(f"/{ARTIFACTS}/{name}"):
            continue
        if is_gone(old) or not (is_gone(new) or _same(old, new)):
            yield old, new


def _same(place: str, other: str) -> bool:
    """Whether two places are one folder, which a second mount or a link shows twice."""
    return os.path.samefile(unquote(urlsplit(place).path), unquote(urlsplit(other).path))
