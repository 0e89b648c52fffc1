"""What all tests share: one thread, reproducible hypothesis examples, a small data set, an empty MLflow store."""

from pathlib import Path

import pytest
import torch
from hypothesis import settings

from pruning_core.data import Dataset, Part
from search.run import settings as process_settings

torch.set_num_threads(1)
settings.register_profile("reproducible", derandomize=True, deadline=None, database=None)
settings.load_profile("reproducible")


def pytest_configure(config: pytest.Config) -> None:
    """What a search sets in the process, as early as it does: MLflow reads some of it when a test file imports it."""
    context = process_settings()
    context.__enter__()
    config.add_cleanup(lambda: context.__exit__(None, None, None))


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
