"""What a container engine says when it refuses something, in answers and in its streams."""

from __future__ import annotations

from torbiz_tui.troubleshooting.symptom import LOGS, Action, Place, Symptom

_ENGINE = frozenset({Place.ENGINE})
_ALSO_IN_LOGS = LOGS | {Place.ENGINE}
_SOURCE = "docker, podman"

ENGINE_WORDS = (
    Symptom(
        id="engine_disk_full",
        code="docker_disk_full",
        title="Docker has no disk space left.",
        patterns=("no space left on device", "not enough space", "disk quota exceeded"),
        cause="The disk that holds the images and containers is full.",
        remedy="Free some: `torbiz-tui clean` shows what is this program's. Docker Desktop's own"
        " disk is set in Settings, Resources.",
        action=Action.FREE_DISK,
        places=_ENGINE,
        source=_SOURCE,
    ),
    Symptom(
        id="docker_no_gpu_toolkit",
        title="Docker cannot give the GPU to a container.",
        patterns=(
            "could not select device driver",
            "nvidia-container-cli",
            "unresolvable CDI devices",
            "unknown or invalid runtime name: nvidia",
        ),
        cause="The NVIDIA Container Toolkit, which hands GPUs to containers, is not installed.",
        remedy="Install the NVIDIA Container Toolkit and restart Docker, or share with --device"
        " cpu.",
        action=Action.OTHER_SETTINGS,
        places=_ALSO_IN_LOGS,
        source=_SOURCE,
    ),
    Symptom(
        id="docker_platform",
        title="The image is for another kind of processor.",
        patterns=(
            "does not match the specified platform",
            "does not match the detected host platform",
            "exec format error",
            "no matching manifest for",
        ),
        cause="It was built on, or for, another kind of machine.",
        remedy="Remove the image and let Setup build it again on this machine.",
        action=Action.REBUILD_IMAGE,
        places=_ALSO_IN_LOGS,
        source=_SOURCE,
    ),
    Symptom(
        id="docker_no_init",
        title="Podman lacks the init process that it puts into containers.",
        patterns=("container-init binary not found",),
        cause="Podman takes it from the package catatonit.",
        remedy="Install catatonit (Debian, Ubuntu, Fedora: the package of that name), then try"
        " again.",
        places=_ALSO_IN_LOGS,
        source=_SOURCE,
    ),
    Symptom(
        id="docker_pull_limit",
        title="The registry allows no more downloads now.",
        patterns=("toomanyrequests", "pull rate limit"),
        cause="It counts downloads by address, or by account.",
        remedy="Wait an hour, or log in with `docker login`, then try again.",
        places=_ALSO_IN_LOGS,
        source=_SOURCE,
    ),
    Symptom(
        id="docker_no_network",
        title="Docker does not reach the registry.",
        patterns=(
            "dial tcp",
            "no such host",
            "TLS handshake timeout",
            "i/o timeout",
            "x509:",
            "network is unreachable",
            "request canceled while waiting",
            "proxyconnect",
            "pinging container registry",
        ),
        cause="The machine is offline, or Docker does not know its proxy or certificates.",
        remedy="See whether the machine is online and Docker knows its proxy and certificates; or"
        " name another base image in the configuration.",
        places=_ENGINE,
        source=_SOURCE,
    ),
    Symptom(
        id="docker_image_unknown",
        title="The registry has no such image, or not for you.",
        patterns=(
            "pull access denied",
            "manifest unknown",
            "manifest not found",
            "manifest for\u2026unknown",
            "manifest for\u2026not found",
            "repository does not exist",
            "requested access to the resource is denied",
        ),
        cause="Its name is misspelt, or it is private.",
        remedy="See whether its name is right.",
        places=_ENGINE,
        source=_SOURCE,
    ),
    Symptom(
        id="engine_port_taken",
        code="docker_port_taken",
        title="The port is taken.",
        patterns=("address already in use", "port is already allocated"),
        cause="Another container or program has it.",
        remedy="Choose another one with --port, or stop what uses it.",
        action=Action.OTHER_PORT,
        places=_ENGINE,
        source=_SOURCE,
    ),
    Symptom(
        id="docker_mount_denied",
        title="Docker may not see the folder.",
        patterns=(
            "mounts denied",
            "is not shared from OS X",
            "is not shared from the host",
            "file sharing",
        ),
        cause="Docker Desktop shows its containers only the folders that are shared with it.",
        remedy="Add it in Docker Desktop under Settings, Resources, File sharing, then try again.",
        places=_ENGINE,
        source=_SOURCE,
    ),
)
