"""Hosts on one machine: network, mount, process, name and IPC namespaces, each with an sshd, on one bridge.

A host has its own `/tmp`, home, `/dev/shm`, host name and address, and sees only its own processes; of the folders
below `/tmp` and the home it shares what it is told to share. The bridge stands in the namespace of the *laptop*, a host
without sshd from which `ray up` is called; nothing leads out of there.
"""

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

PROGRAMS = ("ip", "unshare", "nsenter", "ssh-keygen", "rsync", "make", "/usr/sbin/sshd")
LAPTOP = "laptop"
NET = "10.78.0"
BOOT = """
set -e
hostname {name}
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/sshd
mount --bind {hosts} /etc/hosts
{mounts}
cd /
{sshd}
while true; do sleep 1000 & wait $!; done
"""
SSHD = """
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/key.pub
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
PidFile none
MaxStartups 100
"""


def missing() -> str:
    """Why there can be no such hosts here, or ""."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if absent := [program for program in PROGRAMS if not shutil.which(program)]:
        return f"{', '.join(absent)} not installed"
    name = f"deeppp-probe-{os.getpid()}"  # tests that run side by side ask at the same moment
    probe = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    subprocess.run(["ip", "netns", "del", name], capture_output=True)
    return f"no network namespaces: {probe.stderr.strip()}" if probe.returncode else ""


class Hosts:
    """`count` hosts h1, h2, ... and the laptop. To be closed.

    Args:
        folder: for keys, homes and logs; where the hosts' private folders lie.
        count: how many hosts.
        shared: folders that all hosts see as they are.
        hidden: folders that look empty on the hosts, though not on the laptop.
    """

    def __init__(self, folder: Path, count: int, shared: Sequence[Path], hidden: Sequence[Path]) -> None:
        self.folder = folder
        self.names = [f"h{k}" for k in range(1, count + 1)]
        self.address = {name: f"{NET}.{k}" for k, name in enumerate(self.names, 1)} | {LAPTOP: f"{NET}.254"}
        self.key = folder / "keys" / "key"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.key.parent.mkdir(parents=True)
        for name in ("key", "host_key"):
            _call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.key.parent / name))
        (self.key.parent / "sshd_config").write_text(SSHD.format(folder=self.key.parent))
        lines = [f"{address} {name}" for name, address in self.address.items()]
        (self.key.parent / "hosts").write_text("\n".join(["127.0.0.1 localhost", *lines, ""]))
        self._remove_namespaces()
        try:
            self._wire()
            for name in self.address:
                self._boot(name, [*shared, self.key.parent], [] if name == LAPTOP else hidden)
            for name in self.names:
                self._wait_for_sshd(name)
        except BaseException:
            self.close()
            raise

    def _wire(self) -> None:
        for name in self.address:
            _call("ip", "netns", "add", f"deeppp-{name}")
            _call("ip", "-n", f"deeppp-{name}", "link", "set", "lo", "up")
        at = ("ip", "-n", f"deeppp-{LAPTOP}")
        _call(*at, "link", "add", "bridge", "type", "bridge")
        _call(*at, "address", "add", f"{self.address[LAPTOP]}/24", "dev", "bridge")
        _call(*at, "link", "set", "bridge", "up")
        for name in self.names:
            own = ("ip", "-n", f"deeppp-{name}")
            _call(*at, "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", f"deeppp-{name}")
            _call(*at, "link", "set", name, "master", "bridge", "up")
            _call(*own, "address", "add", f"{self.address[name]}/24", "dev", "eth0")
            _call(*own, "link", "set", "eth0", "up")
            _call(*own, "route", "add", "default", "dev", "eth0")  # Ray takes the address that faces outward

    def home(self, name: str) -> Path:
        """A host's home, seen from outside."""
        return self.folder / name / "home"

    def _boot(self, name: str, shared: Sequence[Path], hidden: Sequence[Path]) -> None:
        mounts = [f"mount -t tmpfs tmpfs {shlex.quote(str(path))}" for path in hidden if path.is_dir()]
        for place, private in ((Path.home(), self.home(name)), (Path("/tmp"), self.folder / name / "tmp")):
            private.mkdir(parents=True)
            for path in sorted({path for path in shared if path.is_relative_to(place)}):
                target = private / path.relative_to(place)
                mounts += [f"mkdir -p {target}", f"mount --rbind {path} {target}"]
        # From handles, since the private folders may lie below /tmp or home themselves.
        mounts += [f"exec 8<{self.home(name)} 9<{self.folder / name / 'tmp'}"]
        mounts += [
            f"mount --rbind /proc/self/fd/8 {Path.home()}",
            "mount --rbind /proc/self/fd/9 /tmp",
            "exec 8<&- 9<&-",
        ]
        config = self.key.parent / "sshd_config"
        sshd = "" if name == LAPTOP else f"/usr/sbin/sshd -D -e -f {config} -o ListenAddress={self.address[name]} &"
        script = BOOT.format(name=name, hosts=self.key.parent / "hosts", mounts="\n".join(mounts), sshd=sshd)
        spaces = ["unshare", "--mount", "--pid", "--fork", "--uts", "--ipc", "--mount-proc", "--kill-child=KILL"]
        (self.home(name) / ".bashrc").write_text(f"export PATH={sys.prefix}/bin:$PATH RAY_USAGE_STATS_ENABLED=0\n")
        with (self.folder / name / "log").open("w") as log:
            self.processes[name] = subprocess.Popen(
                ["nsenter", f"--net=/run/netns/deeppp-{name}", *spaces, "bash", "-c", script],
                env={"PATH": os.environ["PATH"], "HOME": str(Path.home())},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _wait_for_sshd(self, name: str) -> None:
        knock = f"exec 3<>/dev/tcp/{self.address[name]}/22"
        for _ in range(100):
            if not subprocess.run(
                ["ip", "netns", "exec", f"deeppp-{LAPTOP}", "bash", "-c", knock], capture_output=True
            ).returncode:
                return
            time.sleep(0.1)
        raise RuntimeError(f"no sshd on {name}: {(self.folder / name / 'log').read_text()}")

    def popen(
        self, name: str, command: str, folder: Path | None = None, variables: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """Starts a shell command on a host."""
        init = Path(f"/proc/{self.processes[name].pid}/task/{self.processes[name].pid}/children").read_text().split()[0]
        environment = {"HOME": str(Path.home()), "USER": "root", "LANG": "C.UTF-8", "RAY_USAGE_STATS_ENABLED": "0"}
        environment |= {"PATH": f"{sys.prefix}/bin:{os.environ['PATH']}"} | dict(variables or {})
        enter = ["nsenter", "--target", init, "--net", "--mount", "--pid", "--uts", "--ipc"]
        return subprocess.Popen(
            [*enter, f"--wdns={folder or Path.home()}", "bash", "-c", command],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(
        self,
        name: str,
        command: str,
        folder: Path | None = None,
        variables: Mapping[str, str] | None = None,
        seconds: float = 120,
    ) -> tuple[int, str]:
        """The exit status and the output of a shell command on a host."""
        process = self.popen(name, command, folder, variables)
        try:
            out, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        return process.returncode, out

    def cut(self, name: str) -> None:
        """Pulls a host's plug out of the network."""
        _call("ip", "-n", f"deeppp-{LAPTOP}", "link", "set", name, "down")

    def heal(self, name: str) -> None:
        """Puts the plug back."""
        _call("ip", "-n", f"deeppp-{LAPTOP}", "link", "set", name, "up")

    def close(self) -> None:
        """Ends every process of the hosts and takes the namespaces away."""
        for process in self.processes.values():
            process.send_signal(signal.SIGKILL)  # takes the host's whole process namespace with it
            process.wait()
        self._remove_namespaces()

    def _remove_namespaces(self) -> None:
        for name in self.address:
            subprocess.run(["ip", "netns", "del", f"deeppp-{name}"], capture_output=True)


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _call(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{shlex.join(command)}: {done.stderr.strip()}")
