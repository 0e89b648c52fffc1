"""What all tests share: one thread, reproducible hypothesis examples, a small data set, an empty MLflow store."""

import os
import shutil
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import settings

from pruning_core.data import Dataset, Part
from search.run import settings as process_settings

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

    from search.record.tracking import Tracking

torch.set_num_threads(1)
settings.register_profile("reproducible", derandomize=True, deadline=None, database=None)
settings.load_profile("reproducible")


def pytest_configure(config: pytest.Config) -> None:
    """What a search sets in the process, as early as it does: MLflow reads some of it when a test file imports it."""
    stack = ExitStack()
    stack.enter_context(process_settings())
    config.add_cleanup(stack.close)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where workers share the files, those with the most slow tests go first: none is left for the end."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
        items.sort(key=lambda item: -slow[item.path])


@pytest.fixture(scope="session")
def data() -> Dataset:
    """Three classes in twelve features, the first three of which tell the classes apart."""
    generator = torch.Generator().manual_seed(0)

    def part(rows: int) -> Part:
        y = torch.arange(rows) % 3
        x = torch.randn(rows, 12, generator=generator)
        x[:, :3] += 2.5 * torch.nn.functional.one_hot(y, 3)
        return Part(x, y)

    return Dataset(
        name="blobs",
        feature_names=tuple(f"x{i}" for i in range(12)),
        class_names=("a", "b", "c"),
        train=part(210),
        validation=part(90),
        test=part(60),
        mean=torch.zeros(12),
        scale=torch.ones(12),
        fingerprint="blobs",
        dropped=(),
    )


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with MLflow's tables and nothing else: making one takes over a second."""
    from search.record.tracking import Tracking

    folder = tmp_path_factory.mktemp("store")
    Tracking(f"sqlite:///{folder / 'mlflow.db'}", "none", folder / "mlartifacts")
    return folder / "mlflow.db"


@pytest.fixture
def output(tmp_path: Path, empty_store: Path) -> Path:
    """The output folder of a search, with its store."""
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    return tmp_path


@pytest.fixture
def client(output: Path) -> "MlflowClient":
    """Reads that store."""
    from mlflow.tracking import MlflowClient

    return MlflowClient(f"sqlite:///{output / 'mlflow.db'}")


@pytest.fixture
def tracking(output: Path) -> "Tracking":
    """A search of the study `quick` that has begun, in that store."""
    from tracked import open_search, open_tracking

    begun = open_tracking(output)
    open_search(begun, output)
    return begun
