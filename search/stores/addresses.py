"""Where a search writes, and a quick look whether that can be done before a library waits for it or work is lost."""

import os
import re
import shlex
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

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


def check_folder(folder: Path, what: str) -> None:
    """Refuses a folder in which nothing can be written, or that cannot be made; makes nothing itself.

    Raises:
        StudyError: the sentence begins with `what` and the folder.
    """
    if reason := _unwritable(folder):
        raise StudyError(f"{what} {folder} must be a folder that can be written to: {reason}")


def check_file(file: Path | None, what: str) -> None:
    """Refuses a file that could not be written, before the work of which it shall hold the result; None passes.

    Raises:
        StudyError: the sentence begins with `what` and the file.
    """
    if file is None:
        return
    if os.path.isdir(file):
        reason = "it is a folder"
    elif os.path.lexists(file):
        reason = "" if os.access(file, os.W_OK) else "it is not yours to write"
    else:
        reason = _unwritable(file.parent, file.name)
    if reason:
        raise StudyError(f"{what} {file} must be a file that can be written: {reason}")


def _unwritable(folder: Path, *names: str) -> str:
    """Why nothing of these names can be made in a folder that is there or is to be made, or ""."""
    folder = folder.absolute()
    place = next(each for each in (folder, *folder.parents) if os.path.lexists(each))
    if not place.is_dir():
        return f"{place} is no folder"
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        return f"nothing can be written into {place} ({error.strerror})"
    most = os.pathconf(place, "PC_NAME_MAX")
    long = [name for name in (*folder.relative_to(place).parts, *names) if len(os.fsencode(name)) > most]
    return f"the name {long[0][:20]}... has more than {most} bytes" if long else ""


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

    @property
    def options(self) -> dict[str, str]:
        """The options of a command that name these places, but for the default ones; each after a blank, for a shell.

        >>> Stored(Path("my runs"), tracking_uri="http://here:5000").options["--output"]
        " --output 'my runs'"
        """
        output = "" if self.output == Path("runs") else str(self.output)
        given = {"--output": output, "--storage": self.storage, "--tracking-uri": self.tracking_uri}
        return {name: _option(name, value) if value else "" for name, value in given.items()}


def _option(name: str, value: str) -> str:
    quoted = shlex.quote(without_password(value))
    return f" {name}={quoted}" if value.startswith("-") else f" {name} {quoted}"


def sqlite_address(file: Path) -> str:
    """The address of a SQLite file.

    Where `%`, `?` or `#` in the path would have a meaning, all of it is escaped, slashes too: MLflow makes the folder
    above the file by the text of the address as it stands.

    >>> sqlite_address(Path("/tmp/my runs/mlflow.db")), sqlite_address(Path("/50%/mlflow.db"))
    ('sqlite:////tmp/my runs/mlflow.db', 'sqlite:///%2F50%25%2Fmlflow.db')
    """
    path = str(file)
    return f"sqlite:///{quote(path, safe='') if set(path) & set('%?#') else path}"


def mlflow_address(tracking_uri: str | None, output: Path) -> str:
    """MLflow's store: the one that is named, else that of `MLFLOW_TRACKING_URI`, else a database in `output`."""
    named = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
    return named or sqlite_address(output.absolute() / "mlflow.db")


def places(output: Path, storage: str | None, tracking_uri: str | None) -> Places:
    """The databases in `output`, unless the user names others; for MLflow `MLFLOW_TRACKING_URI` counts, too.

    Raises:
        StudyError: nothing listens at one of them, or `output` is no folder that can be written to.
    """
    if re.match(r"\w+:/", str(output)):
        raise StudyError(f"--output {output} must be a folder, on a cluster one that its nodes share, such as on NFS")
    check_folder(output, "--output")
    output = output.absolute()
    storage = storage or sqlite_address(output / "optuna.db")
    tracking_uri = mlflow_address(tracking_uri, output)
    check_server(storage, "--storage")
    check_server(tracking_uri, "MLflow at")
    return Places(output, storage, tracking_uri)


def cache_folder(output: Path | str) -> Path:
    """Where a folder of results keeps the tensors of large data."""
    return Path(output).absolute() / "data"


def without_password(text: str) -> str:
    """A text with the passwords of the addresses in it starred out."""
    return re.sub(r"//([^:/@]*):[^@/]*@", r"//\1:***@", text)
