"""Which deepPP this is, where it runs from a checkout: commit, and whether its files differ from it."""

import subprocess
from pathlib import Path

COMMIT, DIRTY = "mlflow.source.git.commit", "git.dirty"


def git_tags() -> dict[str, str]:
    """The commit under the name that MLflow knows it by, and `git.dirty`; nothing outside of a checkout."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return {}
    try:
        commit = _git(root, "rev-parse", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return {}
    return {COMMIT: commit, DIRTY: "true" if changed else "false"}


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=10).stdout.strip()
