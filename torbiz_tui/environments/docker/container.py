"""The container that hosts, described once: for the SDK, and as the line that a person would type."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torbiz_tui.environments.docker.docker_commands import command_line
from torbiz_tui.environments.docker.endpoints import Endpoint

# Where things are inside; the first three are the guide's.
SCRIPTS = "/app/scripts"
HUB_CACHE = "/root/.cache/huggingface"
LOGS = "/root/.torbiz/logs"
RUN = "/root/.torbiz/run"
MODEL = "/app/model"
SECRETS = "/run/secrets"
CERTIFICATES = "/app/certificates.pem"
BLOCK_CACHE = f"{HUB_CACHE}/petals"
LOG_NAME = "petals_seeder.log"

# Sockets of p2pd and of torch's shared memory; what is downloaded goes into the cache.
_TMPFS = {"/tmp": "rw,nosuid,nodev,noexec,mode=1777,size=268435456"}  # noqa: S108
# The engine keeps every line for ever otherwise.
_LOG_OPTIONS = {"max-size": "20m", "max-file": "3"}


@dataclass(frozen=True)
class Mount:
    """A file or folder of this machine inside the container."""

    source: Path
    target: str
    read_only: bool = False


@dataclass(frozen=True)
class ContainerPlan:
    """All that makes the container what it is.

    `port` is published at the address `port_address` (empty: all) unless `network` is `host`.
    `gpus` is empty, or how they are given: `docker` or `podman`. Bytes; `cpus` in processors.
    `stop_timeout` are the seconds that it gets from a `docker stop` that names none.
    """

    name: str
    image: str
    command: tuple[str, ...]
    mounts: tuple[Mount, ...]
    network: str
    port: int
    port_address: str
    environment: Mapping[str, str]
    labels: Mapping[str, str]
    user: str
    shared_memory: int
    memory: int | None
    cpus: float | None
    stop_timeout: int
    gpus: str = ""
    bounded_log: bool = True
    tmpfs: Mapping[str, str] = field(default_factory=lambda: dict(_TMPFS))

    def create_arguments(self) -> dict[str, Any]:
        """The arguments of the SDK's `api.create_container`, but for the host's part."""
        arguments: dict[str, Any] = {
            "image": self.image,
            "name": self.name,
            "command": list(self.command),
            "environment": dict(self.environment),
            "labels": dict(self.labels),
            # Podman takes 0 otherwise: its `podman stop` kills at once then.
            "stop_timeout": self.stop_timeout,
            "detach": True,
        }
        if self.network != "host":
            arguments["ports"] = [(str(self.port), "tcp")]
        if self.user:
            arguments["user"] = self.user
        return arguments

    def host_arguments(self) -> dict[str, Any]:
        """The arguments of the SDK's `api.create_host_config`."""
        from docker.types import DeviceRequest, LogConfig
        from docker.types import Mount as ApiMount

        arguments: dict[str, Any] = {
            "mounts": [
                ApiMount(one.target, str(one.source), type="bind", read_only=one.read_only)
                for one in self.mounts
            ],
            "init": True,
            "read_only": True,
            "tmpfs": dict(self.tmpfs),
            "shm_size": self.shared_memory,
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges"],
        }
        if self.network == "host":
            arguments["network_mode"] = "host"
        else:
            address = self.port_address or "0.0.0.0"  # noqa: S104
            arguments["port_bindings"] = {f"{self.port}/tcp": (address, self.port)}
        if self.memory is not None:
            # Equal: a container that swaps is slow for everybody and never told to be too large.
            arguments |= {"mem_limit": self.memory, "memswap_limit": self.memory}
        if self.cpus is not None:
            arguments["nano_cpus"] = int(self.cpus * 10**9)
        if self.bounded_log:
            arguments["log_config"] = LogConfig(type="json-file", config=dict(_LOG_OPTIONS))
        if self.gpus == "docker":
            arguments["device_requests"] = [DeviceRequest(count=-1, capabilities=[["gpu"]])]
        elif self.gpus:
            arguments["devices"] = ["nvidia.com/gpu=all"]
        return arguments

    def options(self) -> list[tuple[str, ...]]:
        """The same as options of `docker run`, each with its value."""
        options: list[tuple[str, ...]] = [("--detach",), ("--name", self.name)]
        if self.network == "host":
            options.append(("--network", "host"))
        else:
            address = f"{self.port_address or '0.0.0.0'}:"  # noqa: S104
            options.append(("--publish", f"{address}{self.port}:{self.port}/tcp"))
        options += [_mount_option(one) for one in self.mounts]
        options += [("--env", f"{name}={value}") for name, value in self.environment.items()]
        options += [("--label", f"{name}={value}") for name, value in self.labels.items()]
        options += [("--init",), ("--read-only",)]
        options += [("--tmpfs", f"{folder}:{given}") for folder, given in self.tmpfs.items()]
        options += [("--shm-size", str(self.shared_memory))]
        options += [("--cap-drop", "ALL"), ("--security-opt", "no-new-privileges")]
        options.append(("--stop-timeout", str(self.stop_timeout)))
        if self.user:
            options.append(("--user", self.user))
        if self.memory is not None:
            options += [("--memory", str(self.memory)), ("--memory-swap", str(self.memory))]
        if self.cpus is not None:
            options.append(("--cpus", f"{self.cpus:g}"))
        if self.bounded_log:
            options.append(("--log-driver", "json-file"))
            options += [("--log-opt", f"{name}={value}") for name, value in _LOG_OPTIONS.items()]
        if self.gpus == "docker":
            options.append(("--gpus", "all"))
        elif self.gpus:
            options.append(("--device", "nvidia.com/gpu=all"))
        return options

    def command_text(self, endpoint: Endpoint | None = None) -> str:
        """`docker run …` for a shell, an option a line."""
        rows = [command_line("run", endpoint=endpoint)]
        rows += [shlex.join(option) for option in self.options()]
        rows += [shlex.quote(self.image), shlex.join(self.command)]
        return " \\\n    ".join(rows)


def _mount_option(mount: Mount) -> tuple[str, str]:
    source, ending = str(mount.source), ":ro" if mount.read_only else ""
    # With --volume the engine makes a folder of what is missing, such as a token's file.
    if ":" not in source and not mount.target.startswith(SECRETS):
        return "--volume", f"{source}:{mount.target}{ending}"
    ending = ",readonly" if mount.read_only else ""
    field = f'"source={source}"' if "," in source else f"source={source}"
    return "--mount", f"type=bind,{field},target={mount.target}{ending}"
