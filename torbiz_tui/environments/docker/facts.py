"""What an engine tells of itself, as this program needs it."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torbiz_tui.environments.docker.endpoints import Endpoint

DOCKER_DESKTOP = "Docker Desktop"
DOCKER_ENGINE = "Docker Engine"
PODMAN = "Podman"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class EngineFacts:
    """What the engine tells of itself.

    `name` is `Docker Engine`, `Docker Desktop`, `Podman`, `OrbStack`, `Colima` or `Rancher
    Desktop`; `platform` such as `linux/amd64`; `memory_bytes` and `cpus` are those of the machine
    (or virtual machine) that it runs containers on; `host_network` says whether `--network host`
    reaches this machine's own network; `nvidia` whether it can give GPUs; `cgroup` is `1` or `2`,
    empty when it does not say; `local` is false for an engine on another machine, which sees none
    of this machine's folders; `podman` is true for Podman's imitation of the API.
    """

    name: str
    version: str
    api_version: str
    platform: str
    cpus: int
    memory_bytes: int
    data_root: str
    rootless: bool = False
    host_network: bool = True
    nvidia: bool = False
    cgroup: str = ""
    local: bool = True
    podman: bool = False

    def sentence(self) -> str:
        """The engine in a few words: `Docker Engine 28.2.2, rootless`."""
        return f"{self.name} {self.version}" + (", rootless" if self.rootless else "")


def facts_from(
    version: Mapping[str, Any],
    info: Mapping[str, Any],
    endpoint: Endpoint,
    *,
    home: Path,
    platform: str = sys.platform,
) -> EngineFacts:
    """Read the engine's answers to `GET /version` and `GET /info`."""
    name = _name(version, info)
    rootless = any("rootless" in str(option) for option in info.get("SecurityOptions") or ())
    architecture = str(version.get("Arch") or info.get("Architecture") or "")
    system = str(version.get("Os") or info.get("OSType") or "linux")
    return EngineFacts(
        name=name,
        version=str(version.get("Version") or info.get("ServerVersion") or ""),
        api_version=str(version["ApiVersion"]),
        platform=f"{system}/{_ARCHITECTURES.get(architecture, architecture)}",
        cpus=int(info.get("NCPU") or 0),
        memory_bytes=int(info.get("MemTotal") or 0),
        data_root=str(info.get("DockerRootDir") or ""),
        rootless=rootless,
        host_network=_host_network(name, rootless=rootless, home=home, platform=platform),
        nvidia=_gives_nvidia(info),
        cgroup=str(info.get("CgroupVersion") or ""),
        local=endpoint.local,
        podman=name == PODMAN,
    )


def _name(version: Mapping[str, Any], info: Mapping[str, Any]) -> str:
    components = version.get("Components") or ()
    if any("podman" in str(part.get("Name", "")).lower() for part in components):
        return PODMAN
    system, host = str(info.get("OperatingSystem") or ""), str(info.get("Name") or "")
    if system.startswith(DOCKER_DESKTOP):
        return DOCKER_DESKTOP
    if system.startswith("OrbStack") or host == "orbstack":
        return "OrbStack"
    if host.startswith(("colima", "lima-colima")):
        return "Colima"
    if system.startswith("Rancher Desktop") or host == "lima-rancher-desktop":
        return "Rancher Desktop"
    return DOCKER_ENGINE


def _gives_nvidia(info: Mapping[str, Any]) -> bool:
    # Engines from 28.2 on list the devices that a CDI file describes.
    devices = info.get("DiscoveredDevices") or ()
    return "nvidia" in (info.get("Runtimes") or {}) or any(
        str(device.get("ID", "")).startswith("nvidia.com/gpu") for device in devices
    )


def _host_network(name: str, *, rootless: bool, home: Path, platform: str) -> bool:
    if name == DOCKER_DESKTOP:
        return desktop_host_networking(home, platform)
    if name == "OrbStack":
        return True
    if platform == "darwin" or name in ("Colima", "Rancher Desktop"):
        # The network of a virtual machine, which nobody outside reaches.
        return False
    # Rootless Docker puts "host" containers into a network of its own; rootless Podman does not.
    return name == PODMAN or not rootless


def desktop_host_networking(home: Path, platform: str) -> bool:
    """Whether Docker Desktop (4.34 or later) has "Enable host networking" switched on.

    It is off unless somebody switched it on; settings that cannot be read count as off.
    """
    folder = (
        home / "Library/Group Containers/group.com.docker"
        if platform == "darwin"
        else home / ".docker/desktop"
    )
    # Before 4.35 the file and the key were written differently.
    for file in (folder / "settings-store.json", folder / "settings.json"):
        try:
            settings = json.loads(file.read_text("utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(settings, dict):
            for key in ("HostNetworkingEnabled", "hostNetworkingEnabled"):
                if key in settings:
                    return settings[key] is True
    return False
