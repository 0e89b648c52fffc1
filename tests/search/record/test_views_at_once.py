"""Searches that open one experiment at the same moment give it its views together."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

from mlflow.tracking import MlflowClient

from search.record import views
from search.study import Study

SEARCHES = 6


def test_searches_that_begin_at_the_same_moment_save_the_same_views(output: Path) -> None:
    study = Study.model_validate({"name": "a", "data": {"source": "wine", "keep": 4}}).model_dump(mode="json")
    uri = f"sqlite:///{output / 'mlflow.db'}"
    first = MlflowClient(uri)
    for name in range(4):
        experiment = first.create_experiment(str(name))
        together = Barrier(SEARCHES)

        def save(client: MlflowClient, experiment: str = experiment, together: Barrier = together) -> None:
            together.wait()
            views.save(client, experiment, {}, study)

        with ThreadPoolExecutor(SEARCHES) as pool:
            list(pool.map(save, [MlflowClient(uri) for _ in range(SEARCHES)]))
        saved = [tag for tag in first.get_experiment(experiment).tags if "sharedViewState" in tag]
        assert len(saved) == len(views.views()) - 1, "all but the Pareto front's"
