"""A pruned network trained in a moment, for the tests of what is made of one."""

from quick_runs import start

from pruning_core.compaction import PrunedReplica
from pruning_core.data import Dataset
from pruning_core.networks import GATED_MLP, NetworkSpec
from search.train.confirmation import best_network


def trained(data: Dataset, keep: int = 4, network: NetworkSpec = GATED_MLP) -> PrunedReplica:
    """The best of three pruned networks."""
    run = start(data.without_test(), network=network, keep=min(keep, len(data.feature_names) - 1))
    list(run)
    assert data.test is not None
    best = best_network(run, run.accuracy(data.test))
    assert isinstance(best, PrunedReplica)
    return best
