"""What a user installs and starts: the pinned versions, the wheel's contents, the cluster's launcher file.

A dependency that nobody pinned, or a study file left out of the wheel, fails here, not on a user's machine.
"""

import importlib.metadata
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from ray.autoscaler.sdk import bootstrap_config

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
REQUIREMENTS = [Requirement(line) for line in PROJECT["dependencies"] + EXTRAS["dev"] + EXTRAS["benchmarks"]]
PACKAGES = ["pruning_core", "search", "studies"]
CLUSTER = yaml.safe_load((ROOT / "ray_cluster.yaml").read_text())


@pytest.fixture(scope="module")
def pins() -> dict[str, str]:
    """Canonical name -> version, for every line of constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pairs}


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=str)
def test_every_dependency_is_pinned_within_its_range(requirement: Requirement, pins: dict[str, str]) -> None:
    assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)])


def installed_below(requirements: list[Requirement]) -> set[str]:
    """The canonical names of `requirements` and of everything that they need in this environment."""
    seen: set[tuple[str, str]] = set()
    waiting = [(requirement, extra) for requirement in requirements for extra in ("", *requirement.extras)]
    while waiting:
        requirement, extra = waiting.pop()
        if (requirement.name, extra) in seen:
            continue
        seen.add((requirement.name, extra))
        for needed in map(Requirement, importlib.metadata.requires(requirement.name) or []):
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                waiting += [(needed, inner) for inner in ("", *needed.extras)]
    return {canonicalize_name(name) for name, _ in seen}


def test_pins_are_what_the_environment_needs_and_nothing_else(pins: dict[str, str]) -> None:
    assert installed_below(REQUIREMENTS) == set(pins)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """The project's wheel, built from a copy so that the checkout stays clean."""
    source = tmp_path_factory.mktemp("source")
    shutil.copy(ROOT / "pyproject.toml", source)
    for package in (*PACKAGES, "benchmarks"):
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    build = "from setuptools.build_meta import build_wheel; build_wheel('.')"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    with zipfile.ZipFile(next(source.glob("*.whl"))) as archive:
        yield archive


def test_every_study_file_ships(wheel: zipfile.ZipFile) -> None:
    studies = {f"studies/{path.name}" for path in (ROOT / "studies").glob("*.yaml")}
    assert "studies/quick.yaml" in studies
    assert studies <= set(wheel.namelist())


@pytest.mark.parametrize("package", ["pruning_core", "search", "benchmarks"])
def test_every_file_of_a_package_ships(package: str, wheel: zipfile.ZipFile) -> None:
    files = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }
    assert files <= set(wheel.namelist())


def test_the_command_is_declared(wheel: zipfile.ZipFile) -> None:
    name = next(name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert "deeppp = deeppp:main" in wheel.read(name).decode().splitlines()


def commands(config: dict[str, Any], node: str) -> str:
    """Everything that runs on a `node` (head or worker), as one text."""
    stages = ["setup_commands", f"{node}_setup_commands", f"{node}_start_ray_commands"]
    return "\n".join(command for stage in stages for command in config[stage])


def test_the_cluster_file_passes_rays_own_schema() -> None:
    prepared = bootstrap_config(CLUSTER, no_config_cache=True)
    assert prepared["max_workers"] == len(CLUSTER["provider"]["worker_ips"])


@pytest.mark.parametrize("node", ["head", "worker"])
def test_every_node_asks_for_the_token(node: str) -> None:
    start = CLUSTER[f"{node}_start_ray_commands"][-1]
    assert "RAY_AUTH_MODE=token" in start.partition("ray start")[0]
    assert "chmod 600 ~/.ray/auth_token" in commands(CLUSTER, node)
    assert "~/.ray/auth_token" in CLUSTER["file_mounts"]


def test_the_dashboard_listens_on_the_head_alone() -> None:
    options = CLUSTER["head_start_ray_commands"][-1].split()
    assert "--dashboard-host=127.0.0.1" in options


def test_the_head_runs_the_autoscaler_that_keeps_local_workers() -> None:
    assert "RAY_enable_autoscaler_v2=0" in commands(CLUSTER, "head")
    assert f"--node-ip-address={CLUSTER['provider']['head_ip']}" in commands(CLUSTER, "head").split()


@pytest.mark.parametrize("node", ["head", "worker"])
def test_every_node_gets_what_its_environment_is_made_from(node: str) -> None:
    copied = {local for local in CLUSTER["file_mounts"].values() if not local.startswith("~")}
    assert copied == {"pyproject.toml", "constraints.txt", "Makefile", *PACKAGES}
    assert all((ROOT / path).exists() for path in copied)
    assert "make -C ~/deeppp install" in commands(CLUSTER, node)


@pytest.mark.parametrize("node", ["head", "worker"])
def test_the_cluster_commands_are_valid_shell(node: str) -> None:
    subprocess.run(["bash", "-n", "-c", commands(CLUSTER, node)], check=True)
