"""Hosts with addresses of their own on one machine: network namespaces joined by a switch.

The switch is a bridge in a namespace too, so nothing of it is seen by the machine's own network,
and what Docker forbids bridges there does not hold in it.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass

import psutil
import pytest


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}"
    return done.stdout


@dataclass(frozen=True)
class Host:
    """A machine of the network: a namespace with a loopback and a cable to the switch."""

    namespace: str
    address: str
    switch: str
    socket: str

    def inside(self, *command: str) -> list[str]:
        """The command that runs `command` on this host."""
        return ["ip", "netns", "exec", self.namespace, *command]

    def unplug(self) -> None:
        """Pull the cable at the switch; the host sees no carrier any more."""
        _ip("-n", self.switch, "link", "set", self.socket, "down")

    def plug_in(self) -> None:
        """Put the cable back."""
        _ip("-n", self.switch, "link", "set", self.socket, "up")


@contextlib.contextmanager
def network(*names: str) -> Iterator[dict[str, Host]]:
    """Hosts of these names that reach each other, and nobody else; skips without root."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("hosts of their own need root, and `ip` of iproute2")
    _remove_left_over()
    base = f"torbiz-{os.getpid()}"
    switch = f"{base}-switch"
    made: list[str] = []
    hosts: dict[str, Host] = {}

    def add_namespace(name: str) -> None:
        _ip("netns", "add", name)
        made.append(name)
        _ip("-n", name, "link", "set", "lo", "up")

    try:
        add_namespace(switch)
        _ip("-n", switch, "link", "add", "bridge", "type", "bridge")
        _ip("-n", switch, "link", "set", "bridge", "up")
        for number, name in enumerate(names, 1):
            host = Host(f"{base}-{name}", f"10.77.0.{number}", switch, f"socket{number}")
            add_namespace(host.namespace)
            hosts[name] = host
            pair = ("type", "veth", "peer", "name", "eth0", "netns", host.namespace)
            _ip("link", "add", host.socket, "netns", switch, *pair)
            _ip("-n", switch, "link", "set", host.socket, "master", "bridge", "up")
            _ip("-n", host.namespace, "address", "add", f"{host.address}/24", "dev", "eth0")
            _ip("-n", host.namespace, "link", "set", "eth0", "up")
        yield hosts
    finally:
        for name in reversed(made):
            _remove(name)


def _remove(namespace: str) -> None:
    """End what runs there; with the namespace go its cables."""
    deadline = time.monotonic() + 5
    while (pids := _ip("netns", "pids", namespace).split()) and time.monotonic() < deadline:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        time.sleep(0.02)
    _ip("netns", "delete", namespace)


def _remove_left_over() -> None:
    """Remove what a run has left that was killed."""
    for line in _ip("netns", "list").splitlines():
        found = re.match(r"torbiz-(\d+)-\w+", line)
        if found is not None and not psutil.pid_exists(int(found[1])):
            _remove(found[0])
