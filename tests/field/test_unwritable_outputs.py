"""Where the result could not be written, nothing is trained: one sentence, exit status 2, nothing left behind."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from search.cli import main

LONG = 300 * "x"
STUDY = "name: wine\ndata: {source: wine, keep: 4}\ntraining: {epochs: 1, seeds: 1}\n"

REFUSED: list[tuple[Sequence[str], str]] = [
    (["trial", "s.yaml", "--json", "folder"], "--json folder must be a file that can be written: it is a folder"),
    (["trial", "s.yaml", "--json", "file/result.json"], "--json file/result.json must be"),
    (["trial", "s.yaml", "--json", f"{LONG}.json"], "more than 255 bytes"),
    (["trial", "s.yaml", "--json", f"new/{LONG}/result.json"], "more than 255 bytes"),
    (["trial", "s.yaml", "--json", "/proc/nothing/result.json"], "--json /proc/nothing/result.json must be"),
    (["search", "s.yaml", "--json", "folder"], "--json folder must be a file"),
    (["search", "s.yaml", "--json", "file/a/b.json"], "file is no folder"),
    (["search", "s.yaml", "--output", "file"], "--output file must be a folder that can be written to"),
    (["search", "s.yaml", "--output", "file/below"], "file is no folder"),
    (["search", "s.yaml", "--output", LONG], "more than 255 bytes"),
    (["search", "s.yaml", "--output", "broken"], "broken is no folder"),
    (["search", "s.yaml", "--output", "s3://bucket/runs"], "--output s3:/bucket/runs must be a folder"),
    (["sync", "s.yaml", "--output", "file"], "--output file must be a folder"),
    (["replay", "0" * 32, "--json", "folder"], "--json folder must be a file"),
    (["export", "0" * 32, "--to", "file"], "--to file must be a folder"),
    (["export", "0" * 32, "--to", "file/below"], "--to file/below must be a folder"),
    (["export", "0" * 32, "--output", "file"], "--output file must be a folder"),
    (["report", "wine", "--to", "folder"], "--to folder must be a file"),
    (["report", "wine", "--to", "file/page.html"], "--to file/page.html must be a file"),
    (["report", "wine", "--output", "file"], "--output file holds no optuna.db"),
    (["ui", "--output", "file"], "--output file holds no mlflow.db"),
]


@pytest.mark.parametrize(("arguments", "says"), REFUSED, ids=lambda value: " ".join(value)[:40])
def test_what_cannot_be_written_is_refused_before_work_starts(
    arguments: Sequence[str],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.yaml").write_text(STUDY)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "broken").symlink_to("nowhere")
    before = sorted(tmp_path.rglob("*"))
    assert main(arguments) == 2
    shown = capfd.readouterr()
    assert len(shown.err.strip().splitlines()) == 1
    assert says in shown.err
    assert shown.out == ""
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["new/deep/result.json", "-dash.json", "blank #1 50%?.json", "/dev/null"])
def test_what_can_be_written_is(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.yaml").write_text(STUDY)
    assert main(["trial", "s.yaml", f"--json={name}"]) == 0
    assert name.startswith("/") or (tmp_path / name).read_text().startswith("{")
