"""Stores that are to be read: only those that are there, and what is wrong with others in one sentence."""

from pathlib import Path

import pytest

from search.stores.locks import hold
from search.stores.opening import alone, existing_store
from search.study import StudyError


def test_only_a_store_that_is_there_is_opened_and_none_is_made(tmp_path: Path, empty_store: Path) -> None:
    (tmp_path / "hollow").mkdir()
    (tmp_path / "hollow" / "mlflow.db").touch()
    (tmp_path / "nonsense.db").write_text("this is no database, however long it may be, and never was")
    before = sorted(tmp_path.rglob("*"))
    assert existing_store(None, empty_store.parent, "mlflow.db") == f"sqlite:///{empty_store}"
    assert existing_store(f"sqlite:///{empty_store}", tmp_path, "mlflow.db") == f"sqlite:///{empty_store}"
    assert existing_store("postgresql://host/db", tmp_path, "optuna.db") == "postgresql://host/db"
    for uri, says in (
        (None, f"--output {tmp_path} holds no mlflow.db yet: run a search first"),
        (f"sqlite:///{tmp_path}/absent.db", f"there is no {tmp_path}/absent.db"),
        (f"sqlite:///{tmp_path}/hollow/mlflow.db", f"there is no {tmp_path}/hollow/mlflow.db"),
        (f"sqlite:///{tmp_path}/nonsense.db", "nonsense.db cannot be read: file is not a database"),
    ):
        with pytest.raises(StudyError, match=says):
            existing_store(uri, tmp_path, "mlflow.db")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_file_and_its_folder_are_made_by_one_process_at_a_time(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path / 'new' / 'mlflow.db'}"
    with alone(address):
        assert (tmp_path / "new" / "mlflow.db").exists()
        with pytest.raises(BlockingIOError):
            hold(tmp_path / "new" / ".mlflow.db.lock", wait=False)
    hold(tmp_path / "new" / ".mlflow.db.lock", wait=False).close()
    with alone("http://127.0.0.1:9"):
        pass
