"""Where a search writes: what is refused before a library would wait for it, and what the defaults are."""

from pathlib import Path

import pytest
from free_port import free_port

from search.stores.addresses import Places, check_server, places, without_password
from search.study import StudyError


@pytest.mark.parametrize("url", ["postgresql://me:secret@127.0.0.1:{}/db", "http://me:secret@127.0.0.1:{}"])
def test_a_server_that_is_not_there_is_refused_and_its_password_kept(url: str, tmp_path: Path) -> None:
    absent = url.format(free_port())
    for storage, tracking in ((absent, None), (None, absent)):
        with pytest.raises(StudyError, match="cannot be reached") as refused:
            places(tmp_path / "runs", storage, tracking)
        assert "secret" not in str(refused.value)
    assert not (tmp_path / "runs").exists()


def test_urls_without_a_server_pass() -> None:
    for url in ("sqlite:////tmp/a.db", "journal:////tmp/a.log", "databricks"):
        check_server(url, "--storage")


def test_the_output_is_a_folder() -> None:
    with pytest.raises(StudyError, match="--output s3:/bucket/runs must be a folder"):
        places(Path("s3://bucket/runs"), None, None)


def test_databases_lie_in_the_output_unless_others_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    here = Places(tmp_path / "runs", f"sqlite:///{tmp_path}/runs/optuna.db", f"sqlite:///{tmp_path}/runs/mlflow.db")
    assert places(Path("runs"), None, None) == here
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////srv/mlflow.db")
    assert places(Path("runs"), "journal:////srv/log", None) == Places(
        tmp_path / "runs", "journal:////srv/log", "sqlite:////srv/mlflow.db"
    )
    assert places(Path("runs"), None, "databricks").tracking_uri == "databricks"
    assert list(tmp_path.iterdir()) == []


def test_passwords_are_starred_out_wherever_they_stand() -> None:
    text = "postgresql://me:secret@host/db failed; http://me:secret@host and http://host:80/ did not"
    assert without_password(text) == (
        "postgresql://me:***@host/db failed; http://me:***@host and http://host:80/ did not"
    )
