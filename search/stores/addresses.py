"""Where a search writes, and a quick look whether anything listens there before a library waits for it."""

import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from search.study import StudyError

SECONDS_TO_ANSWER = 5
PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306, "mariadb": 3306}


def check_reachable(host: str, port: int, what: str) -> None:
    """Refuses an address on which nothing listens.

    Raises:
        StudyError: within seconds; the sentence begins with `what`.
    """
    try:
        socket.create_connection((host, port), timeout=SECONDS_TO_ANSWER).close()
    except OSError as error:
        reason = error.strerror or "no answer"
        raise StudyError(f"{what} cannot be reached at {host}:{port}: {reason}") from None


def check_server(url: str, what: str) -> None:
    """Refuses the URL of a web server or a database on which nothing listens. Other URLs pass.

    Raises:
        StudyError: within seconds; the sentence begins with `what`, and passwords in it are starred out.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or PORTS.get(parts.scheme.partition("+")[0])
    except ValueError as error:
        raise StudyError(without_password(f"{what} {url} is no address: {error}")) from None
    if host and port:
        check_reachable(host, port, without_password(f"{what} {url}"))


@dataclass(frozen=True)
class Places:
    """Where a search writes: its folder (absolute), the URL of Optuna's storage, the URI of MLflow."""

    output: Path
    storage: str
    tracking_uri: str


@dataclass(frozen=True)
class Stored:
    """Where the results of searches are to be read: a folder, and the stores if they are not in it.

    `storage` is Optuna's, None for `output`/optuna.db; `tracking_uri` is MLflow's, None for `MLFLOW_TRACKING_URI`, else
    `output`/mlflow.db.
    """

    output: Path
    storage: str | None = None
    tracking_uri: str | None = None


def places(output: Path, storage: str | None, tracking_uri: str | None) -> Places:
    """The databases in `output`, unless the user names others; for MLflow `MLFLOW_TRACKING_URI` counts, too.

    Raises:
        StudyError: nothing listens at one of them, or `output` is no folder.
    """
    if re.match(r"\w+:/", str(output)):
        raise StudyError(f"--output {output} must be a folder, on a cluster one that its nodes share, such as on NFS")
    output = output.absolute()
    storage = storage or f"sqlite:///{output / 'optuna.db'}"
    tracking_uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{output / 'mlflow.db'}"
    check_server(storage, "--storage")
    check_server(tracking_uri, "MLflow at")
    return Places(output, storage, tracking_uri)


def cache_folder(output: Path | str) -> Path:
    """Where a folder of results keeps the tensors of large data."""
    return Path(output).absolute() / "data"


def without_password(text: str) -> str:
    """A text with the passwords of the addresses in it starred out."""
    return re.sub(r"//([^:/@]*):[^@/]*@", r"//\1:***@", text)
