"""The only file that uses what Ray does not document.

Each function says why it is here, and what breaks when Ray changes beneath it.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import grpc
from ray._private.grpc_utils import init_grpc_channel
from ray._private.services import canonicalize_bootstrap_address
from ray._private.utils import get_num_cpus
from ray.core.generated.gcs_service_pb2 import GetAllNodeInfoRequest  # type: ignore[attr-defined]
from ray.core.generated.gcs_service_pb2_grpc import NodeInfoGcsServiceStub
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler


class HeadError(Exception):
    """A head that does not answer as it should; `status` is gRPC's name for why."""

    def __init__(self, status: str) -> None:
        super().__init__(status)
        self.status = status


class HeadNode(NamedTuple):
    """A node as the head lists it."""

    id: str
    name: str
    address: str
    resources: dict[str, float]


def cpus_here() -> float:
    """How many CPUs Ray would count on this machine, cgroups respected.

    Why: resources are checked while Ray is still starting. Without it: join first, then `ray.cluster_resources()`.
    """
    return float(get_num_cpus())


def bootstrap_address(address: str) -> str | None:
    """The HOST:PORT that an address of a cluster stands for, such as `auto`.

    Why: `ray.init(address)` resolves it too, but waits for minutes where nothing listens. Without it: no quick refusal.
    """
    return canonicalize_bootstrap_address(address)


def nodes_of_head(address: str, timeout: float) -> Iterator[HeadNode]:
    """The living nodes of the cluster whose head answers at HOST:PORT, asked without joining it.

    Why: `ray.init` waits for minutes for a head that is none, or refuses the token; `ray.util.state.list_nodes` needs
    the dashboard. Without it: no refusal within seconds.

    Raises:
        HeadError: no Ray head answers, or it refuses the token.
    """
    try:
        with init_grpc_channel(address) as channel:
            answer = NodeInfoGcsServiceStub(channel).GetAllNodeInfo(GetAllNodeInfoRequest(), timeout=timeout)
    except grpc.RpcError as error:
        raise HeadError(error.code().name.lower()) from None
    for node in answer.node_info_list:
        if node.state == 0:
            resources = dict(node.resources_total)
            yield HeadNode(node.node_id.hex(), node.node_manager_hostname, node.node_manager_address, resources)


def forget_reports(trial: Trial) -> None:
    """Lets go of the statistics that Tune keeps of every number that a trial reported, to the end of the search.

    Why: they are the largest part of what the driver holds. Without it: a search of thousands of trials needs more
    memory.
    """
    metadata = trial.run_metadata
    metadata.metric_analysis, metadata.metric_n_steps, metadata.last_result = {}, {}, {}


class LetsWorkersStart(FIFOScheduler):
    """Hands a free worker to the oldest trial that waits for a place, not to one whose own worker is just starting.

    Tune has one trial waiting at a time and hands the free worker to it, whose own starting worker it then kills. Where
    trials end sooner than a worker starts, one node thus does all the work. Here, one more trial waits than start.

    Why: `TUNE_MAX_PENDING_TRIALS_PG` sets how many wait as a constant, and says nothing of which gets the worker.
    Without it: `FIFOScheduler`, slower where trials are short.
    """

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """The trial to be started or gone on with next, or None."""
        controller = tune_controller._tune_controller
        live = set(controller._actor_manager.live_actors)
        unfinished = sorted(tune_controller.get_live_trials(), key=lambda trial: trial.config["number"])
        waiting = [trial for trial in unfinished if trial.status in (Trial.PENDING, Trial.PAUSED)]
        starting = {trial for trial in waiting if controller._trial_to_actor.get(trial) in live}
        controller.update_max_pending_trials(1 + len(starting))
        return min((t for t in waiting if t not in starting), key=lambda t: t.status == Trial.PAUSED, default=None)
