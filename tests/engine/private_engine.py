"""A dockerd of the test's own, which may be stopped, killed and filled up."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import docker

START_TIMEOUT_S = 120.0


class PrivateEngine:
    """A daemon with its own socket and data; no network but the host's reaches its containers.

    `host` is its address; `arguments` are further ones of dockerd for the next start. `disk_size` (such as `200m`) puts its data on a file system of that size.
    """

    def __init__(
        self, folder: Path, disk_size: str = "", socket_folder: Path | None = None
    ) -> None:
        self._folder = folder
        self._disk_size = disk_size
        self._process: subprocess.Popen[bytes] | None = None
        self.data_root = folder / "data"
        self.socket = (socket_folder or folder) / "docker.sock"
        self.host = f"unix://{self.socket}"
        self.log = folder / "dockerd.log"
        self.arguments: tuple[str, ...] = ()
        self._rights: list[tuple[Path, os.stat_result]] = []
        self._bridge = f"tbz{folder.name[-8:]}"

    def prepare(self) -> None:
        """Make the folders."""
        self.data_root.mkdir(parents=True, exist_ok=True)
        self.socket.parent.mkdir(parents=True, exist_ok=True)
        if self._disk_size:
            subprocess.run(
                ["mount", "-t", "tmpfs", "-o", f"size={self._disk_size}", "tmpfs", self.data_root],
                check=True,
            )

    def start(self) -> None:
        """Start it, unless it runs, and wait until it answers."""
        if self._process is not None:
            return
        # With `--bridge none` it would delete docker0, which the machine's own engine uses.
        subprocess.run(
            ["ip", "link", "add", self._bridge, "type", "bridge"], check=False, capture_output=True
        )
        # A killed daemon leaves its own containerd behind, which a new one would wait for.
        self._end_containerd()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    "dockerd",
                    *("--host", self.host, "--data-root", self.data_root),
                    *("--exec-root", self._folder / "exec"),
                    *("--pidfile", self._folder / "dockerd.pid"),
                    *("--bridge", self._bridge, "--iptables=false", "--ip6tables=false"),
                    *("--shutdown-timeout", "5"),
                    *self.arguments,
                ],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            words = self.log.read_text("utf-8", errors="replace")[-3000:]
            assert self._process.poll() is None, f"dockerd ended:\n{words}"
            assert time.monotonic() < deadline, f"dockerd does not answer:\n{words}"
            time.sleep(0.1)
        self._rights = [(path, path.stat()) for path in (self.socket, self.socket.parent)]

    def make_as_new(self) -> bool:
        """Remove what is in it and undo what was done to it; False when only a new one will do."""
        if self._process is None or self._process.poll() is not None or self.arguments:
            return False
        self.resume()
        for path, was in self._rights:
            os.chown(path, was.st_uid, was.st_gid)
            path.chmod(was.st_mode & 0o7777)
        try:
            with contextlib.closing(docker.DockerClient(base_url=self.host, timeout=60)) as client:
                for container in client.containers.list(all=True):
                    container.remove(force=True, v=True)
                client.images.prune(filters={"dangling": False})
                return client.images.list(all=True) == []
        except (docker.errors.DockerException, OSError):
            return False

    def _answers(self) -> bool:
        try:
            docker.DockerClient(base_url=self.host, timeout=5).close()
        except docker.errors.DockerException:
            return False
        return True

    def stop(self) -> None:
        """Ask it to stop, and wait; containers are stopped with it."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it; its containers live on until it is started again."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Freeze it: it accepts connections and answers nothing."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `pause`."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, number)
            if number is not signal.SIGKILL:
                os.kill(self._process.pid, signal.SIGCONT)
        self._process.wait(60)
        self._process = None

    def remove(self) -> None:
        """End it and all that it started, and remove its files."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.stop()
        self.kill()
        self._end_containerd()
        for process in _processes_below(self._folder):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        for mount in _mounts_below(self._folder):
            subprocess.run(["umount", "--lazy", mount], check=False)
        subprocess.run(["ip", "link", "delete", self._bridge], check=False)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _end_containerd(self) -> None:
        pid_file = self._folder / "exec" / "containerd" / "containerd.pid"
        try:
            pid = int(pid_file.read_text("ascii"))
        except (OSError, ValueError):
            return
        if pid in _processes_below(self._folder):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        pid_file.unlink(missing_ok=True)


def _processes_below(folder: Path) -> list[int]:
    """The processes whose command line names the folder: containerd, the containers' shims."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if str(folder).encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
    return found


def _mounts_below(folder: Path) -> list[str]:
    """The mount points in the folder, the inner ones first."""
    lines = Path("/proc/self/mountinfo").read_text("utf-8").splitlines()
    points = [line.split()[4] for line in lines]
    return sorted((point for point in points if point.startswith(str(folder))), reverse=True)
