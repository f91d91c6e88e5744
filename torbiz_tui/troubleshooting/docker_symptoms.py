"""Symptoms of Docker: not there, not running, not allowed, names and images."""

from __future__ import annotations

from torbiz_tui.troubleshooting.symptom import LOGS, Action, Machine, Symptom

_START = {
    Machine.DOCKER_DESKTOP: "Open Docker Desktop from Applications, wait until its whale stands"
    " still in the menu bar, then try again.",
    Machine.LINUX: "Run `sudo systemctl start docker`, then try again.",
    Machine.WSL: "Start Docker Desktop on Windows, with its WSL integration for this distribution"
    " (Settings, Resources), then try again.",
}

DOCKER_SYMPTOMS = (
    Symptom(
        id="docker_permission",
        title="You may not use Docker.",
        patterns=(
            "Error while fetching server API version\u2026PermissionError(13",
            "permission denied while trying to connect to the Docker",
        ),
        cause="Docker is there, and its socket is closed to your account.",
        remedy="Run `sudo usermod -aG docker $USER`, log out and in, then try again. Whoever is in"
        " that group can become root on this machine.",
        remedies={
            Machine.DOCKER_DESKTOP: "See that Docker Desktop runs under your own account and has"
            " the permissions it asks for, then try again.",
            Machine.WSL: "Run `sudo usermod -aG docker $USER`, close WSL with `wsl --shutdown`"
            " on Windows, open it again, then try again.",
        },
        places=LOGS,
        source="the Docker SDK for Python, its issue 3146; docker",
        in_setup=True,
    ),
    Symptom(
        id="docker_not_running",
        title="Docker is not running.",
        patterns=(
            "Error while fetching server API version\u2026FileNotFoundError(2",
            "Error while fetching server API version\u2026ConnectionRefusedError(",
            "Docker is not running",
            "Cannot connect to the Docker daemon",
            "Is the docker daemon running",
        ),
        cause="Nothing answers where Docker is expected.",
        remedy="Start Docker, then try again.",
        remedies=_START,
        action=Action.START_DOCKER,
        places=LOGS,
        source="the Docker SDK for Python, its issue 3146; docker; the guide",
        in_setup=True,
    ),
    Symptom(
        id="docker_unreachable",
        title="Docker cannot be connected to.",
        patterns=("Cannot connect to Docker daemon",),
        cause="Docker is not running, is stuck, or listens somewhere else than where it was looked"
        " for (DOCKER_HOST, the context, docker.host).",
        remedy="Start Docker again, then try again.",
        remedies={
            Machine.DOCKER_DESKTOP: "Restart Docker Desktop and grant the permissions it asks for;"
            " if that does not help, install it anew.",
            Machine.LINUX: "Run `sudo systemctl restart docker`, then try again.",
            Machine.WSL: "Restart Docker Desktop on Windows, with its WSL integration for this"
            " distribution (Settings, Resources), then try again.",
        },
        action=Action.START_DOCKER,
        places=LOGS,
        source="the guide",
        in_setup=True,
    ),
    Symptom(
        id="image_not_found",
        title="Docker image not found.",
        patterns=(
            "Docker image not found",
            "No such image:",
            "Unable to find image\u2026locally",
        ),
        cause="The image was never built here, or somebody has removed it (`docker system prune -a`"
        " does).",
        remedy="Run Setup again: it builds the image, which takes 5 to 10 minutes.",
        action=Action.REBUILD_IMAGE,
        places=LOGS,
        source="docker; the guide",
        in_setup=True,
    ),
    Symptom(
        id="container_name_taken",
        title="The name of the container is taken.",
        patterns=(
            "Conflict. The container name\u2026is already in use",
            "is taken by something that is not a Torbiz server",
        ),
        cause="A container of that name is there: a server that was started earlier or by another"
        " program, or something that is none of it.",
        remedy="Go to Share: a server of that name is attached to. Anything else is removed by"
        " `torbiz-tui share --replace`, or choose another name (docker.container).",
        action=Action.REPLACE_CONTAINER,
        places=LOGS,
        source="docker, moby issue 37698",
    ),
    Symptom(
        id="docker_port_taken",
        title="The port is taken.",
        patterns=("port is already allocated",),
        cause="Another container has it.",
        remedy="Choose another one with --port, or stop what uses it.",
        action=Action.OTHER_PORT,
        places=LOGS,
        source="docker",
    ),
)
