"""The launcher file, a search over three hosts, one of which is cut off, and what is refused there.

The study and the network that it names lie in the home of the head alone.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from hosts import LAPTOP, Hosts, missing

from benchmarks.faults import disagreements

pytestmark = [pytest.mark.cluster, pytest.mark.skipif(bool(missing()), reason=missing() or "all is there")]

CHECKOUT = Path(__file__).parents[2]
TRIALS = 60
STUDY = f"""
name: wine
data: {{source: wine, keep: 4}}
network: {{build: "models.py:make"}}
training: {{epochs: 40, seeds: 1}}
strategies: [stepped, plateau]
search: {{trials: {TRIALS}, confirm_seeds: 2}}
"""
MODELS = """
from torch import nn
from pruning_core import Pruner

def make(inputs, classes, keep, width=16):
    return nn.Sequential(Pruner(inputs, keep), nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, classes))
"""
TOKEN = {"RAY_AUTH_MODE": "token"}


class Cluster:
    """Three hosts on which `ray up` was called from the laptop."""

    def __init__(self, folder: Path) -> None:
        self.shared = folder / "shared"
        self.shared.mkdir()
        python = {Path(sys.prefix), Path(sys.base_prefix), Path(sys.executable).resolve().parents[1]}
        self.hosts = Hosts(folder / "hosts", 3, [*python, CHECKOUT, self.shared], _installed_packages())
        self.head = f"{self.hosts.address['h1']}:6379"

    def launch(self) -> None:
        """`ray up` with `ray_cluster.yaml`, until all hosts have joined."""
        for name in self.hosts.names:
            environment = self.hosts.home(name) / "deeppp" / ".venv"
            environment.mkdir(parents=True)
            for part in ("bin", "lib", "pyvenv.cfg"):
                (environment / part).symlink_to(Path(sys.prefix) / part)
            (environment / ".installed").touch()
            os.utime(environment / ".installed", (2**32, 2**32))  # `make install` has nothing to do
        (self.hosts.home(LAPTOP) / "cluster.yaml").write_text(self.launcher_file())
        self.must(LAPTOP, "umask 077; ray get-auth-token --generate")
        self.must(LAPTOP, "ray up -y ~/cluster.yaml", folder=CHECKOUT)
        count = "import ray; ray.init('auto', log_to_driver=False); print(sum(n['Alive'] for n in ray.nodes()))"
        for _ in range(30):
            _, out = self.hosts.run("h1", f'python -c "{count}"', variables=TOKEN)
            if out.split()[-1:] == ["3"]:
                return
            time.sleep(3)
        raise AssertionError(f"the workers have not joined: {out}")

    def launcher_file(self) -> str:
        """`ray_cluster.yaml` with the places filled in that it marks."""
        text = (CHECKOUT / "ray_cluster.yaml").read_text()
        address = self.hosts.address
        for placeholder, value in {
            "192.0.2.10": address["h1"],
            "[192.0.2.11, 192.0.2.12]": f"[{address['h2']}, {address['h3']}]",
            "ssh_user: deeppp": "ssh_user: root",
            "~/.ssh/deeppp_cluster": str(self.hosts.key),
            "/srv/deeppp": str(self.shared),
            "ray start --head": "ray start --head --num-cpus=1 --object-store-memory=200000000",
            "ray start --address": "ray start --num-cpus=1 --object-store-memory=200000000 --address",
        }.items():
            assert placeholder in text
            text = text.replace(placeholder, value)
        return text

    def must(self, host: str, command: str, folder: Path | None = None) -> str:
        status, out = self.hosts.run(host, command, folder, variables=TOKEN, seconds=240)
        assert status == 0, out
        return out

    def study_file(self) -> Path:
        """In the head's home, as the head calls it."""
        (self.hosts.home("h1") / "wine.yaml").write_text(STUDY)
        (self.hosts.home("h1") / "models.py").write_text(MODELS)
        return Path.home() / "wine.yaml"

    def start_search(self, *arguments: str, variables: dict[str, str] = TOKEN) -> subprocess.Popen[str]:
        """On the head, from what the launcher put there."""
        command = f"python -m search search {self.study_file()} {' '.join(arguments)}"
        return self.hosts.popen("h1", command, Path.home() / "deeppp", variables)


