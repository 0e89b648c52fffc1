"""Where a trial keeps what it leaves behind, and how that is written and read back.

A checkpoint is what the trial has come to (see `History.write`) and the state to go on from, in the trial's own folder;
only the newest stays. Tune knows nothing of it: its own ones are bound to its last snapshot, which is seconds old when
the driver dies.
"""

import json
import pickle
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pruning_core.training import Training

STATE, RESULT = "state.pt", "trial.json"
PARTIAL = "partial_"


class Checkpoint(NamedTuple):
    """A checkpoint that was read: its folder, its `trial.json`, the training's state, why it was stopped or ""."""

    folder: Path
    result: dict[str, Any]
    training: dict[str, Any]
    stopped: str


def search_folder(output: Path, label: str) -> Path:
    """Where a search keeps its trials, as a Tune experiment."""
    return output / "ray" / label


def trial_folder(search_folder: Path, number: int) -> Path:
    """The folder of a trial of the search in a folder."""
    return search_folder / f"trial_{number:05d}"


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a trial's folder, newest first; one that bears this name is whole."""
    return sorted(folder.glob("checkpoint_*"), reverse=True)


def write_checkpoint(run: "Training", stopped: str, folder: Path) -> None:
    """Leaves a checkpoint of the last epoch in a trial's folder; from then on the one before it is gone.

    The last one of a trial holds its networks, and nothing that only further training would need.

    Raises:
        OSError: such as a full disk.
    """
    import torch

    checkpoint = folder / f"checkpoint_{run.history.records[-1].epoch:06d}"
    if not checkpoint.exists():
        folder.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=folder))
        run.history.write(partial, run.selected())
        state = run.final_state() if run.finished or stopped else run.state_dict()
        torch.save({"training": state, "stopped": stopped}, partial / STATE)
        partial.rename(checkpoint)
    for older in checkpoints(folder)[1:]:
        shutil.rmtree(older, ignore_errors=True)


def forget_state(folder: Path) -> None:
    """Removes the networks of a trial from its folder; what was recorded of it stays."""
    for checkpoint in checkpoints(folder):
        (checkpoint / STATE).unlink(missing_ok=True)


def read_checkpoints(folder: Path, device: Any) -> Iterator[Checkpoint | Path]:
    """The checkpoints in a trial's folder, newest first, their tensors on a device.

    One that a power cut left unreadable comes as its path.
    """
    import torch

    for checkpoint in checkpoints(folder):
        try:
            result = json.loads((checkpoint / RESULT).read_text())
            state = torch.load(checkpoint / STATE, weights_only=True, map_location=device)
            yield Checkpoint(checkpoint, result, state["training"], state["stopped"])
        except (OSError, ValueError, KeyError, RuntimeError, EOFError, zipfile.BadZipFile, pickle.UnpicklingError):
            yield checkpoint
