"""What a GPU cluster runs, on a machine without one: placement, shares, an engine for each share, several trials in a
batch. Ray is told of two GPUs, and only the arithmetic is done on the CPU (see `search.train.devices`)."""

import json
import os
import secrets
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hosts import free_port

from search.train.devices import STAND_IN

pytestmark = pytest.mark.cluster

TRIALS = 96
STUDY = f"""
name: shares
data: {{source: digits, keep: 16}}
training: {{epochs: 12, seeds: 8, settle_epochs: 2, batch_size: 64}}
strategies: [stepped]
search: {{trials: {TRIALS}, sampler: random, confirm_seeds: 1, early_stopping: none}}
"""
WATCH = """
import json, sys, time
import ray
from ray.util import list_named_actors

ray.init(address=sys.argv[1], namespace="watch", log_to_driver=False, logging_level="CRITICAL")
while True:
    for named in list_named_actors(all_namespaces=True):
        try:
            actor = ray.get_actor(**named)
            print(json.dumps([named["name"], ray.get(actor.trials.remote(), timeout=10)]), flush=True)
        except (ValueError, ray.exceptions.RayError):
            pass
    time.sleep(0.05)
"""


class Head:
    """A Ray head of its own with pretended GPUs, and the command on it."""

    def __init__(self, folder: Path, cpus: int) -> None:
        self.folder = folder
        self.address = f"127.0.0.1:{free_port()}"
        token = folder / "token"
        token.write_text(secrets.token_hex(32))
        self.environment = os.environ | {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "RAY_USAGE_STATS_ENABLED": "0",
            STAND_IN: "cpu",
        }
        (folder / "shares.yaml").write_text(STUDY)
        command = ["ray", "start", "--head", "--block", "--include-dashboard=false", "--node-ip-address=127.0.0.1"]
        command += [f"--port={self.address.partition(':')[2]}", f"--num-cpus={cpus}", "--num-gpus=2"]
        with (folder / "ray.log").open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ray.scripts.scripts", *command[1:]],
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        for _ in range(120):
            if "Ray runtime started" in (folder / "ray.log").read_text():
                return
            time.sleep(0.5)
        raise AssertionError((folder / "ray.log").read_text())

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def search(self, *settings: str, here: bool = False) -> subprocess.Popen[str]:
        """A search on the head, or `here` on this machine alone, whatever `RAY_ADDRESS` says."""
        overrides = [word for setting in settings for word in ("--set", setting)]
        place = [] if here else ["--address", self.address]
        if here:
            self.environment["RAY_ADDRESS"] = self.address
        return self.start("-m", "search", "search", "shares.yaml", *place, "--json", "result.json", *overrides)

    def result(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        out, _ = process.communicate(timeout=400)
        assert process.returncode == 0, out
        return dict(json.loads((self.folder / "result.json").read_text()))

    def study(self, result: dict[str, Any]) -> dict[str, Any]:
        """The resolved study as the search recorded it."""
        run = result["mlflow"]["parent_run_id"]
        path = self.folder / "runs" / "mlartifacts" / result["mlflow"]["experiment"] / run / "artifacts" / "study.json"
        return dict(json.loads(path.read_text()))

    def stop(self) -> None:
        """Ends the head and all that it has started."""
        subprocess.run(["pkill", "-KILL", "--session", str(self.process.pid)], check=True)
        self.process.wait()


@pytest.fixture
def head(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Head]:
    made = Head(tmp_path, request.param)
    yield made
    made.stop()


@pytest.mark.parametrize("head", [4], indirect=True)
def test_every_share_of_a_gpu_has_an_engine_that_trains_several_trials_in_a_batch(head: Head) -> None:
    log = head.folder / "engines.log"
    with log.open("w") as seen_there:
        command = [sys.executable, "-c", WATCH, head.address]
        watch = subprocess.Popen(command, env=head.environment, stdout=seen_there, stderr=subprocess.DEVNULL)
        result = head.result(head.search("resources.gpu=0.5"))
        watch.kill()
    seen: dict[str, set[int]] = defaultdict(set)
    together = 0
    for line in log.read_text().splitlines()[:-1]:
        name, trials = json.loads(line)
        seen[name] |= set(trials)
        together = max(together, len(trials))
    assert (result["trials"], result["failed"]) == (TRIALS, 0)
    assert {tuple(name.split(" of ")[0].split()) for name in seen} == {
        ("engine", share, "on", gpu) for share in "01" for gpu in "01"
    }, "two shares of each of two GPUs"
    assert together == 2
    assert all(seen.values()), "an engine without a trial"
    numbers = [number for trials in seen.values() for number in trials]
    assert len(numbers) == len(set(numbers)), "a trial moved from one engine to another"

    replay = ["-m", "search", "replay", result["strategies"]["stepped"]["run_id"]]
    out, _ = (again := head.start(*replay)).communicate(timeout=60)
    assert again.returncode == 0, out
    assert "the same numbers as recorded, to the last digit" in out


@pytest.mark.parametrize("head", [1], indirect=True)
def test_resources_auto_takes_the_gpus_where_they_train_more(head: Head) -> None:
    result = head.result(head.search("resources=auto", "search.trials=3"))
    assert (result["trials"], result["failed"]) == (3, 0)
    assert head.study(result)["resources"] == {"cpu": 1.0, "gpu": 1.0}


@pytest.mark.parametrize("head", [1], indirect=True)
def test_without_an_address_a_search_leaves_a_running_head_alone(head: Head) -> None:
    result = head.result(head.search("search.trials=1", here=True))
    assert (result["trials"], result["failed"]) == (1, 0)
    refused, _ = (process := head.search("resources.gpu=0.5", here=True)).communicate(timeout=60)
    assert process.returncode == 2
    assert "resources.gpu = 0.5 must be at most 0" in refused
