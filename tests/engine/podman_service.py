"""Podman's imitation of the Docker API, with a store of the test's own."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil

START_TIMEOUT_S = 120.0


class PodmanService:
    """`podman system service` at a socket in `folder`; `host` is its address."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.socket = folder / "podman.sock"
        self.host = f"unix://{self.socket}"
        self.log = folder / "podman.log"

    def _podman(self) -> list[str]:
        # Nothing is shared with a Podman that the person uses.
        folders = {name: f"{self._folder}/{name}" for name in ("root", "runroot", "tmpdir")}
        return ["podman", *(f"--{name}={folder}" for name, folder in folders.items())]

    def _environ(self) -> dict[str, str]:
        return os.environ | {"CONTAINERS_CONF": f"{self._folder}/containers.conf"}

    def start(self) -> None:
        """Start it, and wait until it answers."""
        # Its own defaults are above what root may have in a virtual machine or a container.
        files = min(4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        (self._folder / "containers.conf").write_text(
            f'[containers]\ndefault_ulimits = ["nofile={files}:{files}", "nproc=4096:4096"]\n'
            '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\nlock_type = "file"\n'
        )
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._podman(), "system", "service", "--time=0", self.host],
                env=self._environ(),
                # A container that runs out of memory leaves a file `oom` there.
                cwd=self._folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self.socket.exists():
            words = self.log.read_text("utf-8", errors="replace")[-3000:]
            assert self._process.poll() is None, f"podman ended:\n{words}"
            assert time.monotonic() < deadline, f"podman does not answer:\n{words}"
            time.sleep(0.05)

    def processor_s(self) -> float:
        """What it has used of the processors so far."""
        assert self._process is not None
        used = psutil.Process(self._process.pid).cpu_times()
        return float(used.user + used.system)

    def kill(self) -> None:
        """Kill the service; its containers live on."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(10)
            self._process = None
            self.socket.unlink(missing_ok=True)

    def remove(self) -> None:
        """End it and its containers, and remove its files."""
        self.kill()
        subprocess.run(
            [*self._podman(), "rm", "--all", "--force", "--time", "1"],
            env=self._environ(),
            capture_output=True,
            check=False,
            timeout=60,
        )
        subprocess.run(
            ["umount", "--lazy", f"{self._folder}/root/overlay"], check=False, capture_output=True
        )
        shutil.rmtree(self._folder, ignore_errors=True)
