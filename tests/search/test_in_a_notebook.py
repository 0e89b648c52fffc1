"""A search in a notebook: its table changes in place, it can be interrupted and gone on with, and Ray goes with it."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest
from jupyter_client.manager import start_new_kernel

SEARCH = """
from search import run_study
study = {{"name": "bottle", "data": {{"source": "wine", "keep": 4}}, "network": {{"hidden": [8]}},
         "training": {{"epochs": 40, "seeds": 2, "settle_epochs": 4}}, "strategies": ["stepped"],
         "space": {{"growth": 1.5, "mu": "one"}}, "search": {{"trials": {trials}, "confirm_seeds": 2}}}}
run_study(study, output={output!r}, resume={resume})
"""


@pytest.fixture
def kernel() -> Iterator[tuple[Any, Any]]:
    """A kernel of Jupyter and its client."""
    manager, client = start_new_kernel()
    yield manager, client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def messages(client: Any, code: str, until: str = "") -> list[tuple[str, Any]]:
    """What a cell sends to the page, until it has ended or has shown this text."""
    client.execute(code)
    found: list[tuple[str, Any]] = []
    while True:
        message = client.get_iopub_msg(timeout=120)
        found.append((message["msg_type"], message["content"]))
        if message["content"].get("execution_state") == "idle":
            return found
        if until and until in str(message["content"].get("data", "")):
            return found


@pytest.mark.long
def test_a_search_is_seen_interrupted_and_gone_on_with(kernel: tuple[Any, Any], tmp_path: Path) -> None:
    manager, client = kernel
    output = str(tmp_path / "runs")
    many = messages(client, SEARCH.format(trials=500, output=output, resume=False), until="10/500 trials")
    assert many[-1][0] == "update_display_data"
    manager.interrupt_kernel()
    while client.get_iopub_msg(timeout=120)["content"].get("execution_state") != "idle":
        pass
    assert client.get_shell_msg(timeout=60)["content"]["ename"] == "Stopped"
    deadline = time.monotonic() + 30
    while _ray_of(manager.provisioner.process.pid) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not _ray_of(manager.provisioner.process.pid)

    few = messages(client, SEARCH.format(trials=12, output=output, resume=True))
    kinds = [kind for kind, _ in few]
    shown = [content for kind, content in few if kind == "display_data"]
    assert len(shown) == 1, "one output, which changes"
    assert kinds.count("update_display_data") >= 1
    assert not any(kind == "stream" and content["name"] == "stdout" for kind, content in few)
    [result] = [content for kind, content in few if kind == "execute_result"]
    assert "<b>bottle</b>" in result["data"]["text/html"]
    last = [content for kind, content in few if kind == "update_display_data"][-1]
    assert last["data"]["text/html"] == ""


def _ray_of(kernel: int) -> list[str]:
    """The processes of Ray that the kernel has started."""
    there = psutil.Process(kernel).children(recursive=True)
    return [process.name() for process in there if "ray" in process.name() or "raylet" in process.name()]
