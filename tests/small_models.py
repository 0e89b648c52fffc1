"""A pruned network trained in a moment, for the tests of what is made of one."""

from quick_runs import start

from pruning_core.compaction import PrunedReplica
from pruning_core.data import Dataset
from search.train.confirmation import best_network


def trained(data: Dataset, keep: int = 4) -> PrunedReplica:
    """The best of three pruned networks."""
    run = start(data.without_test(), keep=min(keep, len(data.feature_names) - 1))
    list(run)
    assert data.test is not None
    network = best_network(run, run.accuracy(data.test))
    assert isinstance(network, PrunedReplica)
    return network
