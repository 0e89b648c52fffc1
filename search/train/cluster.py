"""Where a search runs: Ray on this machine, or a running cluster, and what is checked there before the first trial.

Every check ends in a `StudyError` within seconds, where Ray itself would wait for minutes, and none leaves anything
behind.
"""

import logging
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import torch
from ray.exceptions import NodeDiedError, RayError, TaskUnschedulableError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

import pruning_core
from pruning_core.data import Dataset
from search.stores.addresses import SECONDS_TO_ANSWER, check_reachable
from search.study import Study, StudyError
from search.train.private import HeadError, bootstrap_address, cpus_here, nodes_of_head
from search.train.surroundings import check_surroundings

OBJECT_STORE_BYTES = 256 * 2**20
SECONDS_TO_LOOK = 60
ADDRESS = "HOST:PORT of a running Ray head such as 10.0.0.1:6379, or auto on one of its nodes"


@dataclass(frozen=True)
class Node:
    """A living node: its host name, its address, and its resources (`CPU`, `GPU`) in all."""

    id: str
    name: str
    address: str
    resources: Mapping[str, float]


@contextmanager
def started_ray(study: Study, data: Dataset, output: Path, address: str | None) -> Iterator[Callable[[], object]]:
    """Ray on this machine, quietly, or on the cluster at `address`, for as long as the context lasts.

    On this machine it starts while the context has begun already: what the context is given waits until it is up. On a
    cluster the code travels with the search, so that the nodes need its packages but not the checkout.

    Args:
        study: its `resources` must fit on a node.
        data: lies in the object store during the search.
        output: must be one and the same folder on all nodes.
        address: of a running Ray cluster; None starts Ray on this machine.

    Raises:
        StudyError: this place cannot run the study.
    """
    if ray.is_initialized():
        raise StudyError("this process uses Ray already: call ray.shutdown() first, or search in another process")
    with ThreadPoolExecutor(1) as thread:
        try:
            if address is None:
                check_surroundings()
                here = {"CPU": cpus_here(), "GPU": torch.cuda.device_count()}
                check_resources(study, [Node("", socket.gethostname(), "", here)])
                rows = data.train.x.numel() * data.train.x.element_size()
                yield thread.submit(_start_here, OBJECT_STORE_BYTES + 4 * rows).result
            else:
                _join(find_head(address), study, output)
                yield lambda: None
        finally:
            thread.submit(ray.shutdown).result()  # in the thread that began it: once that is gone, it takes 15 s


def _start_here(object_store_bytes: int) -> None:
    # "local", since Ray would join what somebody has started on this machine, or has left behind there.
    _init(address="local", include_dashboard=False, object_store_memory=object_store_bytes)


def _join(address: str, study: Study, output: Path) -> None:
    check_resources(study, ask_head(address))
    packages = [str(Path(pruning_core.__path__[0])), str(Path(__file__).parents[1])]
    try:
        _init(address=address, runtime_env={"py_modules": packages, "excludes": ["__pycache__"]})
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise StudyError(f"--address {address} cannot be joined from this machine: {reason}") from None
    check_shared(output, living_nodes())


def _init(**options: Any) -> None:
    namespace = f"deeppp-{secrets.token_hex(8)}"  # of this driver's own: its engines have names
    ray.init(namespace=namespace, log_to_driver=False, logging_level=logging.ERROR, **options)


def living_nodes() -> list[Node]:
    """The nodes of the cluster that this process has joined."""
    return [
        Node(n["NodeID"], n["NodeManagerHostname"], n["NodeManagerAddress"], n["Resources"])
        for n in ray.nodes()
        if n["Alive"]
    ]


def find_head(address: str) -> str:
    """The HOST:PORT that `--address` stands for.

    Raises:
        StudyError: it has another form, or `auto` finds no cluster.
    """
    if address.startswith("ray://"):
        raise StudyError(f"--address {address} must be {ADDRESS}; from elsewhere, submit the search as a Ray job")
    try:
        head = bootstrap_address(address)
    except (ValueError, ConnectionError, OSError):
        head = None
    host, _, port = (head or "").rpartition(":")
    if not host or not port.isdigit():
        found = "finds no cluster here; it" if address == "auto" else "is none: it"
        raise StudyError(f"--address {address} {found} must be {ADDRESS}")
    check_reachable(host.strip("[]"), int(port), f"--address {address}")
    return f"{host}:{port}"