def _installed_packages() -> list[Path]:
    """Where the environment imports the project from: hidden on the hosts, so that the code has to travel."""
    look = "import search, pruning_core; print(*search.__path__, *pruning_core.__path__, sep='\\n')"
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    found = subprocess.run([sys.executable, "-c", look], cwd="/", env=plain, capture_output=True, text=True)
    return [Path(line) for line in found.stdout.split()]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        made.launch()
        yield made
        made.must(LAPTOP, "ray down -y ~/cluster.yaml", folder=CHECKOUT)
    finally:
        made.hosts.close()


def test_nothing_answers_without_the_token(cluster: Cluster) -> None:
    ask = "curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:8265/api/jobs/"
    token = '-H "Authorization: Bearer $(cat ~/.ray/auth_token)"'
    assert cluster.must("h1", f"{ask} {token}") == "200"
    assert cluster.must("h1", ask) == "401"
    assert cluster.must("h1", f"{ask} -H 'Authorization: Bearer wrong'") == "403"
    status, _ = cluster.hosts.run(LAPTOP, f"curl -s -m 5 http://{cluster.hosts.address['h1']}:8265/api/version")
    assert status == 7  # refused: the dashboard listens on the head's localhost alone
    assert cluster.must("h1", "stat -c %a ~/.ray/auth_token").strip() == "600"


@pytest.mark.parametrize(
    ("arguments", "variables", "says"),
    [
        ("", {}, "refuses this token: set RAY_AUTH_MODE=token"),
        ("", TOKEN | {"RAY_AUTH_TOKEN": "0" * 64}, "refuses this token: .* must hold the cluster's token"),
        (
            "--output /tmp/own",
            TOKEN,
            "--output /tmp/own must be a folder that all nodes .*: h2, h3 has no such folder",
        ),
        ("--set resources.gpu=1", TOKEN, "resources.gpu = 1 must be at most 0"),
    ],
)
def test_what_cannot_work_is_refused_in_one_sentence(
    cluster: Cluster, arguments: str, variables: dict[str, str], says: str
) -> None:
    defaults = f"--address {cluster.head} --output {cluster.shared / 'never'}"
    process = cluster.start_search(defaults, arguments, variables=variables)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 2, out
    assert re.search(says, out)
    assert out.count("\n") == 1
    assert "secret" not in out
    assert not (cluster.shared / "never").exists()


def test_a_search_can_be_a_ray_job(cluster: Cluster) -> None:
    output = cluster.shared / "job"
    search = f"python -m search search {cluster.study_file()} --trials 2 --address auto --output {output}"
    submit = "ray job submit --address http://127.0.0.1:8265 --"
    out = cluster.must("h1", f"{submit} bash -c 'cd ~/deeppp && {search}'")
    assert "2 trials (" in out
    assert disagreements(output, f"sqlite:///{output / 'mlflow.db'}", 2) == []


def test_a_search_outlives_a_host(cluster: Cluster) -> None:
    """One of three hosts is cut off in the middle of 60 trials: none is lost or doubled."""
    output = cluster.shared / "runs"
    process = cluster.start_search(f"--address {cluster.head} --output {output} --json {output}.json")
    storage = f"sqlite:///{output / 'optuna.db'}"

    def finished() -> list[optuna.trial.FrozenTrial]:
        if not list(output.glob("ray/wine/trial_*")):
            return []
        return [t for t in optuna.load_study(study_name="wine", storage=storage).trials if t.state.is_finished()]

    deadline = time.monotonic() + 300
    while len(finished()) < TRIALS // 3 or {t.user_attrs["node"] for t in finished()} != {"h1", "h2", "h3"}:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, [t.user_attrs["node"] for t in finished()]
        time.sleep(0.5)
    cluster.hosts.cut("h3")
    try:
        out, _ = process.communicate(timeout=400)
    finally:
        cluster.hosts.heal("h3")
    assert process.returncode == 0, out
    assert disagreements(output, f"sqlite:///{output / 'mlflow.db'}", TRIALS) == []
    assert json.loads(Path(f"{output}.json").read_text())["failed"] == 0
