"""What is refused before a search starts on a cluster: addresses, resources that no node has."""

import re
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from free_port import free_port

from search.study import Study, StudyError
from search.train.cluster import Node, ask_head, check_resources, find_head


def a_study(resources: Any) -> Study:
    return Study.model_validate({"name": "s", "data": {"source": "wine", "keep": 4}, "resources": resources})


@pytest.fixture
def deaf() -> Iterator[int]:
    """The port of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


@pytest.mark.parametrize("address", ["nonsense", "10.0.0.1", "ray://10.0.0.1:10001", "10.0.0.1:head"])
def test_an_address_has_the_form_host_port(address: str) -> None:
    with pytest.raises(StudyError, match=f"--address {re.escape(address)} .*HOST:PORT"):
        find_head(address)


def test_an_address_where_nothing_listens_or_no_ray_head_is_refused_at_once(deaf: int) -> None:
    port = free_port()
    started = time.monotonic()
    with pytest.raises(StudyError, match=f":{port} cannot be reached"):
        find_head(f"127.0.0.1:{port}")
    with pytest.raises(StudyError, match=f":{deaf} is no Ray head"):
        ask_head(f"127.0.0.1:{deaf}")
    assert time.monotonic() - started < 30


NODES = [Node("1", "a", "10.0.0.1", {"CPU": 8}), Node("2", "b", "10.0.0.2", {"CPU": 2, "GPU": 1})]


@pytest.mark.parametrize(
    ("resources", "says"),
    [
        ({"cpu": 16}, "resources.cpu = 16 must be at most 8"),
        ({"cpu": 1, "gpu": 2}, "resources.gpu = 2 must be at most 1"),
        ({"cpu": 4, "gpu": 0.5}, "resources.cpu = 4 and resources.gpu = 0.5 must fit on one node"),
    ],
)
def test_a_trial_that_fits_on_no_node_is_refused(resources: dict[str, float], says: str) -> None:
    with pytest.raises(StudyError, match=says):
        check_resources(a_study(resources), NODES)


@pytest.mark.parametrize("resources", [{"cpu": 8}, {"cpu": 2, "gpu": 0.25}, "auto"])
def test_a_trial_that_fits_somewhere_passes(resources: Any) -> None:
    check_resources(a_study(resources), NODES)


def test_fractions_are_of_one_gpu() -> None:
    with pytest.raises(ValueError, match="a fraction of one GPU or a whole number"):
        a_study({"gpu": 1.5})
    assert (a_study({"gpu": 2}).resources.device, a_study({}).resources.device) == ("cuda", "cpu")
