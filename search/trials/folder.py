"""Where a trial keeps what it leaves behind."""

from pathlib import Path


def trial_folder(search_folder: Path, number: int) -> Path:
    """The folder of a trial of the search in a folder."""
    return search_folder / f"trial_{number:05d}"


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a trial's folder, newest first; one that bears this name is whole."""
    return sorted(folder.glob("checkpoint_*"), reverse=True)