def ask_head(address: str) -> list[Node]:
    """The living nodes of the cluster whose head answers at HOST:PORT, asked without joining it.

    Raises:
        StudyError: no Ray head answers, it refuses the token, or this machine is none of its nodes.
    """
    try:
        nodes = [Node(*node) for node in nodes_of_head(address, SECONDS_TO_ANSWER)]
    except HeadError as error:
        if error.status == "unauthenticated":
            raise StudyError(f"--address {address} refuses this token: {_token_advice()}") from None
        raise StudyError(f"--address {address} is no Ray head: {error.status}") from None
    except (RayError, RuntimeError) as error:
        raise StudyError(f"--address {address} needs a token: {_token_advice()} ({error})") from None
    if not any(_is_here(node.address) for node in nodes):
        names = ", ".join(node.name for node in nodes)
        raise StudyError(
            f"--address {address} can be joined from its nodes only ({names}): start the search there, "
            "or submit it as a Ray job"
        )
    return nodes


def _token_advice() -> str:
    if os.environ.get("RAY_AUTH_MODE") != "token":
        return "set RAY_AUTH_MODE=token, and have the cluster's token in ~/.ray/auth_token"
    return "~/.ray/auth_token (or RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH) must hold the cluster's token"


def _is_here(address: str) -> bool:
    """Whether an address is one of this machine."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def check_resources(study: Study, nodes: Sequence[Node]) -> None:
    """Refuses trials that fit on no node: Ray would wait for such a node for ever.

    Raises:
        StudyError: names the key, its value and the most that a node has.
    """
    wanted = {"cpu": study.resources.cpu or 0, "gpu": study.resources.gpu or 0}
    for name, amount in wanted.items():
        most = max((node.resources.get(name.upper(), 0) for node in nodes), default=0)
        if amount > most:
            raise StudyError(f"resources.{name} = {amount:g} must be at most {most:g}, the most that a node here has")
    if not any(all(node.resources.get(k.upper(), 0) >= v for k, v in wanted.items()) for node in nodes):
        together = " and ".join(f"resources.{name} = {amount:g}" for name, amount in wanted.items())
        raise StudyError(f"{together} must fit on one node together, and no node has both")


def check_shared(output: Path, nodes: Sequence[Node]) -> None:
    """Looks on every node for a file that was made here just now, and writes beside it.

    Raises:
        StudyError: names the nodes that do not see the folder or cannot write into it.
    """

    def look(nonce: Path) -> str:
        """Runs on a node, and as a local function reaches it without a module to be imported."""
        for _ in range(6):  # a folder on NFS may show a new file a little later
            if nonce.exists():
                break
            time.sleep(0.5)
        else:
            return "another folder there" if nonce.parent.exists() else "no such folder"
        try:
            own = nonce.with_name(f"{nonce.name}-{secrets.token_hex(4)}")
            own.write_text(own.name)
            own.unlink()
        except OSError as error:
            return f"a folder that cannot be written into ({error.strerror})"
        return ""

    made = [folder for folder in (output, *output.parents) if not folder.exists()]
    output.mkdir(parents=True, exist_ok=True)
    nonce = output / f".shared-{secrets.token_hex(8)}"
    nonce.write_text(nonce.name)
    try:
        task = ray.remote(num_cpus=0, max_retries=0)(look)
        looks = {
            task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False)).remote(nonce): node
            for node in nodes
        }
        ray.wait(list(looks), num_returns=len(looks), timeout=SECONDS_TO_LOOK)
        wrong: dict[str, list[str]] = {}
        for seen, node in looks.items():
            if problem := _problem(seen):
                wrong.setdefault(problem, []).append(node.name)
    finally:
        nonce.unlink()
        for folder in made:
            if not any(folder.iterdir()):
                folder.rmdir()
    if wrong:
        problem, names = next(iter(wrong.items()))
        raise StudyError(
            f"--output {output} must be a folder that all nodes of the cluster share, such as on NFS: "
            f"{', '.join(sorted(names))} has {problem}"
        )


def _problem(seen: Any) -> str:
    """What a node found wrong; a node that died meanwhile or takes very long is left to Ray's own fault handling."""
    try:
        return str(ray.get(seen, timeout=0))
    except (NodeDiedError, TaskUnschedulableError, ray.exceptions.GetTimeoutError):
        return ""
    except RayError as error:
        return f"an error ({' '.join(str(error).split())[-300:]})"
