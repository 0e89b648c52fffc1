"""Faults around a search: the server away, a full disk, too many failures; and two searches at once.

`benchmarks/faults.py` has more, at random moments.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hosts import free_port

from benchmarks import faults

pytestmark = pytest.mark.cluster
POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))


@pytest.fixture
def search(tmp_path: Path) -> Iterator[faults.Search]:
    made = faults.Search(tmp_path)
    yield made
    if made.server:
        made.server.kill()


def test_a_search_whose_server_stays_away_is_delivered_by_sync(search: faults.Search) -> None:
    search.server = faults.Server(search.folder / "server")
    process = search.start()
    search.wait_for_trials(process)
    search.server.kill()
    search.finish(process)
    assert "`deeppp sync` delivers the rest later" in search.log[-1]
    process = search.start(command="sync")
    assert "cannot be reached" in process.communicate(timeout=120)[0]
    assert process.returncode == 2
    search.server.start()
    search.finish(search.start(command="sync"))
    assert f"its {faults.TRIALS} trials and its end (finished) are in MLflow" in search.log[-1]
    assert faults.disagreements(search.output, search.uri, faults.TRIALS) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="a small disk to fill needs root, for mount")
def test_a_full_disk_ends_a_search_which_then_goes_on(search: faults.Search) -> None:
    search.output.mkdir(parents=True)
    disk = ["mount", "-t", "tmpfs", "-o", "size=1200k", "tmpfs", str(search.output)]
    if subprocess.run(disk, capture_output=True).returncode:
        pytest.skip("a small disk to fill cannot be mounted here")
    try:
        process = search.start()
        out, _ = process.communicate(timeout=300)
        assert process.returncode == 1, out
        assert "no space is left for" in out
        assert out.rstrip().endswith("--resume")
        assert "Traceback" not in out
        subprocess.run(["mount", "-o", "remount,size=100m", str(search.output)], check=True)
        search.finish(search.start("--resume"))
        assert faults.disagreements(search.output, search.uri, faults.TRIALS) == []
    finally:
        subprocess.run(["umount", "--lazy", str(search.output)], check=True)


@pytest.fixture
def postgres() -> Iterator[str]:
    """The URL of an empty database on a PostgreSQL server of its own."""
    if not POSTGRES or os.geteuid() != 0:
        pytest.skip("PostgreSQL is not installed" if not POSTGRES else "starting PostgreSQL as its own user needs root")
    folder, port = Path(f"/tmp/deeppp-postgres-{os.getpid()}"), free_port()
    folder.mkdir()
    shutil.chown(folder, "postgres", "postgres")
    as_postgres = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    programs = POSTGRES[-1].parent
    try:
        initialise = [f"{programs}/initdb", "-D", f"{folder}/data", "--auth=trust"]
        subprocess.run([*as_postgres, *initialise], check=True, cwd="/", capture_output=True)
        serve = [f"{programs}/postgres", "-D", f"{folder}/data", "-p", str(port), "-k", str(folder)]
        server = subprocess.Popen(
            [*as_postgres, *serve, "-c", "listen_addresses=127.0.0.1"], cwd="/", stderr=subprocess.DEVNULL
        )
        try:
            while subprocess.run([programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]).returncode:
                assert server.poll() is None
                time.sleep(0.2)
            yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
        finally:
            server.send_signal(signal.SIGINT)  # a fast shutdown; SIGTERM would wait for every client to leave
            server.wait()
    finally:
        shutil.rmtree(folder)


def test_two_searches_at_once_share_a_storage_and_a_server(postgres: str, tmp_path: Path) -> None:
    """They also make the storage's tables and the experiment at the same moment."""
    server = faults.Server(tmp_path / "server")
    try:
        searches = [faults.Search(tmp_path / name, server) for name in ("one", "two")]
        trials = 4
        arguments = ["--storage", postgres, "--set", "resources.cpu=2", "--set", f"search.trials={trials}"]
        processes = [search.start(*arguments) for search in searches]
        for search, process in zip(searches, processes, strict=True):
            search.finish(process)
        for search in searches:
            assert faults.disagreements(search.output, server.uri, trials, postgres) == []
        assert {next((s.output / "ray").iterdir()).name for s in searches} == {"wine", "wine-2"}
    finally:
        server.kill()


def test_a_search_ends_after_too_many_failures_and_can_be_gone_on_with(search: faults.Search) -> None:
    hopeless = ["--set", "network.hidden=[1000000000000]", "--set", "search.trials=4"]
    process = search.start(*hopeless, "--set", "search.max_failures=1")
    out, _ = process.communicate(timeout=200)
    assert process.returncode == 1, out
    assert "trials failed, more than search.max_failures = 1, the last one with RuntimeError" in out
    assert out.rstrip().endswith("--resume")
    process = search.start(*hopeless, "--resume")
    out, _ = process.communicate(timeout=200)
    assert process.returncode == 0, out
    assert "4 trials (0 stopped, 4 failed)" in out
