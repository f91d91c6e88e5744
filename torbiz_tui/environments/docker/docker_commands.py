"""What the app does with the engine, as the commands that a person could type."""

from __future__ import annotations

import shlex
import shutil
from dataclasses import dataclass

from torbiz_tui.config import DockerConfig
from torbiz_tui.environments.docker.endpoints import DEFAULT_SOCKET, Endpoint
from torbiz_tui.errors import TorbizError


@dataclass(frozen=True)
class DockerCommand:
    """A command for people who know Docker: what it is for, the line to type, what to know.

    `id` is one of `containers`, `images`, `logs`, `stop`, `shell`, `remove_image`, `build`,
    `prune`; `offered` says whether the app does the same itself (it never prunes).
    """

    id: str
    title: str
    line: str
    note: str = ""
    offered: bool = True


def command_line(*arguments: str, endpoint: Endpoint | None = None) -> str:
    """`docker …` for a shell; the engine is named unless it is the one that docker takes."""
    return shlex.join(["docker", *_engine_option(endpoint), *arguments])


def client_argv(endpoint: Endpoint) -> list[str]:
    """The client program that is installed, told to use this engine.

    Raises TorbizError (code `no_docker_client`) when there is none: the app itself needs none.
    """
    if found := shutil.which("docker"):
        return [found, *_tls_options(endpoint), "-H", endpoint.address]
    if found := shutil.which("podman"):
        return [found, "--url", endpoint.address]
    raise TorbizError(
        "A shell in the container needs the docker command, and it is not installed.",
        why="Neither docker nor podman is in PATH; this program itself talks to the engine"
        " without them.",
        remedy="Install Docker's command line (Debian: `apt install docker-cli`; macOS:"
        " `brew install docker`), then try again.",
        code="no_docker_client",
    )


def docker_commands(
    config: DockerConfig,
    endpoint: Endpoint | None = None,
    *,
    prune_note: str = "",
    stop_grace_s: int = 20,
) -> list[DockerCommand]:
    """The guide's commands for advanced users, with the names of this configuration.

    `prune_note` says what `docker system prune -a` would take away now.
    """

    def line(*arguments: str) -> str:
        return command_line(*arguments, endpoint=endpoint)

    name, image = config.container, config.image
    return [
        DockerCommand("containers", "List all containers", line("ps", "-a")),
        DockerCommand("images", "List all images", line("images")),
        DockerCommand("logs", "Follow the container's log", line("logs", "-f", name)),
        DockerCommand(
            "stop",
            "Stop the container",
            line("stop", "-t", str(stop_grace_s), name),
            "Petals announces its blocks offline first; docker alone would wait 10 s only.",
        ),
        DockerCommand("shell", "Open a shell in the container", line("exec", "-it", name, "bash")),
        DockerCommand(
            "remove_image",
            "Remove the image",
            line("rmi", image),
            "Setup builds it again when it is needed.",
        ),
        DockerCommand(
            "build",
            "Build the image",
            "torbiz-tui --environment docker setup",
            "The build's inputs are put together by Setup; setup.log has the steps of the build.",
        ),
        DockerCommand(
            "prune",
            "Clean up all Docker resources",
            line("system", "prune", "-a"),
            prune_note
            or "It also removes the images and stopped containers of other programs. This app"
            " does not run it; its own clean-up takes only what is its own.",
            offered=False,
        ),
    ]


def _tls_options(endpoint: Endpoint) -> list[str]:
    if endpoint.tls is None:
        return []
    files = {
        "--tlscacert": endpoint.tls.authority,
        "--tlscert": endpoint.tls.certificate,
        "--tlskey": endpoint.tls.key,
    }
    given = [word for option, file in files.items() if file for word in (option, file)]
    return ["--tlsverify" if endpoint.tls.verify else "--tls", *given]


def _engine_option(endpoint: Endpoint | None) -> list[str]:
    if endpoint is None or endpoint.address == DEFAULT_SOCKET:
        return []
    # What the docker command finds by itself needs no naming.
    if endpoint.source == "DOCKER_HOST" or endpoint.source.startswith(("context", "the context")):
        return []
    return [*_tls_options(endpoint), "-H", endpoint.address]
