"""What is used of Ray that it does not document; of Ray Tune, see `private_tune`.

Each function says why it is here, and what breaks when Ray changes beneath it.
"""

from collections.abc import Iterator
from typing import NamedTuple

import grpc
from ray._private.grpc_utils import init_grpc_channel
from ray._private.services import canonicalize_bootstrap_address
from ray._private.utils import get_num_cpus
from ray.core.generated.gcs_service_pb2 import GetAllNodeInfoRequest  # type: ignore[attr-defined]
from ray.core.generated.gcs_service_pb2_grpc import NodeInfoGcsServiceStub


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
